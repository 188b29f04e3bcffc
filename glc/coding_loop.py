"""The coding loop of files, written once: both directions, both runtimes, in tiles or in one piece.

Training has its own on tensors with gradients, ``glc.networks.model``, over the same step masks.

Knows nothing of bytes, nor of what computes: that is handed in as ``Networks``. Around each tile a
network is given what ``glc.tiling.geometry`` says that it reads, so that results differ from those
of the picture in one piece by the rounding of floats alone, and rows of the scale table not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from glc.config import IMAGE_STRIDE, LATENT_STRIDE
from glc.entropy import MAX_MAGNITUDE
from glc.partition import STEP_CORNERS, STEPS
from glc.runtime.protocol import Floats, Integers, Networks, Pixels
from glc.tiling.geometry import Window, cut
from glc.tiling.progress import Progress, part
from glc.tiling.receptive_field import reach_of
from glc.tiling.sizes import inside

__all__ = ["CodingLoop", "Written", "pick", "put", "read_pixels", "to_symbols"]

Mask: TypeAlias = "NDArray[np.bool_]"
Written: TypeAlias = "tuple[NDArray[np.uint8], NDArray[np.int16], Mask]"
"""Rows, symbols and what of them is coded, of one step."""

_Array = TypeVar("_Array", bound="NDArray[Any]")
_Kept = TypeVar("_Kept")

_STEP_STRIDE = 2 * LATENT_STRIDE
"""Pixels of the picture per element, in a channel, of what one coding step codes."""


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


class CodingLoop:
    """A model at work on pictures of one padded size and one quality.

    Latents (1/256 of the pixels) and the uint8 pictures are held whole; all else is per tile.
    Table indexes (rows) depend on integers alone, so a reader decodes and verifies all symbols
    before it runs any float network; y_hat, in turn, needs no rows. Rows and symbols of one step
    are (B, C_y, h / 2, w / 2), in coding order, as ``pick`` gives them.

    A loop serves one batch. Without tiles it computes what z says once for all four steps.

    Args:
        networks: what computes.
        sizes: height and width, in pixels, of every picture before padding.
        quality: 0 to 100.
        side: a tile has at most the area of a square of so many pixels; 0 cuts none.
    """

    def __init__(
        self,
        networks: Networks,
        sizes: Sequence[tuple[int, int]],
        quality: int,
        side: int = 0,
    ) -> None:
        self._networks, self._quality, self._side = networks, quality, side
        self._config, self._reach = networks.config, reach_of(networks.config)
        self._sizes = list(sizes)
        self._bounds = Window.padded(*self._sizes[0])
        # At 1/16 of the resolution a pixel takes far less memory than at the full one.
        self._broad = cut(self._bounds, 2 * side) if side else [self._bounds]
        self._inside = self._zeros(1, LATENT_STRIDE, np.bool_)
        for own, size in zip(self._inside, self._sizes, strict=True):
            rows, columns = inside(*size)
            own[:, :rows, :columns] = True
        self._kept: dict[str, Any] = {}

    @property
    def rounding(self) -> float:
        """The threshold of the model, see ``CodecConfig.rounding``."""
        return self._config.rounding

    def latent(self, pictures: Sequence[Pixels], progress: Progress | None = None) -> Floats:
        """Run E.

        Args:
            pictures: (H, W, 3) each, of the sizes that were given.
            progress: told of the share that is done after every tile; never without tiles.

        Returns:
            l: (B, C_l, h, w).
        """
        l = self._zeros(self._config.latent_channels, LATENT_STRIDE)
        coarse, fine = self._reach.encoder_coarse, self._reach.encoder_fine
        told = self._told(progress, self._count_fine())
        for tile in self._broad:
            window = tile.grown(coarse, LATENT_STRIDE, self._bounds)
            config = self._config
            channels = config.encoder_width_16 + (config.latent_channels if config.linear else 0)
            features = self._zeros_of(window, channels)
            for inner in self._pieces(tile):
                # What lies around the broad tile is read as well.
                piece = inner.stretched(tile, window)
                around = piece.grown(fine, LATENT_STRIDE, self._bounds)
                found = self._networks.encode_fine(read_pixels(pictures, around))
                _paste(features, piece.inside(window), found, piece.inside(around), LATENT_STRIDE)
                told.one_more()
            found = self._networks.encode_coarse(features)
            _paste(l, tile, found, tile.inside(window), LATENT_STRIDE)
        return l

    def transform(self, l: Floats) -> tuple[Floats, Integers]:
        """Run g_a and h_a: (B, C_l, h, w) -> y (B, C_y, h, w) and z (B, h / 4, w / 4) int32."""
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
        self,
        y: Floats,
        indices: Integers,
        progress: Progress | None = None,
    ) -> tuple[list[Written], NDArray[np.int16]]:
        """Quantise y in the coding steps.

        Args:
            y: (B, C_y, h, w).
            indices: of z, (B, h / 4, w / 4).
            progress: told of the share that is done after every tile; never without tiles.

        Returns:
            Rows, symbols and what of them is coded of every step, as ``pick`` orders them; and all
            symbols, (B, C_y, h, w).
        """
        symbols, y_hat = np.zeros(y.shape, np.int16), np.zeros(y.shape, np.float32)
        steps = []
        for step in range(STEPS):
            rows = self._rows(step, indices, symbols)
            chosen = np.zeros(rows.shape, np.int16)
            wanted, coded = pick(step, y), self._coded(step, y.shape)
            quantise = partial(_quantise, wanted, rows, coded, chosen, self.rounding)
            self._refine(step, indices, y_hat, quantise, progress)
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
            indices: of z, (B, h / 4, w / 4).
            decode: called once per step with rows and what of them is coded, both as ``pick``
                orders them; returns the symbols, same shape.
            progress: told of the share that is done after every tile; never without tiles.

        Returns:
            (B, C_y, h, w).
        """
        symbols = self._zeros(self._config.y_channels, LATENT_STRIDE, np.int16)
        for step in range(STEPS):
            rows = self._rows(step, indices, symbols, progress)
            put(step, symbols, decode(rows, self._coded(step, symbols.shape)))
        return symbols

    def y_hat(
        self, indices: Integers, symbols: Integers, progress: Progress | None = None
    ) -> Floats:
        """Run h_s and the context model over known symbols: (B, C_y, h, w) -> same shape."""
        y_hat = np.zeros(symbols.shape, np.float32)
        for step in range(STEPS):
            choose = partial(_recall, pick(step, symbols))
            self._refine(step, indices, y_hat, choose, progress)
        return y_hat

    def pictures(
        self, y_hat: Floats, realism: float, progress: Progress | None = None
    ) -> list[Pixels]:
        """Run g_s and D.

        Args:
            y_hat: (B, C_y, h, w).
            realism: 0 to 1.
            progress: told of the share that is done after every tile; never without tiles.

        Returns:
            (H, W, 3) each, of the sizes that were given.
        """
        shown = [np.empty((*size, 3), np.uint8) for size in self._sizes]
        coarse, fine = self._reach.decoder_coarse, self._reach.decoder_fine
        told = self._told(progress, self._count_fine())
        for tile in self._broad:
            window = tile.grown(fine, LATENT_STRIDE, self._bounds)
            around = window.grown(coarse, LATENT_STRIDE, self._bounds)
            given = _view(y_hat, around, LATENT_STRIDE)
            l_hat = self._networks.synthesis(given, self._quality)
            features = _view(
                self._networks.decode_coarse(l_hat, realism), window.inside(around), LATENT_STRIDE
            )
            for piece in self._pieces(tile):
                seen = piece.grown(fine, LATENT_STRIDE, self._bounds)
                pixels = self._networks.decode_fine(
                    _view(features, seen.inside(window), LATENT_STRIDE), realism
                )
                rows, columns = piece.inside(seen).at(1)
                _write_pixels(shown, piece, pixels[:, rows, columns])
                told.one_more()
        return shown

    def _rows(
        self, step: int, indices: Integers, symbols: Integers, progress: Progress | None = None
    ) -> NDArray[np.uint8]:
        """Select the tables of one step: (B, C_y, h / 2, w / 2), exact."""
        reach = max(self._reach.scale_base, self._reach.scale_context)
        rows = self._zeros(self._config.y_channels, _STEP_STRIDE, np.uint8)
        own = _of_step(progress, step)
        for tile, window in self._visit(reach, IMAGE_STRIDE, own):
            known = _view(indices, window, IMAGE_STRIDE)
            base = self._keep("base", partial(self._networks.scale_base, known, self._quality))
            found = self._networks.rows(step, base, _view(symbols, window, LATENT_STRIDE))
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
        """Write the elements of one step into y_hat (B, C_y, h, w), in which they are still 0.

        ``choose(tile, mean, quant_step)`` gives the symbols of a tile; all as ``pick`` orders them.
        """
        networks, reach = self._networks, self._reach
        fresh = self._zeros(y_hat.shape[1], _STEP_STRIDE)
        own = _of_step(progress, step)
        for tile, window in self._visit(reach.context, IMAGE_STRIDE, own):
            features = self._keep("features", partial(self._features, indices, window))
            predicted = networks.context(step, _view(y_hat, window, LATENT_STRIDE), features)
            mean, quant_step = (
                pick(step, _view(values, tile.inside(window), LATENT_STRIDE))
                for values in predicted
            )
            # Numbers near 0 may vanish, whatever a program has numpy do about it.
            with np.errstate(all="ignore"):
                symbols = choose(tile, mean, quant_step)
                _view(fresh, tile, _STEP_STRIDE)[...] = symbols * quant_step + mean
        # Only now: a tile must not see what this step gave its neighbours.
        put(step, y_hat, fresh)

    def _features(self, indices: Integers, window: Window) -> Floats:
        """Run h_s for a window."""
        outer = window.grown(self._reach.hyper_synthesis, IMAGE_STRIDE, self._bounds)
        found = self._networks.hyper_synthesis(_view(indices, outer, IMAGE_STRIDE), self._quality)
        return _view(found, window.inside(outer), LATENT_STRIDE)

    def _keep(self, name: str, make: Callable[[], _Kept]) -> _Kept:
        """Return what every step needs; of several tiles it is made anew, and takes no memory."""
        if len(self._broad) > 1:
            return make()
        if name not in self._kept:
            self._kept[name] = make()
        found: _Kept = self._kept[name]
        return found

    def _visit(
        self, reach: int, grid: int, progress: Progress | None = None
    ) -> Iterator[tuple[Window, Window]]:
        """Yield every tile of what is at 1/16, and the window that a network must be given."""
        told = self._told(progress, len(self._broad))
        for tile in self._broad:
            yield tile, tile.grown(reach, grid, self._bounds)
            told.one_more()

    def _count_fine(self) -> int:
        """Return the number of tiles above 1/16."""
        return sum(len(self._pieces(tile)) for tile in self._broad)

    def _pieces(self, tile: Window) -> list[Window]:
        """Cut a tile of what is at 1/16 into those above."""
        return cut(tile, self._side) if self._side else [tile]

    def _told(self, progress: Progress | None, count: int) -> _Told:
        return _Told(progress if self._side else None, count)

    def _coded(self, step: int, shape: Sequence[int]) -> Mask:
        """Return what is coded of a step, inside of the picture, as ``pick`` gives it."""
        return pick(step, np.broadcast_to(self._inside, shape))

    def _zeros(self, channels: int, stride: int, kind: type[Any] = np.float32) -> NDArray[Any]:
        size = self._bounds.bottom // stride, self._bounds.right // stride
        return np.zeros((len(self._sizes), channels, *size), kind)

    def _zeros_of(self, window: Window, channels: int) -> Floats:
        height, width = window.bottom - window.top, window.right - window.left
        size = height // LATENT_STRIDE, width // LATENT_STRIDE
        return np.zeros((len(self._sizes), channels, *size), np.float32)


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
    """Round residuals to the integers that are coded; training does it in
    ``glc.networks.quantize``.

    Args:
        residual: what is left of y, in steps; any shape.
        threshold: of the rounding, as ``CodecConfig.rounding`` has it; with 0.5 ties round to even.

    Returns:
        Integers in [-32767, 32767], float32, same shape.
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
    tables = _view(rows, tile, _STEP_STRIDE)
    symbols = to_symbols((y - mean) / quant_step, threshold)
    spoken = _view(coded, tile, _STEP_STRIDE) & (tables > 0)
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


def read_pixels(pictures: Sequence[Pixels], window: Window) -> Pixels:
    """Return a window, (B, h, w, 3), of pictures that repeat their last row and column."""
    rows, columns = window.at(1)
    found = np.empty(
        (len(pictures), rows.stop - rows.start, columns.stop - columns.start, 3), np.uint8
    )
    for own, rgb in zip(found, pictures, strict=True):
        pixels = rgb[rows, columns]
        height, width = pixels.shape[:2]
        own[:height, :width] = pixels
        own[height:, :width] = own[height - 1, :width]
        own[:, width:] = own[:, width - 1 : width]
    return found


def _write_pixels(pictures: Sequence[Pixels], tile: Window, pixels: Pixels) -> None:
    """Write (B, H, W, 3) into its place in every picture; what lies in the padding is dropped."""
    for rgb, own in zip(pictures, pixels, strict=True):
        target = rgb[tile.at(1)]
        target[...] = own[: target.shape[0], : target.shape[1]]
