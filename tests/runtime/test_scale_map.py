"""The integer function in numpy is the one of the networks."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from glc.errors import WeightsError
from glc.partition import STEPS
from glc.runtime.scale_map import ScaleMap


def integers_of(network) -> dict[str, np.ndarray]:
    return {
        name: value.numpy().astype(np.int32) for name, value in network.scale_map.integers().items()
    }


@pytest.mark.parametrize("hidden", [8, 128])
def test_rows_are_those_of_the_networks(make_model, micro_config, hidden):
    """With many hidden integers and large weights sums exceed 2^24, and float32 is not enough."""
    network = make_model(5, dataclasses.replace(micro_config, scale_hidden=hidden))
    rng = np.random.default_rng(1)
    integers = integers_of(network)
    if hidden == 128:
        integers["weight"] = rng.integers(90, 128, integers["weight"].shape, np.int32)
        integers["hidden_bias"][:] = 127
        integers["bias"][:] -= 12_000_000 - integers["bias"].min()
    theirs = network.scale_map
    theirs.load_integers({name: torch.from_numpy(v).double() for name, v in integers.items()})
    integers = {k: v.numpy().astype(np.int32) for k, v in theirs.integers().items()}
    mine = ScaleMap(network.config, STEPS, integers)
    assert mine.kind == (np.float32 if hidden == 8 else np.float64)
    digits = (2 * rng.integers(0, 4, (2, 3, 3, 5)) - 3).astype(np.float32)
    symbols = rng.integers(-9, 10, (2, 16, 12, 20)).astype(np.float32)
    for quality in (0, 1, 33, 50, 99, 100):
        base = theirs.base(torch.from_numpy(digits), torch.full((2,), quality))
        found = mine.base(digits, quality)
        assert found.dtype == mine.kind
        assert np.array_equal(found, base.numpy())
        assert np.array_equal(mine.to_rows(found), theirs.to_rows(base).numpy())
    for step in range(1, STEPS):
        added = theirs.context(torch.from_numpy(symbols), step)
        assert np.array_equal(mine.context(symbols, step), added.numpy())


@pytest.mark.parametrize(("weight", "kind"), [(114, np.float32), (115, np.float64)])
def test_float32_is_taken_as_far_as_it_is_exact(make_model, micro_config, weight, kind):
    config = dataclasses.replace(micro_config, scale_hidden=128)
    integers = integers_of(make_model(5, config))
    integers = {name: np.zeros_like(value) for name, value in integers.items()}
    integers["weight"][3] = weight
    # The largest sum there can be, and the half that rounding adds to it.
    assert (127 * weight * 9 * 128 + 512 < 1 << 24) == (kind == np.float32)
    assert ScaleMap(config, STEPS, integers).kind == kind


def test_integers_are_checked(make_model, micro_config):
    good = integers_of(make_model(5))
    cases = {
        "scale_map.bias: expected shape .* of integers": good
        | {"bias": good["bias"].astype(np.float32)},
        r"scale_map.weight: expected shape \(256, 72\)": good | {"weight": good["weight"][1:]},
        "scale_map.weight holds integers that are out of range": good
        | {"weight": np.full_like(good["weight"], 128)},
        "unexpected tensors: scale_map.other": good | {"other": good["bias"]},
        "found nothing": {name: value for name, value in good.items() if name != "weight"},
    }
    for message, changed in cases.items():
        with pytest.raises(WeightsError, match=message):
            ScaleMap(micro_config, STEPS, changed)
