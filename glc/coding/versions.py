"""Map a format version to the order of the symbols in its payload (docs/format.md, 8.4).

No other module may depend on what a version means.
"""

from __future__ import annotations

from glc.entropy import Order

__all__ = ["order_of"]

_ORDERS = {1: Order.SMALL_FIRST, 2: Order.LARGE_FIRST}


def order_of(version: int) -> Order:
    """Return the order of the symbols in files of a format version that can be read."""
    return _ORDERS[version]
