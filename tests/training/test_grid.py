"""What the losses against grids and wrong colours see, and what they leave alone."""

from __future__ import annotations

import pytest
import torch

from glc.training.grid import area_loss, grid_loss


def noise() -> torch.Tensor:
    return torch.randn(4, 3, 128, 128, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("period", [4, 8, 16])
def test_a_grid_weighs_much_more_than_texture(period: int) -> None:
    x = noise()
    tile = torch.randn(1, 3, period, period, generator=torch.Generator().manual_seed(2))
    tile = tile - tile.mean()
    grid = tile.repeat(4, 1, 128 // period, 128 // period)
    assert float(grid_loss(x, x + grid)) > 10 * float(grid_loss(x, x + noise().flip(0)))


def test_texture_counts_as_in_a_squared_error() -> None:
    x = torch.zeros(4, 3, 128, 128)
    loss = float(grid_loss(x, noise()))
    assert 0.8 < loss < 1.1


def test_a_colour_is_no_grid_and_a_texture_no_colour() -> None:
    x = noise()
    assert float(grid_loss(x, x + 0.5)) < 1e-6
    torch.testing.assert_close(area_loss(x, x + 0.5), torch.tensor(0.5))
    checks = (torch.arange(128) % 2 * 2.0 - 1.0).expand(4, 3, 128, 128)
    assert float(area_loss(x, x + checks)) < 1e-6


def test_gradients_flow() -> None:
    x_hat = noise().requires_grad_(True)
    (
        grid_loss(torch.zeros_like(x_hat), x_hat) + area_loss(torch.zeros_like(x_hat), x_hat)
    ).backward()
    assert x_hat.grad is not None
    assert x_hat.grad.abs().sum() > 0
