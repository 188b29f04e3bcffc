"""Where a large picture is cut into tiles.

Knows nothing of tensors: everything here is in pixels of the padded picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from glc.config import IMAGE_STRIDE
from glc.tiling.progress import Progress, part
from glc.tiling.sizes import round_up

__all__ = [
    "SMALLEST_SIDE",
    "TILE_SIDE",
    "UNCUT_SIDE",
    "SmallerTilesWarning",
    "Tiling",
    "Window",
    "cut",
]


UNCUT_SIDE = 2048
"""Unless told otherwise, pictures with no more pixels than a square of this side stay whole."""

TILE_SIDE = 1536
"""Unless told otherwise, larger pictures are cut into tiles of at most the area of such a square.
Both were chosen by measurement: docs/decisions.md."""

SMALLEST_SIDE = 192
"""Below it a tile is little more than the surroundings that it has to look at."""


class SmallerTilesWarning(UserWarning):
    """The device ran out of memory, and the work goes on in smaller tiles."""


@dataclass(frozen=True)
class Tiling:
    """How pictures are cut, and who is told when a tile is done.

    Raises:
        ValueError: a side that no tile can have.
    """

    side: int | None = None
    """Larger pictures than a square of this side are cut into tiles of at most its area; 0 cuts
    none, and None chooses by ``UNCUT_SIDE`` and ``TILE_SIDE``."""
    progress: Progress | None = None
    """Told after every tile."""
    takes_all: bool = False
    """Cut pictures of any size; those that fit into a tile are then at least taken one by one."""

    def __post_init__(self) -> None:
        if self.side is not None and self.side != 0 and self.side < IMAGE_STRIDE:
            raise ValueError(
                f"tile: expected 0 or at least {IMAGE_STRIDE} pixels, found {self.side}"
            )

    def side_for(self, height: int, width: int) -> int:
        """Return the side of the tiles of ``height`` x ``width`` pixels, 0 if they are not cut."""
        uncut = UNCUT_SIDE if self.side is None else self.side
        side = TILE_SIDE if self.side is None else self.side
        height, width = round_up(height, IMAGE_STRIDE), round_up(width, IMAGE_STRIDE)
        return side if self.takes_all or height * width > uncut * uncut else 0

    def within(self, start: float, stop: float) -> Tiling:
        """Return the same for a stage of the work, from ``start`` to ``stop`` of 0 to 1."""
        return replace(self, progress=part(self.progress, start, stop))

    def share(self, done: int, count: int, total: int) -> Tiling:
        """Return the same for ``count`` of ``total`` equal parts of the work, after ``done``."""
        return self.within(done / total, (done + count) / total)

    def smaller(self) -> Tiling | None:
        """Return what to try when memory ran out; None after "never", or where tiles are small."""
        side = (TILE_SIDE if self.side is None else self.side) // 2
        return replace(self, side=side, takes_all=True) if side >= SMALLEST_SIDE else None


@dataclass(frozen=True)
class Window:
    """A rectangle of the padded picture, in pixels."""

    top: int
    left: int
    bottom: int
    right: int

    @classmethod
    def padded(cls, height: int, width: int) -> Window:
        """Return all of ``height`` x ``width`` pixels, padded to the grid of the hyper-latent."""
        return cls(0, 0, round_up(height, IMAGE_STRIDE), round_up(width, IMAGE_STRIDE))

    def grown(self, reach: int, grid: int, limit: Window) -> Window:
        """Return the window with its surroundings.

        Args:
            reach: pixels that are needed beyond each side.
            grid: the sides move by a multiple of it.
            limit: nothing beyond it is there: a network pads with zeros, as it does for the whole
                picture.
        """
        margin = round_up(reach, grid)
        return Window(
            max(self.top - margin, limit.top),
            max(self.left - margin, limit.left),
            min(self.bottom + margin, limit.bottom),
            min(self.right + margin, limit.right),
        )

    def stretched(self, inner: Window, outer: Window) -> Window:
        """Return the window with its sides on the border of ``inner`` moved to ``outer``'s."""
        return Window(
            outer.top if self.top == inner.top else self.top,
            outer.left if self.left == inner.left else self.left,
            outer.bottom if self.bottom == inner.bottom else self.bottom,
            outer.right if self.right == inner.right else self.right,
        )

    def inside(self, outer: Window) -> Window:
        """Return this window in the coordinates of ``outer``, which holds it."""
        top, left = self.top - outer.top, self.left - outer.left
        height, width = self.bottom - self.top, self.right - self.left
        return Window(top, left, top + height, left + width)

    def at(self, stride: int) -> tuple[slice, slice]:
        """Return its rows and columns in an array with one element per ``stride`` pixels."""
        return (
            slice(self.top // stride, self.bottom // stride),
            slice(self.left // stride, self.right // stride),
        )


def cut(whole: Window, side: int) -> list[Window]:
    """Cut a picture into tiles of nearly equal size, none larger than a square of this side.

    Of all grids of tiles that are small enough, the one with the shortest cuts is taken, since
    beyond each cut the surroundings are computed twice. Borders lie on the grid of the
    hyper-latent, 64 pixels, so that every network finds its phases as in the whole picture.

    Args:
        whole: the picture, or a window of it that is to be cut like one; its borders lie on the
            grid of the hyper-latent.
        side: at least 64.

    Returns:
        Disjoint windows that cover it, row by row.
    """
    rows = (whole.bottom - whole.top) // IMAGE_STRIDE
    columns = (whole.right - whole.left) // IMAGE_STRIDE
    area = max(1, side * side // IMAGE_STRIDE**2)
    grids = [
        (across - 1, -(-rows // max(1, area // -(-columns // across))) - 1, across)
        for across in range(1, columns + 1)
        if -(-columns // across) <= area
    ]
    _, down, across = min((a * rows + d * columns, d + 1, n) for a, d, n in grids)
    return [
        Window(whole.top + top, whole.left + left, whole.top + bottom, whole.left + right)
        for top, bottom in _pieces(rows, down)
        for left, right in _pieces(columns, across)
    ]


def _pieces(count: int, pieces: int) -> Iterator[tuple[int, int]]:
    """Yield begin and end, in pixels, of nearly equal pieces of ``count`` positions of z."""
    edges = [IMAGE_STRIDE * (count * n // pieces) for n in range(pieces + 1)]
    yield from zip(edges[:-1], edges[1:], strict=True)
