"""Conversions in bands of some rows, so that each copy is a small one.

Knows nothing of what is converted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["Plane", "bands", "row_slices", "to_plane"]

Plane: TypeAlias = NDArray[np.uint8]

_BAND_PIXELS = 1 << 20


def bands(flat: Image.Image | Plane) -> Iterator[tuple[slice, Image.Image]]:
    """Yield a picture in pieces of some rows.

    Every conversion by Pillow, and every array of what it made, is a copy: let it be a small one.
    """
    height, width = flat.shape[:2] if isinstance(flat, np.ndarray) else (flat.height, flat.width)
    for rows in row_slices(height, width):
        if isinstance(flat, np.ndarray):
            yield rows, Image.fromarray(flat[rows])
        else:
            yield rows, flat.crop((0, rows.start, width, rows.stop))


def row_slices(height: int, width: int) -> Iterator[slice]:
    """Yield the rows of each band of a picture of this size."""
    count = max(1, _BAND_PIXELS // width)
    for top in range(0, height, count):
        yield slice(top, min(top + count, height))


def to_plane(
    flat: Image.Image | Plane, convert: Callable[[Image.Image], Image.Image], channels: int = 1
) -> Plane:
    """Convert a picture band by band to one of as many channels: (H, W, channels) or (H, W)."""
    size = flat.shape[:2] if isinstance(flat, np.ndarray) else (flat.height, flat.width)
    plane = np.empty(size if channels == 1 else (*size, channels), np.uint8)
    for rows, band in bands(flat):
        plane[rows] = np.asarray(convert(band))
    return plane
