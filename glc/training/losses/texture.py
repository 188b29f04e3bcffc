"""Texture as feature networks see it: how strong their features are around a place, not where.

A position of a decoded picture may differ from the original and be the same grass. So means and
deviations of every feature over windows are compared, each with the saturating ratio that SSIM
(Wang et al., 2004) uses for both and DISTS (arXiv 2004.07728) uses on features of whole pictures.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

WINDOW = 48
"""Side in pixels of the windows whose features are compared."""

_FEWEST = 4
"""Positions that a side of a window has at least, where a layer has as many."""

_FLOOR = 0.02
"""Share of a channel's mean square in the batch below which a difference counts less; of the whole
batch, since what is silent in one picture says little there."""


def texture_distance(maps: list[Tensor], maps_hat: list[Tensor], side: int) -> Tensor:
    """Compare the statistics of features over windows that overlap by half.

    Args:
        maps: features of the originals, (B, C, h, w) each, of any scale.
        maps_hat: those of the decoded pictures, same shapes; gradients flow into them.
        side: width of the pictures in pixels, which says how large a position is.

    Returns:
        (B,) in [0, 2], mean over layers, channels and windows; 0 where the statistics agree.
    """
    total = maps[0].new_zeros(len(maps[0]))
    for f, f_hat in zip(maps, maps_hat, strict=True):
        smallest = min(f.shape[2:])
        window = min(smallest, max(_FEWEST, round(WINDOW * f.shape[3] / side)))
        floor = _FLOOR * f.square().mean(dim=(0, 2, 3), keepdim=True) + 1e-12
        mean, deviation = _statistics(f, window, floor)
        mean_hat, deviation_hat = _statistics(f_hat, window, floor)
        apart = _ratio(mean, mean_hat, floor) + _ratio(deviation, deviation_hat, floor)
        total = total + apart.flatten(1).mean(1)
    return total / len(maps)


def _statistics(f: Tensor, window: int, floor: Tensor) -> tuple[Tensor, Tensor]:
    stride = max(1, window // 2)
    mean = functional.avg_pool2d(f, window, stride)
    square = functional.avg_pool2d(f.square(), window, stride)
    # The floor within the root keeps its gradient finite where a feature is silent.
    variance = (square - mean.square()).clamp_min(0.0)
    return mean, torch.sqrt(variance + 1e-3 * floor)


def _ratio(a: Tensor, b: Tensor, floor: Tensor) -> Tensor:
    return (a - b).square() / (a.square() + b.square() + floor)
