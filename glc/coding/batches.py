"""Which of several pictures or files run together: those of one padded size, and one quality.

Positions only; knows nothing of what is done with them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from glc.bitstream import Container
from glc.image import Picture
from glc.tiling.sizes import padded

__all__ = ["files_alike", "join", "pictures_alike"]

_Kind = TypeVar("_Kind", bound="np.generic")


def pictures_alike(pictures: Sequence[Picture]) -> list[list[int]]:
    """Return the positions of the pictures of each padded size."""
    return _group([padded(picture.height, picture.width) for picture in pictures])


def files_alike(containers: Sequence[Container]) -> Iterator[tuple[list[int], list[Container]]]:
    """Yield the positions, and the files, of each padded size and quality."""
    for members in _group([(*padded(c.height, c.width), c.quality) for c in containers]):
        yield members, [containers[index] for index in members]


def join(batches: Sequence[NDArray[_Kind]]) -> NDArray[_Kind]:
    """Put batches into one; a single one is not copied."""
    return batches[0] if len(batches) == 1 else np.concatenate(batches)


def _group(kinds: Sequence[Hashable]) -> list[list[int]]:
    """Return the positions of each kind, in the order in which kinds first come."""
    groups: OrderedDict[Hashable, list[int]] = OrderedDict()
    for index, kind in enumerate(kinds):
        groups.setdefault(kind, []).append(index)
    return list(groups.values())
