"""The networks over one large picture, tile by tile: the numbers of the whole in bounded memory.

Knows nothing of bytes. Around each tile a network is given what ``glc.tiles`` says that it reads,
so that results differ from those of the picture in one piece by the rounding of floats alone, and
rows of the scale table not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from glc.config import IMAGE_STRIDE, LATENT_STRIDE
from glc.networks.context import STEPS, pick, put
from glc.networks.model import GlcModel
from glc.quantize import to_symbols
from glc.tiles import Progress, Window, cut, part, reach_of

_STEP_STRIDE = 2 * LATENT_STRIDE
"""Pixels of the picture per element, in a channel, of what one coding step codes."""


class TiledModel:
    """A model at work on one large picture; all batches are of one.

    Whole arrays (l, y, symbols, y_hat) are in ordinary memory, and only a tile is on the device of
    the model. The loop of ``GlcModel.code_symbols`` comes apart here: rows need integers alone, so
    that a reader has all symbols, and can compare their checksum, before it computes the first
    float; and y_hat needs no rows. Rows and symbols of one step lie side by side, in coding order,
    as ``pick`` gives them: (1, C_y, h / 2, w / 2).

    Args:
        model: computes on the device where its parameters are.
        height: of the picture before padding, in pixels.
        width: of the picture before padding, in pixels.
        quality: 0 to 100.
        side: a tile has at most the area of a square of so many pixels.

    ``progress``, in the methods, is told of the share of their work after every tile.
    """

    def __init__(self, model: GlcModel, height: int, width: int, quality: int, side: int) -> None:
        self._model, self._reach = model, reach_of(model.config)
        self._device = next(model.parameters()).device
        # Metal has no float64; the integers are the same wherever they are computed.
        self._exact = torch.device("cpu") if self._device.type == "mps" else self._device
        self._quality = torch.tensor([quality], device=self._device)
        self._bounds = Window.padded(height, width)
        self._tiles = cut(self._bounds, side)
        # At 1/16 of the resolution a pixel takes far less memory than at the full one.
        self._broad = cut(self._bounds, 2 * side)
        self._inside = self._zeros(1, LATENT_STRIDE, torch.bool)
        self._inside[..., : -(-height // LATENT_STRIDE), : -(-width // LATENT_STRIDE)] = True

    def latent(self, read: Callable[[Window], Tensor], progress: Progress | None = None) -> Tensor:
        """Run E.

        Args:
            read: gives the pixels of a window of the padded picture, (1, 3, H, W) in [-1, 1], on
                the model's device.
            progress: see the class.

        Returns:
            l: (1, C_l, h, w) float32.
        """
        l = self._zeros(self._model.config.latent_channels, LATENT_STRIDE)
        reach = self._reach.encoder
        for tile, window in self._visit(self._tiles, reach, LATENT_STRIDE, progress):
            found = self._model.encoder(read(window))
            _paste(l, tile, found, window, LATENT_STRIDE)
        return l

    def transform(self, l: Tensor) -> tuple[Tensor, Tensor]:
        """Run g_a and h_a: (1, C_l, h, w) -> y (1, C_y, h, w) and z (1, h / 4, w / 4) int64."""
        model, reach = self._model, self._reach
        y = self._zeros(model.config.y_channels, LATENT_STRIDE)
        for tile, window in self._visit(self._broad, reach.analysis, LATENT_STRIDE):
            found = model.analysis(self._take(l, window), self._quality)
            _paste(y, tile, found, window, LATENT_STRIDE)
        indices = self._zeros(1, IMAGE_STRIDE, torch.int64)
        for tile, window in self._visit(self._broad, reach.hyper_analysis, IMAGE_STRIDE):
            digits = model.hyper_codebook(model.hyper_analysis(self._take(y, window)))
            found = model.hyper_codebook.to_indices(digits).unsqueeze(1)
            _paste(indices, tile, found, window, IMAGE_STRIDE)
        return y, indices[:, 0]

    def write(
        self, y: Tensor, indices: Tensor, progress: Progress | None = None
    ) -> tuple[list[tuple[Tensor, Tensor, Tensor]], Tensor]:
        """Quantise y in the coding steps.

        Args:
            y: (1, C_y, h, w) float32.
            indices: of z, (1, h / 4, w / 4) int64.
            progress: see the class.

        Returns:
            Rows (uint8), symbols (int16) and what of them is coded (bool) of every step, as
            ``pick`` orders them; and all symbols, (1, C_y, h, w) int16.
        """
        symbols, y_hat = torch.zeros(y.shape, dtype=torch.int16), torch.zeros(y.shape)
        steps = []
        for step in range(STEPS):
            rows = self._rows(step, indices, symbols)
            chosen = torch.zeros(rows.shape, dtype=torch.int16)
            wanted, coded = pick(step, y), pick(step, self._inside.expand(y.shape))
            choose = partial(self._quantise, wanted, rows, coded, chosen)
            self._refine(step, indices, y_hat, choose, progress)
            put(step, symbols, chosen)
            steps.append((rows, chosen, coded))
        return steps, symbols

    def read(
        self,
        indices: Tensor,
        decode: Callable[[Tensor, Tensor], Tensor],
        progress: Progress | None = None,
    ) -> Tensor:
        """Decode the symbols of all steps; no float takes part, and none is allocated whole.

        Args:
            indices: of z, (1, h / 4, w / 4) int64.
            decode: called once per step with rows (uint8) and what of them is coded (bool), both
                as ``pick`` orders them; returns the symbols, int16, same shape.
            progress: see the class.

        Returns:
            (1, C_y, h, w) int16.
        """
        symbols = self._zeros(self._model.config.y_channels, LATENT_STRIDE, torch.int16)
        for step in range(STEPS):
            rows = self._rows(step, indices, symbols, progress)
            put(step, symbols, decode(rows, pick(step, self._inside.expand(symbols.shape))))
        return symbols

    def y_hat(self, indices: Tensor, symbols: Tensor, progress: Progress | None = None) -> Tensor:
        """Run h_s and the context model over known symbols: (1, C_y, h, w) int16 -> float32."""
        y_hat = torch.zeros(symbols.shape)
        for step in range(STEPS):
            choose = partial(self._recall, pick(step, symbols))
            self._refine(step, indices, y_hat, choose, progress)
        return y_hat

    def picture(
        self,
        y_hat: Tensor,
        show: Callable[[Window, Tensor], None],
        progress: Progress | None = None,
    ) -> None:
        """Run g_s and D, and hand over the pixels of each tile: (1, 3, H, W) float32."""
        reach = self._reach.decoder
        for tile, window in self._visit(self._tiles, reach, LATENT_STRIDE, progress):
            outer = window.grown(self._reach.synthesis, LATENT_STRIDE, self._bounds)
            l_hat = self._model.synthesis(self._take(y_hat, outer), self._quality)
            x_hat = self._model.decoder(_view(l_hat, window.inside(outer), LATENT_STRIDE))
            show(tile, _view(x_hat, tile.inside(window), 1))

    def _rows(
        self, step: int, indices: Tensor, symbols: Tensor, progress: Progress | None = None
    ) -> Tensor:
        """Select the tables of one step: (1, C_y, h / 2, w / 2) uint8, exact."""
        model, reach = self._model, max(self._reach.scale_base, self._reach.scale_context)
        rows = self._zeros(model.config.y_channels, _STEP_STRIDE, torch.uint8)
        own = _of_step(progress, step)
        for tile, window in self._visit(self._broad, reach, IMAGE_STRIDE, own):
            digits = self._digits(indices, window).to(self._exact)
            base = model.scale_map.base(digits, self._quality)
            found = model.scale_map.rows(base, _view(symbols, window, LATENT_STRIDE), step)
            _paste(rows, tile, pick(step, found), window, _STEP_STRIDE)
        return rows

    def _quantise(
        self,
        wanted: Tensor,
        rows: Tensor,
        coded: Tensor,
        chosen: Tensor,
        tile: Window,
        mean: Tensor,
        quant_step: Tensor,
    ) -> Tensor:
        """Turn a tile of y into symbols, which are also written into ``chosen``."""
        y, tables, mask = (
            _view(whole, tile, _STEP_STRIDE).to(self._device) for whole in (wanted, rows, coded)
        )
        symbols = to_symbols(y, mean, quant_step, tables, mask)
        _view(chosen, tile, _STEP_STRIDE).copy_(symbols)
        return symbols

    def _recall(self, known: Tensor, tile: Window, mean: Tensor, quant_step: Tensor) -> Tensor:
        """Give a tile the symbols that are known already."""
        return _view(known, tile, _STEP_STRIDE).to(mean)

    def _refine(
        self,
        step: int,
        indices: Tensor,
        y_hat: Tensor,
        choose: Callable[[Window, Tensor, Tensor], Tensor],
        progress: Progress | None,
    ) -> None:
        """Write the elements of one step into y_hat (1, C_y, h, w), in which they are still 0.

        ``choose(tile, mean, quant_step)`` gives the symbols of a tile; all as ``pick`` orders them.
        """
        model, reach = self._model, self._reach
        fresh = self._zeros(y_hat.shape[1], _STEP_STRIDE)
        own = _of_step(progress, step)
        for tile, window in self._visit(self._broad, reach.context, IMAGE_STRIDE, own):
            outer = window.grown(reach.hyper_synthesis, IMAGE_STRIDE, self._bounds)
            features = model.hyper_synthesis(self._digits(indices, outer), self._quality)
            features = _view(features, window.inside(outer), LATENT_STRIDE)
            predicted = model.context(step, self._take(y_hat, window), features)
            mean, quant_step = (
                pick(step, _view(values, tile.inside(window), LATENT_STRIDE))
                for values in predicted
            )
            symbols = choose(tile, mean, quant_step)
            _view(fresh, tile, _STEP_STRIDE).copy_(symbols * quant_step + mean)
        # Only now: a tile must not see what this step gave its neighbours.
        put(step, y_hat, fresh)

    def _visit(
        self, tiles: Sequence[Window], reach: int, grid: int, progress: Progress | None = None
    ) -> Iterator[tuple[Window, Window]]:
        """Yield every tile, and the window that a network must be given for it."""
        for number, tile in enumerate(tiles, 1):
            yield tile, tile.grown(reach, grid, self._bounds)
            if progress is not None:
                progress(number / len(tiles))

    def _zeros(self, channels: int, stride: int, kind: torch.dtype = torch.float32) -> Tensor:
        size = self._bounds.bottom // stride, self._bounds.right // stride
        return torch.zeros(1, channels, *size, dtype=kind)

    def _take(self, whole: Tensor, window: Window) -> Tensor:
        """Bring what a window holds of an array at 1/16 to the device."""
        return _view(whole, window, LATENT_STRIDE).to(self._device)

    def _digits(self, indices: Tensor, window: Window) -> Tensor:
        """Return the digits of z in a window: (1, D, h, w) float32."""
        taken = _view(indices, window, IMAGE_STRIDE).to(self._device)
        digits: Tensor = self._model.hyper_codebook.to_digits(taken)
        return digits


def _of_step(progress: Progress | None, step: int) -> Progress | None:
    return part(progress, step / STEPS, (step + 1) / STEPS)


def _view(whole: Tensor, window: Window, stride: int) -> Tensor:
    """Return a window of (..., h, w), whose elements are ``stride`` pixels wide."""
    rows, columns = window.at(stride)
    return whole[..., rows, columns]


def _paste(whole: Tensor, tile: Window, found: Tensor, window: Window, stride: int) -> None:
    """Write the tile's part of what was found for the window around it."""
    _view(whole, tile, stride).copy_(_view(found, tile.inside(window), stride))
