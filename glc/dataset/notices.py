"""What a user should know of a dataset though nothing failed: each kind of it once, and how often.

Knows nothing of pictures.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Notice", "Notices"]


class Notice(NamedTuple):
    """One kind of thing that happened."""

    text: str
    times: int
    first: str
    """The key or name that it happened to first."""


class Notices:
    """Notices in the order of their first occurrence."""

    def __init__(self) -> None:
        self._found: dict[str, Notice] = {}

    def add(self, text: str, name: str) -> None:
        """Count what happened to something of this name."""
        known = self._found.get(text, Notice(text, 0, name))
        self._found[text] = known._replace(times=known.times + 1)

    def __iter__(self) -> Iterator[Notice]:
        return iter(self._found.values())

    def __len__(self) -> int:
        return len(self._found)
