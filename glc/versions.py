"""What the version of a file says of its payload; nothing else in the code asks.

The one module that knows of format versions and of coding orders. FORMAT.md, section 7.3.
"""

from __future__ import annotations

from glc.entropy import Order

__all__ = ["order_of"]

_ORDERS = {1: Order.SMALL_FIRST, 2: Order.LARGE_FIRST}


def order_of(version: int) -> Order:
    """Return the order of the symbols in files of a format version that can be read."""
    return _ORDERS[version]
