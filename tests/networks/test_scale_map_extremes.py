"""The scale map at the ends of its ranges: what files get equals Python's integers.

A bound computed from the largest weights that a file may hold says that float64 is exact; weights
and symbols at those limits say that nothing was forgotten.
"""

from __future__ import annotations

import random

import pytest
import torch

from glc.config import PRESETS
from glc.networks.context import STEPS
from glc.networks.scale_map import _UNITS, ScaleMap

EXACT = 2**53
WEIGHT, BIAS = 127, 2**23
SIGNS = {
    "all largest": lambda generator: 1,
    "all smallest": lambda generator: -1,
    "random signs": lambda generator: generator.choice((-1, 1)),
}


def limits() -> dict[str, int]:
    return {name: int(limit) for name, (_, limit) in _UNITS.items()}


def extreme_integers(config, sign) -> dict[str, torch.Tensor]:
    """Return weights at their limits and biases at or next to them, as float64 integers."""
    generator = random.Random(3)
    integers = {}
    for name, parameter in ScaleMap(config, STEPS).named_parameters():
        limit, below = limits()[name], 3 if name.endswith("bias") else 1
        values = [
            sign(generator) * (limit - generator.randrange(below)) for _ in range(parameter.numel())
        ]
        integers[name] = torch.tensor(values, dtype=torch.float64).view(parameter.shape)
    return integers


def largest_sums(config, digit: int) -> dict[str, int]:
    """Return the largest magnitude of any partial sum in any order, in Python integers."""
    channels, hidden = config.y_channels, config.scale_hidden
    bound = limits()
    return {
        "hidden": digit * len(config.hyper_levels) * bound["hidden_weight"] + bound["hidden_bias"],
        "quality": 100 * bound["bias"],
        "base": 9 * hidden * 127 * bound["weight"] + bound["bias"],
        "context hidden": 9 * channels * 3 * bound["context_hidden_weight"]
        + bound["context_hidden_bias"],
        "total": 9 * hidden * 127 * bound["weight"]
        + bound["bias"]
        + 2 * hidden * 127 * bound["context_weight"]
        + 256,
    }


def test_limits_are_those_of_the_format():
    """docs/format.md, section 7.1."""
    for name, limit in limits().items():
        assert limit == (BIAS if name.endswith("bias") else WEIGHT), name


@pytest.mark.parametrize("name", ["micro", *PRESETS, "largest"])
def test_no_partial_sum_reaches_the_end_of_exact_integers(micro_config, name):
    known = {"micro": micro_config, **PRESETS}
    if name in known:
        for what, largest in largest_sums(known[name], 64).items():
            # Bits to spare, so that no later model comes near.
            assert largest < EXACT / 2**20, what
        return
    # What a weights file may claim at most: every field is below 2**16.

    class Largest:
        y_channels = scale_hidden = 1 << 16
        hyper_levels = (2,) * 16

    for what, largest in largest_sums(Largest, 1 << 16).items():
        assert largest < EXACT, what


@pytest.fixture(scope="module", params=SIGNS)
def extreme_map(request, micro_config):
    scales = ScaleMap(micro_config, STEPS)
    scales.load_integers(extreme_integers(micro_config, SIGNS[request.param]))
    return scales


def random_inputs(config, seed: int) -> tuple[list, list]:
    """Return digits at their ends, and symbols at the clamp of the coder, around 3, and 0."""
    generator = random.Random(seed)
    ends = [(1 - levels, levels - 1) for levels in config.hyper_levels]
    digits = [[[generator.choice(pair) for _ in range(2)]] for pair in ends]
    values = (-32767, 32767, 3, -3, 4, 2, 1, 0, 0)
    symbols = [
        [[generator.choice(values) for _ in range(8)] for _ in range(4)]
        for _ in range(config.y_channels)
    ]
    return digits, symbols


@pytest.mark.parametrize("seed", range(2))
def test_the_largest_weights_give_the_integers_of_python(
    extreme_map, reference_map, micro_config, seed
):
    digits, symbols = random_inputs(micro_config, seed)
    reference = reference_map(extreme_map)
    grid = torch.tensor(digits).unsqueeze(0).float()
    decoded = torch.tensor(symbols).unsqueeze(0).float()
    for quality in (0, 49, 100):
        base = extreme_map.base(grid, torch.tensor([quality]))
        expected = reference.base(digits, quality)
        assert base[0].long().tolist() == expected
        assert torch.equal(base, base.round())
        assert extreme_map.to_rows(base)[0].long().tolist() == reference.rows(expected)
    for step in range(1, STEPS):
        context = extreme_map.context(decoded, step)
        extra = reference.context(symbols, step)
        assert context[0].long().tolist() == extra
        rows = extreme_map.to_rows(base + context)[0].long().tolist()
        assert rows == reference.rows(expected, extra)


@pytest.mark.parametrize("seed", range(2))
def test_full_size_weights_at_their_limits(reference_map, seed):
    """One position of z of the larger preset: 48 hidden values, 128 channels."""
    config = PRESETS["base"]
    generator = torch.Generator().manual_seed(seed)
    scales = ScaleMap(config, STEPS)
    integers = {}
    for name, parameter in scales.named_parameters():
        signs = 2 * torch.randint(0, 2, parameter.shape, generator=generator) - 1
        limit = limits()[name]
        # Hidden biases small enough that hidden values are neither all 0 nor all at their limit.
        bias = torch.randint(-300, 300, parameter.shape, generator=generator)
        integers[name] = (bias if name.endswith("hidden_bias") else signs * limit).double()
    scales.load_integers(integers)
    reference = reference_map(scales)
    digits = [[[3 if channel % 2 else -3]] for channel in range(len(config.hyper_levels))]
    base = scales.base(torch.tensor(digits).unsqueeze(0).float(), torch.tensor([37 * seed]))
    assert base[0].long().tolist() == reference.base(digits, 37 * seed)
    symbols = torch.randint(-4, 5, (config.y_channels, 2, 2), generator=generator)
    context = scales.context(symbols.unsqueeze(0).float(), 1 + seed)
    assert context[0].long().tolist() == reference.context(symbols.tolist(), 1 + seed)


def test_float32_would_not_be_enough(micro_config):
    """At these limits the arithmetic of training does differ: the tests above can fail."""
    scales = ScaleMap(micro_config, STEPS)
    scales.load_integers(extreme_integers(micro_config, SIGNS["random signs"]))
    digits, _ = random_inputs(micro_config, 0)
    grid = torch.tensor(digits).unsqueeze(0).float()
    exact, quick = (scales.base(grid, torch.tensor([49]), exact=e) for e in (True, False))
    assert not torch.equal(exact, quick.double())
