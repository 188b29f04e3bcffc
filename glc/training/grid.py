"""Losses on what perceptual networks hardly see: grids, and the colour of an area.

Knows nothing of networks.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

PERIODS = ((4, 32), (8, 64), (16, 64))
"""Period of a grid and side of the window in which it is looked for, both in pixels: upsampling
layers leave patterns of 4 and 8 pixels, the latent those of 16."""


def grid_loss(x: Tensor, x_hat: Tensor) -> Tensor:
    """Squared error of the part of the error that repeats within a window, for each period.

    The error is folded: the tiles of each window are averaged, so that texture, which does not
    repeat, mostly cancels, while a grid stays whole. Times the number of tiles, an error without
    any structure counts as much as in a plain mean squared error. So this is a squared error on a
    few directions, and leaves all others to the perceptual losses.

    Args:
        x: (B, C, H, W), H and W multiples of 64.
        x_hat: same shape; gradients flow into it.

    Returns:
        Scalar, in squared units of x.
    """
    error = (x_hat - x).float()
    total = error.new_zeros(())
    for period, window in PERIODS:
        tiles = window // period
        folded = error.unflatten(3, (-1, tiles, period)).mean(dim=4)
        folded = folded.unflatten(2, (-1, tiles, period)).mean(dim=3)
        # (B, C, windows, period, windows, period); the mean of a window is colour, not grid.
        pattern = folded - folded.mean(dim=(3, 5), keepdim=True)
        total = total + tiles * tiles * pattern.square().mean()
    return total / len(PERIODS)


def area_loss(x: Tensor, x_hat: Tensor, side: int = 8) -> Tensor:
    """Mean absolute error of areas of ``side`` pixels: keeps colours, ignores texture. Scalar."""
    areas: Tensor = functional.avg_pool2d((x_hat - x).float(), side)
    return areas.abs().mean()
