"""Rounding: of what is coded, and with the gradients of training."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from glc.coding_loop import to_symbols
from glc.networks.quantize import clamp_through, round_from, round_through


def test_rounding_is_half_to_even_and_exact():
    x = torch.tensor([-2.5, -1.5, -0.5, 0.49999997, 0.5, 1.5, 2.5, 1e-30, 8388607.5])
    expected = torch.tensor([-2.0, -2.0, 0.0, 0.0, 0.0, 2.0, 2.0, 0.0, 8388608.0])
    assert torch.equal(round_through(x), expected)
    wide = torch.randn(10_000, generator=torch.Generator().manual_seed(0)) * 1000
    assert torch.equal(round_through(wide), wide.round())
    assert torch.equal(round_through(wide.double()), wide.double().round())


def test_the_gradient_of_rounding_is_one():
    x = torch.tensor([-1.3, 0.2, 7.9], requires_grad=True)
    (round_through(x) * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert x.grad.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("value", "slope", "expected"),
    [
        (0.5, 1.0, 1.0),
        (0.5, -1.0, -1.0),
        (-3.0, 1.0, 0.0),
        (-3.0, -1.0, -1.0),
        (4.0, -1.0, 0.0),
        (4.0, 1.0, 1.0),
    ],
)
def test_clamping_lets_only_gradients_inside(value, slope, expected):
    x = torch.tensor(value, requires_grad=True)
    y = clamp_through(x, -1.0, 1.0)
    assert y.item() == max(-1.0, min(1.0, value))
    (y * slope).backward()
    assert x.grad.item() == expected


def test_symbols_are_rounded_residuals_within_what_can_be_coded():
    residual = np.array([5.1, -0.5, 1.5, 2e9, -2e9], np.float32)
    symbols = to_symbols(residual, 0.5)
    assert symbols.dtype == np.float32
    assert symbols.tolist() == [5.0, 0.0, 2.0, 32767.0, -32767.0]
    assert to_symbols(residual, 0.6).tolist() == [5.0, 0.0, 1.0, 32767.0, -32767.0]


def test_a_dead_zone_rounds_what_is_below_its_threshold_to_nothing():
    x = torch.tensor([-1.7, -1.5, -0.61, -0.59, 0.0, 0.5, 0.59, 0.61, 1.59, 1.61, 12.61])
    expected = [-2.0, -1.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 2.0, 13.0]
    assert round_from(x, 0.6).tolist() == expected
    x.requires_grad_(True)
    round_from(x, 0.6).sum().backward()
    assert x.grad.tolist() == [1.0] * len(x)


def test_training_rounds_as_it_is_coded():
    residual = torch.randn(4, 8, 16, 16, generator=torch.Generator().manual_seed(2)) * 3
    residual[0, 0, 0] = 0.5
    assert torch.equal(round_through(residual), _coded(residual, 0.5))
    assert torch.equal(round_from(residual, 0.6), _coded(residual, 0.6))


def _coded(residual, threshold):
    return torch.from_numpy(to_symbols(residual.numpy(), threshold))
