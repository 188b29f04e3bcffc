"""Where the bits of a picture go: the cost of every symbol, put back at its place.

Knows nothing of files or networks; works on the integers that are coded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glc.coding_loop import pick, put
from glc.config import IMAGE_STRIDE, LATENT_STRIDE
from glc.entropy import ScaleTables
from glc.tiling.sizes import inside

__all__ = ["bits_per_position", "place_rows"]


def place_rows(
    messages: Sequence[tuple[NDArray[np.integer[Any]], NDArray[np.integer[Any]]]],
    shape: tuple[int, int, int],
    height: int,
    width: int,
) -> NDArray[np.uint8]:
    """Undo the coding order: put the row of every symbol back at its element of y.

    Args:
        messages: rows and symbols of each step, as ``Codec.quantise`` returns them.
        shape: of y, (C, h, w).
        height: of the picture, in pixels.
        width: of the picture, in pixels.

    Returns:
        (C, h, w) uint8; 0 outside of the picture.
    """
    down, right = inside(height, width)
    coded = np.zeros((1, *shape), np.bool_)
    coded[..., :down, :right] = True
    placed = np.zeros((1, *shape), np.uint8)
    for step, (rows, _) in enumerate(messages):
        where = pick(step, coded)
        picked = np.zeros(where.shape, np.uint8)
        picked[where] = rows
        put(step, placed, picked)
    found: NDArray[np.uint8] = placed[0]
    return found


def bits_per_position(
    scales: ScaleTables,
    rows: NDArray[np.integer[Any]],
    symbols: NDArray[np.integer[Any]],
    z_bits: NDArray[np.float64],
    height: int,
    width: int,
) -> NDArray[np.float64]:
    """Return the bits spent on every position of 16 x 16 pixels.

    The bits of an index of z, which stands for 64 x 64 pixels, are shared evenly by those of its
    positions that touch the picture.

    Args:
        scales: the tables of the symbols.
        rows: (C, h, w), the table of each.
        symbols: (C, h, w).
        z_bits: (h / 4, w / 4), the cost of each index.
        height: of the picture, in pixels.
        width: of the picture, in pixels.

    Returns:
        (ceil(height / 16), ceil(width / 16)) float64; the sum is that of all bits.
    """
    costs = np.zeros(rows.shape)
    coded = rows > 0
    costs[coded] = scales.bits(symbols[coded], rows[coded])
    per_side = IMAGE_STRIDE // LATENT_STRIDE
    down, right = inside(height, width)
    owner_y, owner_x = np.arange(down) // per_side, np.arange(right) // per_side
    shared_by = np.outer(np.bincount(owner_y), np.bincount(owner_x))
    bits: NDArray[np.float64] = costs.sum(axis=0)[:down, :right]
    return bits + (z_bits / shared_by)[np.ix_(owner_y, owner_x)]
