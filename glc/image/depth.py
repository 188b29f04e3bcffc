"""Samples of more than 8 bits, brought down to 8.

Knows nothing of files or of what samples mean.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from glc.errors import ImageError

__all__ = ["WIDEST", "narrow", "narrow_float", "undo_premultiplying"]

Plane: TypeAlias = NDArray[np.uint8]

WIDEST = 65_535
"""The largest value of 16 bits."""


def narrow(values: NDArray[Any], largest: int = WIDEST, curve: Plane | None = None) -> Plane:
    """Return ``values * 255 / largest``, rounded.

    Args:
        values: integers in 0 .. largest.
        largest: what becomes 255; at most 65,535.
        curve: what each value becomes instead; (largest + 1,).
    """
    if curve is not None:
        found: Plane = curve[values]
        return found
    wide = values.astype(np.uint32)
    return ((wide * 255 + largest // 2) // largest).astype(np.uint8)


def narrow_float(values: NDArray[np.float32]) -> Plane:
    """Return 0 .. 1 as 0 .. 255 if nothing is larger than 1, else the values themselves, rounded.

    Raises:
        ImageError: some are not finite.
    """
    if not np.isfinite(values).all():
        raise ImageError("floating-point values that are not finite")
    scale = 255.0 if values.max() <= 1 else 1.0
    found: Plane = np.rint(np.clip(values * scale, 0, 255)).astype(np.uint8)
    return found


def undo_premultiplying(
    values: NDArray[Any], alpha: NDArray[Any], largest: int = WIDEST
) -> NDArray[np.uint32]:
    """Divide colours by their alpha, rounded; where it is 0 they stay.

    Args:
        values: (..., C), integers in 0 .. largest.
        alpha: (...), the same.
        largest: what is opaque.
    """
    divisor = np.where(alpha == 0, largest, alpha).astype(np.uint64)[..., None]
    found = (values.astype(np.uint64) * largest + divisor // 2) // divisor
    within: NDArray[np.uint32] = np.minimum(found, largest).astype(np.uint32)
    return within
