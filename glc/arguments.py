"""Numbers as callers give them: of any type, as long as they are whole and within bounds."""

from __future__ import annotations

import operator
from typing import Any

from glc.config import DEFAULT_REALISM, QUALITY_MAX, REALISM_MAX

__all__ = ["check_quality", "check_realism", "check_size", "whole_number"]


def whole_number(name: str, value: Any, least: int, most: int | None = None) -> int:
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


def check_quality(quality: Any) -> int:
    """Return a quality as an int, of whatever type it is.

    Raises:
        ValueError: it is not a whole number from 0 to 100.
    """
    return whole_number("quality", quality, 0, QUALITY_MAX)


def check_realism(realism: Any) -> float:
    """Return a realism as the share from 0 to 1 that D takes; None is the default.

    Raises:
        ValueError: it is not a whole number from 0 to 100, of whatever type.
    """
    if realism is None:
        realism = DEFAULT_REALISM
    return whole_number("realism", realism, 0, REALISM_MAX) / REALISM_MAX


def check_size(max_bytes: Any) -> int:
    """Return the most bytes that a file may have as an int, of whatever type it is.

    Raises:
        ValueError: it is not a whole number of 1 or more.
    """
    return whole_number("max_bytes", max_bytes, 1)


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
