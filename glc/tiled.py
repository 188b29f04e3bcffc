"""The networks over one large picture, tile by tile: the numbers of the whole in bounded memory.

Knows nothing of bytes, nor of what computes a tile: that is handed in as ``Networks``. Around each
tile a network is given what ``glc.tiles`` says that it reads, so that results differ from those of
the picture in one piece by the rounding of floats alone, and rows of the scale table not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from glc.config import IMAGE_STRIDE, LATENT_STRIDE, CodecConfig
from glc.entropy import MAX_MAGNITUDE
from glc.steps import STEP_CORNERS, STEPS
from glc.tiles import Progress, Window, cut, part, reach_of

__all__ = ["Networks", "TiledModel", "pick", "put", "to_symbols"]

Floats: TypeAlias = "NDArray[np.float32]"
Integers: TypeAlias = "NDArray[np.integer[Any]]"
Pixels: TypeAlias = "NDArray[np.uint8]"
Mask: TypeAlias = "NDArray[np.bool_]"

_Array = TypeVar("_Array", bound="NDArray[Any]")

_STEP_STRIDE = 2 * LATENT_STRIDE
"""Pixels of the picture per element, in a channel, of what one coding step codes."""


class Networks(Protocol):
    """The networks of one model: arrays in, arrays out, batches of one.

    Arrays are (1, C, h, w) float32 at 1/16 of the picture's resolution unless said otherwise. E and
    D come apart where that resolution is reached: what is *fine* takes nearly all of the memory,
    what is *coarse* sees far.
    """

    @property
    def config(self) -> CodecConfig:
        """Of the model."""

    def encode_fine(self, pixels: Pixels) -> Floats:
        """E above 1/16: (1, H, W, 3) -> features."""

    def encode_coarse(self, features: Floats) -> Floats:
        """The rest of E: features -> l."""

    def analysis(self, l: Floats, quality: int) -> Floats:
        """g_a: l -> y."""

    def hyper_analysis(self, y: Floats, quality: int) -> Integers:
        """h_a: y -> indices of z, (1, h / 4, w / 4)."""

    def hyper_synthesis(self, indices: Integers, quality: int) -> Floats:
        """h_s: indices of z -> features of the context model."""

    def context(self, step: int, y_hat: Floats, features: Floats) -> tuple[Floats, Floats]:
        """The context model: y_hat, 0 where not known yet, -> mean and quant_step."""

    def rows(
        self, step: int, indices: Integers, symbols: Integers, quality: int
    ) -> NDArray[np.uint8]:
        """The scale map: indices of z and symbols, 0 where not known yet, -> rows, exact."""

    def decode_coarse(self, y_hat: Floats, quality: int, realism: float) -> Floats:
        """g_s and D at 1/16: y_hat -> features. Realism, 0 to 1, tells architecture 2 alone."""

    def decode_fine(self, features: Floats, realism: float) -> Pixels:
        """The rest of D: features -> (1, H, W, 3)."""


def pick(step: int, whole: _Array) -> _Array:
    """Return what ``step`` codes of (B, C, 2h, 2w): (B, C, h, w), in coding order."""
    picked: _Array = np.concatenate(list(_corners(step, whole)), axis=1)  # type: ignore[assignment]
    return picked


def put(step: int, whole: NDArray[Any], picked: NDArray[Any]) -> None:
    """Write what ``pick`` gave back to its places in ``whole``."""
    quarter = picked.shape[1] // 4
    for index, corner in enumerate(_corners(step, whole)):
        corner[...] = picked[:, index * quarter : (index + 1) * quarter]


def _corners(step: int, whole: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield views of the elements of each quarter of the channels that ``step`` codes."""
    quarter = whole.shape[1] // 4
    for index, corner in enumerate(STEP_CORNERS[step]):
        channels = whole[:, index * quarter : (index + 1) * quarter]
        yield channels[:, :, corner // 2 :: 2, corner % 2 :: 2]


class TiledModel:
    """A model at work on one large picture; all batches are of one.

    What is whole here (l, y, symbols, y_hat) has 1/256 of the picture's positions. The loop of
    ``GlcModel.code_symbols`` comes apart: rows need integers alone, so that a reader has all
    symbols, and can compare their checksum, before it computes the first float; and y_hat needs no
    rows. Rows and symbols of one step lie side by side, in coding order, as ``pick`` gives them:
    (1, C_y, h / 2, w / 2).

    Args:
        networks: what computes a tile.
        height: of the picture before padding, in pixels.
        width: of the picture before padding, in pixels.
        quality: 0 to 100.
        side: a tile has at most the area of a square of so many pixels.

    ``progress``, in the methods, is told of the share of their work after every tile.
    """

    def __init__(
        self, networks: Networks, height: int, width: int, quality: int, side: int
    ) -> None:
        self._networks, self._quality, self._side = networks, quality, side
        self._config, self._reach = networks.config, reach_of(networks.config)
        self._bounds = Window.padded(height, width)
        # At 1/16 of the resolution a pixel takes far less memory than at the full one.
        self._broad = cut(self._bounds, 2 * side)
        self._inside = self._zeros(1, LATENT_STRIDE, np.bool_)
        self._inside[..., : -(-height // LATENT_STRIDE), : -(-width // LATENT_STRIDE)] = True

    def latent(self, read: Callable[[Window], Pixels], progress: Progress | None = None) -> Floats:
        """Run E.

        Args:
            read: gives the pixels of a window of the padded picture, (1, H, W, 3).
            progress: see the class.

        Returns:
            l: (1, C_l, h, w).
        """
        l = self._zeros(self._config.latent_channels, LATENT_STRIDE)
        coarse, fine = self._reach.encoder_coarse, self._reach.encoder_fine
        told = _Told(progress, self._count_fine())
        for tile in self._broad:
            window = tile.grown(coarse, LATENT_STRIDE, self._bounds)
            config = self._config
            channels = config.encoder_width_16 + (config.latent_channels if config.linear else 0)
            features = self._zeros_of(window, channels)
            for inner in cut(tile, self._side):
                # What lies around the broad tile is read as well.
                piece = inner.stretched(tile, window)
                around = piece.grown(fine, LATENT_STRIDE, self._bounds)
                found = self._networks.encode_fine(read(around))
                _paste(features, piece.inside(window), found, piece.inside(around), LATENT_STRIDE)
                told.one_more()
            found = self._networks.encode_coarse(features)
            _paste(l, tile, found, tile.inside(window), LATENT_STRIDE)
        return l

    def transform(self, l: Floats) -> tuple[Floats, Integers]:
        """Run g_a and h_a: (1, C_l, h, w) -> y (1, C_y, h, w) and z (1, h / 4, w / 4)."""
        networks, reach = self._networks, self._reach
        y = self._zeros(self._config.y_channels, LATENT_STRIDE)
        for tile, window in self._visit(reach.analysis, LATENT_STRIDE):
            found = networks.analysis(_view(l, window, LATENT_STRIDE), self._quality)
            _paste(y, tile, found, tile.inside(window), LATENT_STRIDE)
        indices = self._zeros(1, IMAGE_STRIDE, np.int32)[:, 0]
        for tile, window in self._visit(reach.hyper_analysis, IMAGE_STRIDE):
            chosen = networks.hyper_analysis(_view(y, window, LATENT_STRIDE), self._quality)
            _paste(indices, tile, chosen, tile.inside(window), IMAGE_STRIDE)
        return y, indices

    def write(
        self, y: Floats, indices: Integers, progress: Progress | None = None
    ) -> tuple[list[tuple[NDArray[np.uint8], NDArray[np.int16], Mask]], NDArray[np.int16]]:
        """Quantise y in the coding steps.

        Args:
            y: (1, C_y, h, w).
            indices: of z, (1, h / 4, w / 4).
            progress: see the class.

        Returns:
            Rows, symbols and what of them is coded of every step, as ``pick`` orders them; and all
            symbols, (1, C_y, h, w).
        """
        symbols, y_hat = np.zeros(y.shape, np.int16), np.zeros(y.shape, np.float32)
        steps = []
        for step in range(STEPS):
            rows = self._rows(step, indices, symbols)
            chosen = np.zeros(rows.shape, np.int16)
            wanted, coded = pick(step, y), self._coded(step, y.shape)
            choose = partial(_quantise, wanted, rows, coded, chosen, self._config.rounding)
            self._refine(step, indices, y_hat, choose, progress)
            put(step, symbols, chosen)
            steps.append((rows, chosen, coded))
        return steps, symbols

    def read(
        self,
        indices: Integers,
        decode: Callable[[NDArray[np.uint8], Mask], NDArray[np.int16]],
        progress: Progress | None = None,
    ) -> NDArray[np.int16]:
        """Decode the symbols of all steps; no float takes part, and none is allocated whole.

        Args:
            indices: of z, (1, h / 4, w / 4).
            decode: called once per step with rows and what of them is coded, both as ``pick``
                orders them; returns the symbols, same shape.
            progress: see the class.

        Returns:
            (1, C_y, h, w).
        """
        symbols = self._zeros(self._config.y_channels, LATENT_STRIDE, np.int16)
        for step in range(STEPS):
            rows = self._rows(step, indices, symbols, progress)
            put(step, symbols, decode(rows, self._coded(step, symbols.shape)))
        return symbols

    def y_hat(
        self, indices: Integers, symbols: Integers, progress: Progress | None = None
    ) -> Floats:
        """Run h_s and the context model over known symbols: (1, C_y, h, w) -> same shape."""
        y_hat = np.zeros(symbols.shape, np.float32)
        for step in range(STEPS):
            choose = partial(_recall, pick(step, symbols))
            self._refine(step, indices, y_hat, choose, progress)
        return y_hat

    def picture(
        self,
        y_hat: Floats,
        realism: float,
        show: Callable[[Window, Pixels], None],
        progress: Progress | None = None,
    ) -> None:
        """Run g_s and D at a realism of 0 to 1, and hand over each tile's pixels: (1, H, W, 3)."""
        coarse, fine = self._reach.decoder_coarse, self._reach.decoder_fine
        told = _Told(progress, self._count_fine())
        for tile in self._broad:
            window = tile.grown(fine, LATENT_STRIDE, self._bounds)
            around = window.grown(coarse, LATENT_STRIDE, self._bounds)
            given = _view(y_hat, around, LATENT_STRIDE)
            features = _view(
                self._networks.decode_coarse(given, self._quality, realism),
                window.inside(around),
                LATENT_STRIDE,
            )
            for piece in cut(tile, self._side):
                seen = piece.grown(fine, LATENT_STRIDE, self._bounds)
                pixels = self._networks.decode_fine(
                    _view(features, seen.inside(window), LATENT_STRIDE), realism
                )
                rows, columns = piece.inside(seen).at(1)
                show(piece, pixels[:, rows, columns])
                told.one_more()

    def _rows(
        self, step: int, indices: Integers, symbols: Integers, progress: Progress | None = None
    ) -> NDArray[np.uint8]:
        """Select the tables of one step: (1, C_y, h / 2, w / 2), exact."""
        reach = max(self._reach.scale_base, self._reach.scale_context)
        rows = self._zeros(self._config.y_channels, _STEP_STRIDE, np.uint8)
        own = _of_step(progress, step)
        for tile, window in self._visit(reach, IMAGE_STRIDE, own):
            found = self._networks.rows(
                step,
                _view(indices, window, IMAGE_STRIDE),
                _view(symbols, window, LATENT_STRIDE),
                self._quality,
            )
            _paste(rows, tile, pick(step, found), tile.inside(window), _STEP_STRIDE)
        return rows

    def _refine(
        self,
        step: int,
        indices: Integers,
        y_hat: Floats,
        choose: Callable[[Window, Floats, Floats], Integers],
        progress: Progress | None,
    ) -> None:
        """Write the elements of one step into y_hat (1, C_y, h, w), in which they are still 0.

        ``choose(tile, mean, quant_step)`` gives the symbols of a tile; all as ``pick`` orders them.
        """
        networks, reach = self._networks, self._reach
        fresh = self._zeros(y_hat.shape[1], _STEP_STRIDE)
        own = _of_step(progress, step)
        for tile, window in self._visit(reach.context, IMAGE_STRIDE, own):
            outer = window.grown(reach.hyper_synthesis, IMAGE_STRIDE, self._bounds)
            known = _view(indices, outer, IMAGE_STRIDE)
            features = _view(
                networks.hyper_synthesis(known, self._quality), window.inside(outer), LATENT_STRIDE
            )
            predicted = networks.context(step, _view(y_hat, window, LATENT_STRIDE), features)
            mean, quant_step = (
                pick(step, _view(values, tile.inside(window), LATENT_STRIDE))
                for values in predicted
            )
            symbols = choose(tile, mean, quant_step)
            _view(fresh, tile, _STEP_STRIDE)[...] = symbols * quant_step + mean
        # Only now: a tile must not see what this step gave its neighbours.
        put(step, y_hat, fresh)

    def _visit(
        self, reach: int, grid: int, progress: Progress | None = None
    ) -> Iterator[tuple[Window, Window]]:
        """Yield every tile of what is at 1/16, and the window that a network must be given."""
        told = _Told(progress, len(self._broad))
        for tile in self._broad:
            yield tile, tile.grown(reach, grid, self._bounds)
            told.one_more()

    def _count_fine(self) -> int:
        """Return the number of tiles above 1/16."""
        return sum(len(cut(tile, self._side)) for tile in self._broad)

    def _coded(self, step: int, shape: Sequence[int]) -> Mask:
        """Return what is coded of a step, inside of the picture, as ``pick`` gives it."""
        return pick(step, np.broadcast_to(self._inside, shape))

    def _zeros(self, channels: int, stride: int, kind: type[Any] = np.float32) -> NDArray[Any]:
        size = self._bounds.bottom // stride, self._bounds.right // stride
        return np.zeros((1, channels, *size), kind)

    @staticmethod
    def _zeros_of(window: Window, channels: int) -> Floats:
        height, width = window.bottom - window.top, window.right - window.left
        return np.zeros((1, channels, height // LATENT_STRIDE, width // LATENT_STRIDE), np.float32)


class _Told:
    """Counts tiles, and tells of the share that is done."""

    def __init__(self, progress: Progress | None, count: int) -> None:
        self._progress, self._count, self._done = progress, count, 0

    def one_more(self) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(self._done / self._count)


def _of_step(progress: Progress | None, step: int) -> Progress | None:
    return part(progress, step / STEPS, (step + 1) / STEPS)


def to_symbols(residual: Floats, threshold: float) -> Floats:
    """Round residuals to the integers that are coded: ``glc.quantize.to_symbols`` of arrays.

    Args:
        residual: what is left of y, in steps; any shape.
        threshold: of the rounding, as ``CodecConfig.rounding`` has it.
    """
    nearest = threshold == 0.5
    rounded = (
        np.rint(residual)
        if nearest
        else np.sign(residual) * np.floor(np.abs(residual) + np.float32(1.0 - threshold))
    )
    symbols: Floats = np.clip(rounded, -MAX_MAGNITUDE, MAX_MAGNITUDE)
    return symbols


def _quantise(
    wanted: Floats,
    rows: NDArray[np.uint8],
    coded: Mask,
    chosen: NDArray[np.int16],
    threshold: float,
    tile: Window,
    mean: Floats,
    quant_step: Floats,
) -> NDArray[np.int16]:
    """Turn a tile of y into symbols, which are also written into ``chosen``."""
    y, target = _view(wanted, tile, _STEP_STRIDE), _view(chosen, tile, _STEP_STRIDE)
    symbols = to_symbols((y - mean) / quant_step, threshold)
    spoken = _view(coded, tile, _STEP_STRIDE) & (_view(rows, tile, _STEP_STRIDE) > 0)
    target[...] = np.where(spoken, symbols, 0)
    return target


def _recall(known: Integers, tile: Window, mean: Floats, quant_step: Floats) -> Integers:
    """Give a tile the symbols that are known already."""
    return _view(known, tile, _STEP_STRIDE)


def _view(whole: _Array, window: Window, stride: int) -> _Array:
    """Return a window of (..., h, w), whose elements are ``stride`` pixels wide."""
    rows, columns = window.at(stride)
    return whole[..., rows, columns]  # type: ignore[return-value]


def _paste(
    whole: NDArray[Any], place: Window, found: NDArray[Any], inner: Window, stride: int
) -> None:
    """Write a window of what was found into a place of the whole."""
    _view(whole, place, stride)[...] = _view(found, inner, stride)
