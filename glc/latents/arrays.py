"""Latents for other programs: numpy arrays in, numpy arrays out, channels last.

Knows nothing of files, symbols or networks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from glc.config import LATENT_STRIDE

__all__ = ["check", "to_arrays", "to_batch"]


def to_arrays(l: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """(B, C, h, w) -> B arrays (h, w, C), contiguous."""
    return list(np.ascontiguousarray(l.transpose(0, 2, 3, 1)))


def to_batch(latents: NDArray[Any]) -> NDArray[np.float32]:
    """(h, w, C) -> (1, C, h, w) float32, contiguous."""
    return np.ascontiguousarray(latents.transpose(2, 0, 1)[None], np.float32)


def check(latents: NDArray[Any], channels: int, size: tuple[int, int] | None) -> tuple[int, int]:
    """Return the (width, height) in pixels to which latents are decoded.

    Args:
        latents: what a caller gave.
        channels: what the model has.
        size: what the caller wants; None for all that the latents cover.

    Raises:
        ValueError: latents of another shape or not finite, or a size that they do not cover.
    """
    if latents.ndim != 3 or latents.shape[2] != channels or 0 in latents.shape:
        raise ValueError(f"latents: expected shape (h, w, {channels}), found {latents.shape}")
    if not np.isfinite(latents).all():
        raise ValueError("latents: expected finite numbers")
    largest = latents.shape[1] * LATENT_STRIDE, latents.shape[0] * LATENT_STRIDE
    width, height = size or largest
    if not (1 <= width <= largest[0] and 1 <= height <= largest[1]):
        raise ValueError(f"size: expected 1 x 1 to {largest[0]} x {largest[1]}, found {size}")
    return width, height
