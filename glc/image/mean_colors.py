"""What is missing of the mean colours of 64 x 64 pixels, and the picture with it added.

A generative decoder draws details that look right and drifts in brightness and tint, over areas
that are much larger than its details. A few symbols per 64 x 64 pixels say by how much.

Integers alone, so that every machine adds the same: docs/format.md, section 5.3.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["CELL", "add", "missing"]

CELL = 64
"""Side of what has one mean colour, in pixels: a position of z."""

STEPS = (12, 6, 6)
"""Levels of 255 per symbol, of brightness and the two colour differences."""

_TO_RGB = ((65536, 0, 91881), (65536, -22554, -46802), (65536, 116130, 0))
"""In units of 2**-16: Y, Cb, Cr of ITU-R BT.601, full range, to R, G, B."""
_CELL_LIMIT = 255 * 64
"""Colours of cells are whole numbers of 1/64 level."""
_TOP = 64
"""Rows of pixels that are handled at once, so that large pictures need no large memory."""
_PASSES = 4
_PACE = 0.8
_ROUND = 0.38
"""n steps are taken from n - .38 of them on, so that little costs nothing."""


def missing(original: NDArray[np.uint8], decoded: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return the symbols that bring a decoded picture nearest to the original's mean colours.

    Args:
        original: (H, W, 3).
        decoded: same shape.

    Returns:
        (3, h, w): multiples of ``STEPS``, of brightness and two colour differences of each cell.

    Raises:
        ValueError: two shapes.

    Example:
        >>> import numpy as np
        >>> from glc.image.mean_colors import missing
        >>> grey = np.full((64, 64, 3), 100, np.uint8)
        >>> missing(grey + 24, grey).ravel().tolist()
        [2, 0, 0]
    """
    if original.shape != decoded.shape:
        raise ValueError(f"decoded: expected {original.shape}, found {decoded.shape}")
    means = _means(original) - _means(decoded)
    red, green, blue = np.moveaxis(means, -1, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    wanted = np.stack([luma, (blue - luma) / 1.772, (red - luma) / 1.402])
    # What is added between the centres of cells brings their means down: ask for more.
    asked = wanted.copy()
    for _ in range(_PASSES):
        asked += _PACE * (wanted - _smoothed(asked))
    multiples = asked / np.array(STEPS, np.float64).reshape(3, 1, 1)
    rounded = np.copysign(np.floor(np.abs(multiples) + _ROUND), multiples)
    symbols: NDArray[np.int32] = rounded.astype(np.int32)
    return symbols


def add(pixels: NDArray[np.uint8], symbols: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Return a decoded picture with the colours that were missing.

    Args:
        pixels: (H, W, 3).
        symbols: as ``missing`` gives them, or any other integers of 16 bits.

    Returns:
        (H, W, 3), a new array.

    Raises:
        ValueError: symbols of another grid than that of the picture.

    Example:
        >>> import numpy as np
        >>> from glc.image.mean_colors import add
        >>> add(np.full((64, 64, 3), 100, np.uint8), np.array([2, 0, 0]).reshape(3, 1, 1))[0, 0]
        array([124, 124, 124], dtype=uint8)
    """
    height, width = pixels.shape[:2]
    expected = 3, -(-height // CELL), -(-width // CELL)
    if symbols.shape != expected:
        raise ValueError(f"symbols: expected {expected}, found {symbols.shape}")
    cells = _cells(symbols)
    left, right, weight = _neighbours(width, cells.shape[1])
    across: NDArray[np.int32] = (
        cells[:, left] * (128 - weight)[:, None] + cells[:, right] * weight[:, None]
    )
    above, below, share = _neighbours(height, cells.shape[0])
    result = np.empty_like(pixels)
    for start in range(0, height, _TOP):
        rows = slice(start, start + _TOP)
        part = share[rows, None, None]
        added = across[above[rows]] * (128 - part) + across[below[rows]] * part
        shown = pixels[rows] + np.right_shift(added + (1 << 19), 20, dtype=np.int32)
        result[rows] = np.clip(shown, 0, 255)
    return result


def _cells(symbols: NDArray[np.int32]) -> NDArray[np.int32]:
    """Turn symbols into colours in 1/64 level: (3, h, w) -> (h, w, 3)."""
    y, cb, cr = symbols.astype(np.int64) * np.array(STEPS, np.int64).reshape(3, 1, 1)
    rgb = np.stack([a * y + b * cb + c * cr for a, b, c in _TO_RGB], axis=-1)
    cells: NDArray[np.int32] = ((rgb + 512) >> 10).clip(-_CELL_LIMIT, _CELL_LIMIT).astype(np.int32)
    return cells


def _neighbours(
    side: int, count: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Return which two cells a row or column of pixels lies between, and the share of the second.

    Shares are in 1/128. Pixels beyond the first and last centre have their cell alone.
    """
    place = 2 * np.arange(side, dtype=np.int32) + 1 - CELL
    first = place >> 7
    last = np.int32(count - 1)
    weight = (place - (first << 7)).astype(np.int32)
    return np.clip(first, 0, last), np.clip(first + 1, 0, last), weight


def _means(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the mean colour of every cell, of those of its pixels that there are: (h, w, 3)."""
    height, width = pixels.shape[:2]
    starts = np.arange(0, height, CELL), np.arange(0, width, CELL)
    rows = [
        np.add.reduceat(pixels[top : top + CELL].sum(axis=0, dtype=np.int64), starts[1], axis=0)
        for top in starts[0]
    ]
    sizes = [
        np.diff(np.append(start, side)) for start, side in zip(starts, (height, width), strict=True)
    ]
    return np.stack(rows) / np.outer(*sizes)[:, :, None]


def _smoothed(cells: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the means of cells whose colours run from centre to centre: (3, h, w) -> same."""
    for axis in (1, 2):
        padded = np.pad(cells, [(1, 1) if axis == other else (0, 0) for other in range(3)], "edge")
        before = np.take(padded, range(cells.shape[axis]), axis)
        after = np.take(padded, range(2, cells.shape[axis] + 2), axis)
        cells = 0.75 * cells + 0.125 * (before + after)
    return cells
