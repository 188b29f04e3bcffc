"""The rate that training sees against the tables, and the controller."""

from __future__ import annotations

import math

import torch

from glc.entropy import ROWS, sigma_of_row
from glc.training.rate import RateControl, sigma_of_rows, symbol_bits


def test_rows_mean_what_the_entropy_coder_means() -> None:
    rows = torch.arange(1, ROWS, dtype=torch.float64)
    expected = torch.tensor([sigma_of_row(int(row)) for row in rows], dtype=torch.float64)
    torch.testing.assert_close(sigma_of_rows(rows), expected)


def test_bits_are_those_of_integers_with_gradients_to_both() -> None:
    residual = torch.tensor([0.3, -1.2, 5.4], requires_grad=True)
    rows = torch.tensor([1.0, 30.0, 50.0], requires_grad=True)
    bits = symbol_bits(residual, rows)
    torch.testing.assert_close(bits, symbol_bits(residual.detach().round(), rows.detach()))
    bits.sum().backward()
    assert residual.grad is not None
    assert rows.grad is not None
    assert torch.equal(residual.grad.sign(), residual.detach().sign())
    assert (rows.grad != 0).all()


def test_the_mass_of_all_symbols_is_one() -> None:
    symbols = torch.arange(-400.0, 401.0)
    for row in (1.0, 20.0, 63.0):
        mass = torch.exp2(-symbol_bits(symbols, torch.full_like(symbols, row))).sum()
        assert abs(float(mass) - 1.0) < 1e-3


def settle(batch: int) -> RateControl:
    """Let rates answer the weights as rate ~ 1 / weight, and wait."""
    control = RateControl(3, 0.01, 0.16)
    generator = torch.Generator().manual_seed(0)
    for _ in range(3000):
        quality = torch.randint(0, 101, (batch,), generator=generator)
        bpp = 0.02 / control.weight(quality)
        control.move(control.error(quality, bpp, 1.0))
    return control


def test_the_controller_settles_at_the_target_whatever_the_batch() -> None:
    for batch in (2, 64):
        weights = settle(batch).weight(torch.tensor([0, 50, 100]))
        torch.testing.assert_close(
            0.02 / weights, torch.tensor([0.01, 0.04, 0.16]), rtol=0.1, atol=0
        )


def test_a_rate_that_is_not_finite_moves_nothing() -> None:
    control = RateControl(3, 0.01, 0.16)
    before = control.log_weight.clone()
    quality = torch.tensor([0, 50, 100])
    control.move(control.error(quality, torch.full((3,), math.nan), 1.0))
    assert torch.equal(control.log_weight, before)
    control.move(control.error(quality, torch.full((3,), 1.0), 1.0))
    assert (control.log_weight > before).all()
