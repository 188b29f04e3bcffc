"""A loss against grids: what repeats with the period of the latent must not be invented.

Upsampling layers like to leave patterns of 4, 8 or 16 pixels that perceptual losses hardly see.
Knows nothing of networks.
"""

from __future__ import annotations

from torch import Tensor

PERIOD = 16
"""Pixels per position of the latent; shorter grids repeat with it too."""


def grid_loss(x: Tensor, x_hat: Tensor, window: int = 64) -> Tensor:
    """Mean squared error of the part of the error that repeats every 16 pixels in a window.

    The error is folded: the 16 x 16 tiles of each window are averaged, so that texture, which does
    not repeat, mostly cancels, while a grid stays whole. So this is a squared error on one
    sixteenth of all directions, and leaves the rest to the perceptual losses.

    Args:
        x: (B, C, H, W), H and W multiples of ``window``.
        x_hat: same shape; gradients flow into it.
        window: side of a window in pixels, a multiple of 16.

    Returns:
        Scalar, in squared units of x.
    """
    error = (x_hat - x).float()
    tiles = window // PERIOD
    folded = error.unflatten(3, (-1, tiles, PERIOD)).mean(dim=4)
    folded = folded.unflatten(2, (-1, tiles, PERIOD)).mean(dim=3)
    # (B, C, windows, 16, windows, 16); the mean of a window is colour, not grid.
    pattern = folded - folded.mean(dim=(3, 5), keepdim=True)
    return pattern.square().mean()
