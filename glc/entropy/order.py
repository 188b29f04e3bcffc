"""The order in which the symbols of a message are coded: by their rows, from either end.

Knows nothing of tables or of which file uses which order. See docs/format.md, section 8.4.
"""

from __future__ import annotations

from enum import Enum

import numpy as np
from numpy.typing import NDArray

__all__ = ["Order", "coding_order"]


class Order(Enum):
    """Which rows of a message come first; costs nothing, and decides what a part of it shows."""

    SMALL_FIRST = "small scales first"
    """Rows from 1 to 63."""
    LARGE_FIRST = "large scales first"
    """Rows from 63 to 1."""


def coding_order(
    rows: NDArray[np.uint8], order: Order
) -> tuple[NDArray[np.intp], list[tuple[int, int]]]:
    """Return where the symbols of a message are, one after the other as they are coded.

    Args:
        rows: (n,), the row of each; those of row 0 are not coded.
        order: which rows come first.

    Returns:
        positions: (number of rows above 0,), in 0 .. n - 1; within a row they ascend.
        groups: (row, how many symbols of it), one after the other; none is empty.
    """
    counts = np.bincount(rows).tolist()
    coded = len(rows) - counts[0] if counts else 0
    groups = [(row, count) for row, count in enumerate(counts) if row and count]
    if order is Order.LARGE_FIRST:
        return np.argsort(255 - rows, kind="stable")[:coded], groups[::-1]
    return np.argsort(rows, kind="stable")[len(rows) - coded :], groups
