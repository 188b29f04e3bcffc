"""The boundary between floats and integers."""

from __future__ import annotations

import pytest
import torch

from glc.pipeline import to_symbols as array_symbols
from glc.quantize import clamp_through, round_from, round_through, to_symbols


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


def test_symbols_are_rounded_residuals_where_they_are_coded():
    y = torch.tensor([[[[2.6, 2.6, 2.6, 1e9, -1e9]]]])
    mean, step = torch.full_like(y, 0.1), torch.full_like(y, 0.5)
    rows = torch.tensor([[[[5, 0, 5, 63, 1]]]])
    mask = torch.tensor([[[[True, True, False, True, True]]]])
    symbols = to_symbols(y, mean, step, rows, mask)
    assert symbols.dtype == torch.float32
    assert symbols.flatten().tolist() == [5.0, 0.0, 0.0, 32767.0, -32767.0]


def test_a_dead_zone_rounds_what_is_below_its_threshold_to_nothing():
    x = torch.tensor([-1.7, -1.5, -0.61, -0.59, 0.0, 0.5, 0.59, 0.61, 1.59, 1.61, 12.61])
    expected = [-2.0, -1.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 2.0, 13.0]
    assert round_from(x, 0.6).tolist() == expected
    x.requires_grad_(True)
    round_from(x, 0.6).sum().backward()
    assert x.grad.tolist() == [1.0] * len(x)


@pytest.mark.parametrize("threshold", [0.5, 0.6])
def test_arrays_and_tensors_become_the_same_symbols(threshold):
    residual = torch.randn(4, 8, 16, 16, generator=torch.Generator().manual_seed(2)) * 3
    residual[0, 0, 0] = 0.5
    one, rows = torch.ones_like(residual), torch.full_like(residual, 9)
    tensors = to_symbols(residual, torch.zeros_like(one), one, rows, rows > 0, threshold)
    assert torch.equal(tensors, torch.from_numpy(array_symbols(residual.numpy(), threshold)))
