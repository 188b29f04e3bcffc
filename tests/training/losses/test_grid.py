"""What the losses against grids and wrong colours see, and what they leave alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from eval.metrics.grid import line_level_db
from glc.training.losses.grid import area_loss, colour_loss, grid_loss, line_loss, smooth_loss


def noise() -> torch.Tensor:
    return torch.randn(4, 3, 128, 128, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("period", [4, 8, 16])
def test_a_grid_weighs_much_more_than_texture(period: int) -> None:
    x = noise()
    tile = torch.randn(1, 3, period, period, generator=torch.Generator().manual_seed(2))
    tile = tile - tile.mean()
    grid = tile.repeat(4, 1, 128 // period, 128 // period)
    assert grid_loss(x, x + grid).min() > 10 * grid_loss(x, x + noise().flip(0)).max()


def test_texture_counts_as_in_a_squared_error() -> None:
    x = torch.zeros(4, 3, 128, 128)
    loss = grid_loss(x, noise())
    assert loss.shape == (4,)
    assert loss.min() > 0.8
    assert loss.max() < 1.1


def test_a_colour_is_no_grid_and_a_texture_no_colour() -> None:
    x = noise()
    assert grid_loss(x, x + 0.5).max() < 1e-6
    torch.testing.assert_close(area_loss(x, x + 0.5), torch.full((4,), 0.5))
    torch.testing.assert_close(colour_loss(x, x + 0.5), torch.full((4,), 0.5))
    checks = (torch.arange(128) % 2 * 2.0 - 1.0).expand(4, 3, 128, 128)
    assert area_loss(x, x + checks).max() < 1e-6
    assert colour_loss(x, x + checks).max() < 1e-6


def test_every_picture_has_a_loss_of_its_own() -> None:
    x, x_hat = noise(), noise().flip(0) * 1.5
    for loss in (grid_loss, area_loss, colour_loss, line_loss, smooth_loss):
        together = loss(x, x_hat)
        alone = torch.cat([loss(x[i : i + 1], x_hat[i : i + 1]) for i in range(len(x))])
        torch.testing.assert_close(together, alone)


def test_grain_counts_where_the_original_is_smooth_and_nowhere_else() -> None:
    flat, texture, grain = torch.zeros(4, 3, 128, 128), noise(), 0.02 * noise().flip(0)
    seen, hidden = smooth_loss(flat, flat + grain), smooth_loss(texture, texture + grain)
    torch.testing.assert_close(seen, grain.square().flatten(1).mean(1))
    assert float((hidden / seen).max()) < 0.01


def test_colours_are_those_of_a_position_of_the_latent() -> None:
    x = torch.zeros(1, 3, 64, 64)
    checks = (torch.arange(64) // 8 % 2 * 2.0 - 1.0).expand(1, 3, 64, 64)
    # Stripes of 8 pixels: seen by areas of 8, averaged out over 16.
    assert float(area_loss(x, checks)) == 1.0
    assert float(colour_loss(x, checks)) == 0.0


def test_gradients_flow() -> None:
    x_hat = noise().requires_grad_(True)
    x = torch.zeros_like(x_hat)
    (
        grid_loss(x, x_hat) + area_loss(x, x_hat) + colour_loss(x, x_hat) + smooth_loss(x, x_hat)
    ).sum().backward()
    assert x_hat.grad is not None
    assert x_hat.grad.abs().sum() > 0


def photo_like() -> torch.Tensor:
    """A spectrum that falls with frequency, as that of a photo; levels of 8 bits."""
    field = torch.fft.rfft2(torch.randn(1, 3, 256, 256, generator=torch.Generator().manual_seed(3)))
    rows, columns = torch.fft.fftfreq(256)[:, None], torch.fft.rfftfreq(256)
    field = torch.fft.irfft2(field / (0.02 + rows.square() + columns.square()).sqrt())
    field = field / field.abs().max()
    return ((field + 1.0) * 127.5).round() / 127.5 - 1.0


def to_array(x: torch.Tensor) -> np.ndarray:
    return ((x[0].permute(1, 2, 0) + 1.0) * 127.5).round().numpy().astype(np.uint8)


@pytest.mark.parametrize("period", [2, 4, 8, 16])
def test_lines_see_a_faint_grid_of_every_period(period: int) -> None:
    x = photo_like()
    x_hat = x.clone()
    x_hat[..., ::period] += 12.0 / 127.5
    x_hat = x_hat.clamp(-1.0, 1.0).requires_grad_(True)
    loss = line_loss(x, x_hat)
    assert float(line_loss(x, x)) == 0.0
    assert loss > 0.02
    loss.backward()
    assert x_hat.grad is not None
    assert bool(x_hat.grad.isfinite().all())
    assert float(x_hat.grad.abs().sum()) > 0


def test_missing_lines_count_half() -> None:
    x = photo_like()
    gridded = x.clone()
    gridded[..., ::16] += 20.0 / 127.5
    gridded[..., ::16, :] += 20.0 / 127.5
    excess, shortfall = float(line_loss(x, gridded)), float(line_loss(gridded, x))
    assert shortfall == pytest.approx(excess / 2.0, rel=0.01)


def test_lines_are_those_of_the_evaluation() -> None:
    x = photo_like()
    x_hat = x.clone()
    # A grid along both axes of every harmonic raises every line, so that no excess is cut off.
    x_hat[..., ::16] += 20.0 / 127.5
    x_hat[..., ::16, :] += 20.0 / 127.5
    x_hat = x_hat.clamp(-1.0, 1.0)
    excess_db = line_level_db(to_array(x_hat)) - line_level_db(to_array(x))
    assert float(line_loss(x, x_hat)) * 10.0 / math.log(10.0) == pytest.approx(excess_db, rel=0.01)
