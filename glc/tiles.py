"""Where a large picture is cut into tiles, and how far beyond a cut each network looks.

Knows nothing of tensors: everything here is in pixels of the padded picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from glc.config import IMAGE_STRIDE, LATENT_STRIDE, CodecConfig

__all__ = [
    "SMALLEST_SIDE",
    "TILE_SIDE",
    "UNCUT_SIDE",
    "Progress",
    "Reach",
    "SmallerTilesWarning",
    "Tiling",
    "Window",
    "cut",
    "part",
    "reach_of",
]

Progress: TypeAlias = Callable[[float], None]
"""Called with the share of a picture's work that is done, 0 to 1."""

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
        """Return the side of the tiles of a picture of this size, 0 if it is not cut."""
        uncut = UNCUT_SIDE if self.side is None else self.side
        side = TILE_SIDE if self.side is None else self.side
        height, width = _round_up(height, IMAGE_STRIDE), _round_up(width, IMAGE_STRIDE)
        return side if self.takes_all or height * width > uncut * uncut else 0

    def within(self, start: float, stop: float) -> Tiling:
        """Return the same for a stage that is this part, from 0 to 1, of the work."""
        return replace(self, progress=part(self.progress, start, stop))

    def share(self, done: int, count: int, total: int) -> Tiling:
        """Return the same for ``count`` of ``total`` equal parts of the work, after ``done``."""
        return self.within(done / total, (done + count) / total)

    def smaller(self) -> Tiling | None:
        """Return what to try when memory ran out; None after "never", or where tiles are small."""
        side = (TILE_SIDE if self.side is None else self.side) // 2
        return replace(self, side=side, takes_all=True) if side >= SMALLEST_SIDE else None


def part(progress: Progress | None, start: float, stop: float) -> Progress | None:
    """Return the progress of a stage that is the part from ``start`` to ``stop`` of the whole."""
    if progress is None:
        return None
    whole = progress
    return lambda share: whole(start + (stop - start) * share)


@dataclass(frozen=True)
class Window:
    """A rectangle of the padded picture, in pixels."""

    top: int
    left: int
    bottom: int
    right: int

    @classmethod
    def padded(cls, height: int, width: int) -> Window:
        """Return the whole of a picture of this size, padded to the grid of the hyper-latent."""
        return cls(0, 0, _round_up(height, IMAGE_STRIDE), _round_up(width, IMAGE_STRIDE))

    def grown(self, reach: int, grid: int, limit: Window) -> Window:
        """Return the window with its surroundings.

        Args:
            reach: pixels that are needed beyond each side.
            grid: the sides move by a multiple of it.
            limit: nothing beyond it is there: a network pads with zeros, as it does for the whole
                picture.
        """
        margin = _round_up(reach, grid)
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
        """Return this window in the coordinates of one that holds it."""
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


@dataclass(frozen=True)
class Reach:
    """How many pixels beyond its own each output of a network depends on, at most and exactly.

    Outputs of E, g_a, g_s and D at 1/16 are positions of 16 x 16 pixels, of h_a 64 x 64, those of
    the others single positions of y or pixels, but counted from the border of any block that is
    aligned to the input's grid. Fine and coarse parts: ``glc.runtime.networks.Networks``.
    """

    encoder_fine: int
    encoder_coarse: int
    analysis: int
    hyper_analysis: int
    hyper_synthesis: int
    context: int
    """Of y_hat and of the features alike, in the steps after the first."""
    scale_base: int
    scale_context: int
    decoder_coarse: int
    """Of g_s and D at 1/16, one after the other."""
    decoder_fine: int


def reach_of(config: CodecConfig) -> Reach:
    """Return the receptive fields of a model's networks, from its configuration alone."""
    transform = 1 + config.transform_depth
    return Reach(
        # The lapped transform looks 16 pixels beyond its own; so does its inverse.
        encoder_fine=max(
            LATENT_STRIDE if config.linear else 0,
            _reach((8, 2 * config.encoder_depth_8), (4, 2 * config.encoder_depth_4 + 1)),
        ),
        encoder_coarse=_reach((16, config.encoder_depth_16)),
        analysis=_reach((16, transform)),
        hyper_analysis=_reach((64, 1), (32, 1), (16, 1)),
        hyper_synthesis=_reach((16, 1), (32, 1), (64, 2)),
        context=_reach((16, 1 + config.context_depth)),
        scale_base=_reach((64, 1)),
        scale_context=_reach((16, 1)),
        # One depthwise layer per block, and one to begin.
        decoder_coarse=_reach((16, transform + 1 + config.decoder_depth_16)),
        # A 5x5 and a 3x3 layer at full resolution; then two 3x3 layers per plain block, and one to
        # render.
        decoder_fine=max(
            _reach((1, 3), (16, 1)) if config.linear else 0,
            _reach(
                (1, 3),
                (4, 1 + 2 * config.decoder_depth_4),
                (8, 2 * config.decoder_depth_8),
                (16, 0),
            ),
        ),
    )


def _reach(*layers: Sequence[int]) -> int:
    """Add up layers from output to input: (pixels per position, positions seen to each side).

    Where the resolution falls on the way, a position that is seen in part is seen whole.
    """
    reach = 0
    for stride, positions in layers:
        reach = _round_up(reach, stride) + stride * positions
    return reach


def _round_up(value: int, grid: int) -> int:
    return -(-value // grid) * grid
