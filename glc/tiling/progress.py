"""How much of the work is done, and who is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

__all__ = ["Progress", "part"]

Progress: TypeAlias = Callable[[float], None]
"""Called with the share of a picture's work that is done, 0 to 1."""


def part(progress: Progress | None, start: float, stop: float) -> Progress | None:
    """Return the progress of a stage that is the part from ``start`` to ``stop`` of the whole."""
    if progress is None:
        return None
    whole = progress
    return lambda share: whole(start + (stop - start) * share)
