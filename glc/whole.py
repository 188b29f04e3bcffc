"""Whole numbers as callers give them: of any type, as long as they are whole.

Knows nothing of what they count.
"""

from __future__ import annotations

import operator
from typing import Any

__all__ = ["whole"]


def whole(name: str, value: Any, least: int, most: int | None = None) -> int:
    """Return a whole number within bounds as an int.

    Args:
        name: of the argument, for the error.
        value: an int, an integer or float of numpy or torch, a float such as 40.0. No bool and no
            text: where those stand for a number, somebody is mistaken.
        least: the smallest that is taken.
        most: the largest; None has no limit.

    Raises:
        ValueError: anything else; the message gives name, bounds and value.
    """
    number = _whole(value)
    if number is None or number < least or (most is not None and number > most):
        bounds = f"of {least} or more" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name}: expected a whole number {bounds}, found {repr(value)[:60]}")
    return number


def _whole(value: Any) -> int | None:
    """Return the int that a value stands for, None if it is not a whole number."""
    # bool is an int, and float() would take those of numpy and torch, and text.
    is_truth = isinstance(value, bool) or str(getattr(value, "dtype", "")).endswith("bool")
    if is_truth or isinstance(value, (str, bytes, bytearray)) or getattr(value, "ndim", 0) != 0:
        return None
    try:
        return operator.index(value)
    except TypeError:
        pass
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return int(number) if number.is_integer() else None
