"""Pixels as arrays of uint8 to what the networks take and give, a window at a time.

Knows nothing of networks or files.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from glc.tiles import Window

__all__ = ["read", "write"]


def read(rgb: NDArray[np.uint8], device: torch.device, window: Window) -> Tensor:
    """Return a window of the padded picture, which repeats its last row and column.

    Args:
        rgb: (H, W, 3) uint8, not padded.
        device: of the result.
        window: holds at least one pixel of the picture.

    Returns:
        (1, 3, h, w) float32 in [-1, 1].
    """
    rows, columns = window.at(1)
    pixels = rgb[rows, columns]
    below = rows.stop - rows.start - pixels.shape[0]
    beside = columns.stop - columns.start - pixels.shape[1]
    if below or beside:
        pixels = np.pad(pixels, ((0, below), (0, beside), (0, 0)), mode="edge")
    # A view of the caller's array may be read-only or backwards; torch wants neither.
    x = torch.from_numpy(np.array(pixels)).to(device).permute(2, 0, 1).unsqueeze(0)
    return x.float() / 127.5 - 1.0


def write(rgb: NDArray[np.uint8], tile: Window, x_hat: Tensor) -> None:
    """Round decoded pixels into their place; what lies beyond the picture is dropped.

    Args:
        rgb: (H, W, 3) uint8, not padded.
        tile: where they belong.
        x_hat: (1, 3, h, w) float32, about [-1, 1].
    """
    rows, columns = tile.at(1)
    target = rgb[rows, columns]
    pixels = ((x_hat[0].clamp(-1.0, 1.0) + 1.0) * 127.5).round().to(torch.uint8)
    target[...] = pixels.permute(1, 2, 0)[: target.shape[0], : target.shape[1]].cpu().numpy()
