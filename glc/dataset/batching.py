"""Which pictures go through the networks together: those of one size, and not too many.

Knows nothing of pixels or files; standard library only.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

__all__ = ["BATCH_PIXELS", "split"]

BATCH_PIXELS = 1 << 22
"""Pixels that run through the networks at once; 4 Mpixel take about 0.9 GB to decode."""


def split(kinds: Sequence[Hashable], pixels: Sequence[int], limit: int) -> Iterator[list[int]]:
    """Group positions of equal kind so that no group of several exceeds a number of pixels.

    Args:
        kinds: of each item; only equal ones may share a group.
        pixels: of each item, equal for equal kinds.
        limit: pixels per group.

    Yields:
        Positions, every one of them exactly once.
    """
    members: dict[Hashable, list[int]] = {}
    for position, kind in enumerate(kinds):
        members.setdefault(kind, []).append(position)
    for group in members.values():
        size = max(1, limit // pixels[group[0]])
        for start in range(0, len(group), size):
            yield group[start : start + size]
