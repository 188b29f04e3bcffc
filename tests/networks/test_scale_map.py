"""The scale map against a second implementation of docs/format.md, section 7: Python integers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from glc.config import PRESETS
from glc.networks import scale_map
from glc.networks.context import STEPS
from glc.networks.scale_map import SCALE_ROWS, ScaleMap


@pytest.fixture(scope="module")
def random_map(micro_config):
    """Return a function that makes a scale map whose integers fill their ranges."""

    def make(seed: int) -> ScaleMap:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed)
            scales = ScaleMap(micro_config, STEPS)
            for name, parameter in scales.named_parameters():
                spread = {"bias": 20.0, "weight": 0.4, "context_weight": 0.4}.get(name, 2.5)
                parameter.add_(spread * torch.randn_like(parameter))
        return scales

    return make


def random_inputs(seed: int, config) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    digits = 2 * torch.randint(0, 4, (3, len(config.hyper_levels), 2, 1), generator=generator) - 3
    symbols = torch.randint(-40, 41, (3, config.y_channels, 8, 4), generator=generator)
    few = torch.rand(symbols.shape, generator=generator) < 0.5
    return digits.float(), torch.where(few, symbols, symbols % 3 - 1).float()


@pytest.mark.parametrize("seed", range(3))
def test_rows_equal_an_integer_reference(random_map, reference_map, micro_config, seed):
    scales = random_map(seed)
    reference = reference_map(scales)
    digits, symbols = random_inputs(seed, micro_config)
    quality = torch.tensor([0, 37 + seed, 100])
    step = 1 + seed % (STEPS - 1)
    base = scales.base(digits, quality)
    context = scales.context(symbols, step)
    rows = scales.to_rows(base + context)
    assert base.dtype == context.dtype == torch.float64
    for index in range(3):
        expected = reference.base(digits[index].long().tolist(), int(quality[index]))
        extra = reference.context(symbols[index].long().tolist(), step)
        assert base[index].long().tolist() == expected
        assert context[index].long().tolist() == extra
        assert rows[index].long().tolist() == reference.rows(expected, extra)
        assert scales.to_rows(base)[index].long().tolist() == reference.rows(expected)
    # The inputs reach both ends of the table, where clamping matters.
    assert int(rows.min()) == 0
    assert int(rows.max()) == SCALE_ROWS - 1


def test_every_quality_gives_the_integer_bias(random_map, reference_map, micro_config):
    scales = random_map(5)
    reference = reference_map(scales)
    digits = torch.ones(101, len(micro_config.hyper_levels), 1, 1)
    found = scales.base(digits, torch.arange(101))[:, :, 0, 0]
    without = found[0] - torch.tensor(reference.quality_bias(0))
    for quality in range(101):
        expected = without + torch.tensor(reference.quality_bias(quality))
        assert torch.equal(found[quality], expected)


@pytest.mark.parametrize("seed", range(4))
def test_training_arithmetic_gives_the_same_integers(random_map, micro_config, seed):
    scales = random_map(seed)
    digits, symbols = random_inputs(seed, micro_config)
    quality = torch.tensor([3, 50, 98])
    exact, quick = (scales.base(digits, quality, exact) for exact in (True, False))
    assert quick.dtype == torch.float32
    assert torch.equal(exact, quick.double())
    for step in range(1, STEPS):
        more_exact, more_quick = (scales.context(symbols, step, e) for e in (True, False))
        assert torch.equal(more_exact, more_quick.double())
        rows = scales.to_rows(exact + more_exact)
        assert torch.equal(rows, scales.to_rows(quick + more_quick).double())
        assert torch.equal(rows, rows.round())
        assert 0 <= int(rows.min()) <= int(rows.max()) <= SCALE_ROWS - 1


def test_rounding_is_half_up():
    totals = torch.tensor([-257.0, -256.0, 255.0, 256.0, 767.0, 768.0, 63.5 * 512, 1e6])
    assert ScaleMap.to_rows(totals).tolist() == [0, 0, 0, 1, 1, 2, 63, 63]


def test_integers_survive_a_round_trip(random_map, micro_config):
    scales = random_map(7)
    integers = scales.integers()
    assert all(torch.equal(value, value.round()) for value in integers.values())
    other = ScaleMap(micro_config, STEPS)
    other.load_integers(integers)
    again = other.integers()
    assert integers.keys() == again.keys()
    assert all(torch.equal(integers[name], again[name]) for name in integers)
    assert int(integers["weight"].abs().max()) <= 127


def largest_sums(scales: ScaleMap, digit: int) -> dict[str, float]:
    """Return the largest magnitude that any partial sum, in any order, can have."""
    p = {name: value.abs() for name, value in scales.integers().items()}
    span = 100 // (len(p["bias"]) - 1)
    base = 127 * p["weight"].sum(1).max() + p["bias"].max()
    context = 127 * p["context_weight"].sum(2).max()
    hidden = digit * p["hidden_weight"].sum(1) + p["hidden_bias"]
    context_hidden = 3 * p["context_hidden_weight"].sum(2) + p["context_hidden_bias"]
    return {
        "hidden": float(hidden.max()),
        "context hidden": float(context_hidden.max()),
        "interpolated bias": float(span * p["bias"].max()),
        "total": float(base + context + 256),
    }


@pytest.mark.parametrize("name", ["micro", *PRESETS])
def test_partial_sums_stay_exact(random_map, micro_config, name):
    scales = random_map(0) if name == "micro" else ScaleMap(PRESETS[name], STEPS)
    levels = (micro_config if name == "micro" else PRESETS[name]).hyper_levels
    for what, largest in largest_sums(scales, max(levels) - 1).items():
        assert largest < 2**24, what


@pytest.mark.parametrize("name", list(PRESETS))
def test_files_stay_exact_whatever_the_weights(name):
    scales = ScaleMap(PRESETS[name], STEPS)
    with torch.no_grad():
        for parameter in scales.parameters():
            parameter.fill_(1e9)
    for what, largest in largest_sums(scales, 64).items():
        assert largest < 2**53, what


def test_gradients_pass_through_the_rounding(random_map, micro_config):
    scales = random_map(1)
    digits, symbols = random_inputs(1, micro_config)
    total = scales.base(digits, torch.tensor([0, 50, 100]), exact=False)
    for step in range(1, STEPS):
        total = total + scales.context(symbols, step, exact=False)
    scales.to_rows(total / 64.0).square().sum().backward()
    for name, parameter in scales.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_strips_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randint(0, 4, (2, 5, 7, 6)).double()
    weight = torch.randint(-127, 128, (3, 45)).double()
    whole = scale_map._conv3x3(x, weight)
    torch.testing.assert_close(
        whole, torch.conv2d(x, weight.view(3, 5, 3, 3), padding=1), rtol=0, atol=0
    )
    for elements in (1, 9 * 2 * 5 * 6 * 2, 9 * 2 * 5 * 6 * 3):
        monkeypatch.setattr(scale_map, "_STRIP_ELEMENTS", elements)
        assert torch.equal(scale_map._conv3x3(x, weight), whole)
