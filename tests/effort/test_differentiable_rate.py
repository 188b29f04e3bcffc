"""The smooth bits against the tables and against integers."""

from __future__ import annotations

import torch

from glc.effort.differentiable_rate import sigma_of_rows, symbol_bits
from glc.entropy import ROWS, sigma_of_row


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
