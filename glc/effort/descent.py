"""Gradient descent on y: the decoder is fixed, and the encoder looks for what it would rather get.

The one part of ``glc.effort`` that needs torch. In the family of Campos et al. (arXiv 1906.01223)
and Yang et al. (arXiv 2006.04240, who anneal the rounding); here rounding is straight through
(arXiv 1308.3432) and few steps have to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from glc.coding_loop import read_pixels
from glc.config import IMAGE_STRIDE, LATENT_STRIDE
from glc.effort.differentiable_rate import symbol_bits
from glc.effort.levels import Level
from glc.effort.look import looks_through
from glc.networks.model import GlcModel
from glc.networks.quantize import round_from, round_through
from glc.runtime.precision import with_gradients
from glc.runtime.protocol import Floats, Integers, Pixels
from glc.tiling.geometry import Window, cut
from glc.tiling.progress import Progress

if TYPE_CHECKING:
    from glc.runtime.torch import TorchNetworks

__all__ = ["Descent"]

_SIDE = 768
"""Side of the tiles that are descended on: what gradients need takes 1.2 GB in ``base``."""
_AROUND = 64
"""Pixels around a tile that are looked at and stay as they are."""

_SQUARED, _COLOURS = 0.65, 0.15
"""Weights of the logarithms of the squared error, and of that of the means of areas, against that
of LPIPS.
"""
_WORSE = 1.0, 0.5
"""Added to these while they are larger than they were at first."""
_AREA = 16
"""Side of the areas whose colours count."""
_SHRINK = 2
"""By how much the pictures are smaller that are looked at as a network sees them."""
_RATE = 0.5
"""Weight of the bits against those that are wanted, while they are so many."""
_EXCHANGE = 0.5
"""Loss against the logarithm of the bits where qualities follow each other in one pass."""
_EXCESS = 1.0
"""Loss against the bits beyond those that are wanted, which will have to go."""
_KEEP = 0.5
"""Of the force of the step before (momentum)."""
_MOST = 3.0
"""Root mean squares of the force beyond which an element is not pulled harder."""
_MOVE = 0.08
"""Root mean square of what the first step adds to y, against that of y."""
_SLOWER = 0.5
"""How the steps get shorter: this times their number, plus 1, is what the first is divided by."""
_HOLD, _HOLD_LONG = 5.0, 0.5
"""How hard the rate is held to what is wanted: by its error in this step, by the sum of all."""


class Descent:
    """Descends on y of pictures; see ``glc.effort.search.Refiner``. The parameters stay.

    Works tile by tile in bounded memory: what lies around a tile stays as it is while the tile
    moves. The same input gives the same result on the same machine, with as many threads.

    Args:
        networks: of the model.
    """

    def __init__(self, networks: TorchNetworks) -> None:
        self._networks = networks

    def __call__(
        self,
        pictures: Sequence[Pixels],
        y: Floats,
        indices: Integers,
        quality: int,
        factor: NDArray[np.float64],
        level: Level,
        progress: Progress | None = None,
    ) -> tuple[Floats, Floats]:
        """Return a y that decodes to something nearer to the pictures; see ``Refiner``.

        Args:
            pictures: (H, W, 3) each, of one padded size.
            y: (B, C_y, h, w), where to begin.
            indices: of z, (B, h / 4, w / 4); they stay.
            quality: 0 to 100.
            factor: (B,), by which the bits of the symbols may grow.
            level: how many steps, and whether the best of them is looked for.
            progress: told of every tile; never of a picture in one piece.
        """
        model, device = self._networks.model, torch.device(self._networks.device)
        found: Floats = y.copy()
        thrifty = np.zeros_like(found)
        bounds = Window.padded(*pictures[0].shape[:2])
        tiles = cut(bounds, _SIDE)
        for number, tile in enumerate(tiles):
            window = tile.grown(_AROUND, IMAGE_STRIDE, bounds)
            around = _at(found, window)
            with with_gradients():
                own = _Window(model, device, pictures, window, indices, quality)
                start = torch.from_numpy(np.ascontiguousarray(around)).to(device)
                inner = tile.inside(window)
                moved = own.descend(start, inner, factor, level)
            for whole, part in zip((found, thrifty), moved, strict=True):
                _at(whole, tile)[...] = _at(part.cpu().numpy(), inner)
            if progress is not None and len(tiles) > 1:
                progress((number + 1) / len(tiles))
        return found, thrifty


class _Window:
    """One window of pictures, and what does not change while y moves."""

    def __init__(
        self,
        model: GlcModel,
        device: torch.device,
        pictures: Sequence[Pixels],
        window: Window,
        indices: Integers,
        quality: int,
    ) -> None:
        self._model, self._threshold = model, model.config.rounding
        x = torch.from_numpy(read_pixels(pictures, window)).to(device)
        self._x = x.permute(0, 3, 1, 2).float() / 127.5 - 1.0
        sizes = [picture.shape[:2] for picture in pictures]
        self._seen = _inside(sizes, window, 1).to(device)
        self._coded = _inside(sizes, window, LATENT_STRIDE).to(device).bool()
        self._pixels = self._seen.flatten(1).sum(1).clamp_min(1.0)
        self._samples = 3.0 * self._pixels
        self._shares = functional.avg_pool2d(self._seen, _AREA)
        self._look = looks_through(str(device), _SHRINK)
        self._features = self._look.features(self._x)
        rows, columns = window.at(IMAGE_STRIDE)
        z = torch.from_numpy(np.ascontiguousarray(indices[:, rows, columns])).long()
        self._digits = model.hyper_codebook.to_digits(z.to(device))
        self._quality = torch.tensor([quality], device=device)

    def descend(
        self, start: Tensor, tile: Window, factor: NDArray[np.float64], level: Level
    ) -> tuple[Tensor, Tensor]:
        """Return y, (B, C_y, h, w), after all steps, and where fewer bits lie from there.

        Args:
            start: where to begin; if the level is checked, returned where nothing is better.
            tile: in the window's coordinates; y moves inside of it.
            factor: see ``Descent``.
            level: see ``Descent``.
        """
        rows, columns = tile.at(LATENT_STRIDE)
        mine = torch.zeros_like(start[:, :1])
        mine[..., rows, columns] = 1.0
        mine = mine * self._coded
        longest = _MOVE * self._size(start)
        y, force, thrift = start, torch.zeros_like(start), torch.zeros_like(start)
        best, least = start, start.new_full((len(start),), torch.inf)
        wanted = error_sum = torch.zeros_like(least)
        first = torch.empty(0)
        for step in range(level.steps):
            y = y.detach().requires_grad_()
            y_hat, bits = self._code(y)
            if not step:
                wanted = (bits.detach() * torch.from_numpy(factor).to(bits)).clamp_min(1.0)
            errors = self._errors(y_hat)
            if not step:
                first = errors.detach()
            loss = self._loss(errors, first)
            best, least = _better(best, least, y, loss, bits / wanted)
            error = bits.detach() / wanted - 1.0
            error_sum = error_sum + error
            weight = _RATE * (_HOLD * error + _HOLD_LONG * error_sum).clamp(-2.0, 2.0).exp()
            length = longest / (1.0 + _SLOWER * step)
            last = step == level.steps - 1
            if last:
                (thrift,) = torch.autograd.grad((bits / wanted).sum(), y, retain_graph=True)
            (gradient,) = torch.autograd.grad((loss + weight * bits / wanted).sum(), y)
            force = _KEEP * force + mine * gradient
            scale = _scale(force)
            y = y.detach() - length * (force * scale).clamp(-_MOST, _MOST)
            if last:
                thrift = -longest * (mine * thrift * scale).clamp(-_MOST, _MOST)
        if level.checked:
            with torch.no_grad():
                y_hat, bits = self._code(y)
                loss = self._loss(self._errors(y_hat), first)
                y, _ = _better(best, least, y, loss, bits / wanted)
        return y, thrift

    def _code(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return y_hat, with gradients straight through the rounding, and the bits: (B,)."""
        residuals, tables = [], []

        def exchange(
            step: int, mean: Tensor, quant_step: Tensor, rows: Tensor, mask: Tensor
        ) -> Tensor:
            own = mask & self._coded
            residual = (y - mean) / quant_step
            residuals.append(residual * own)
            tables.append(rows * own)
            nearest = self._threshold == 0.5
            rounded = round_through(residual) if nearest else round_from(residual, self._threshold)
            return rounded * (own & (rows.detach() > 0))

        y_hat = self._model.code_symbols(self._digits, self._quality, exchange, exact=False)
        rows = sum(tables[1:], tables[0])
        bits = symbol_bits(sum(residuals[1:], residuals[0]), rows, self._threshold)
        # What has no table takes no bits.
        return y_hat, (bits * (rows.detach() > 0)).flatten(1).sum(1)

    def _size(self, y: Tensor) -> Tensor:
        """Return the root mean square of y, where it is coded: (B, 1, 1, 1)."""
        count = self._coded.flatten(1).sum(1) * y.shape[1]
        total = (y.square() * self._coded).flatten(1).sum(1)
        return (total / count.clamp_min(1)).sqrt()[:, None, None, None]

    def _errors(self, y_hat: Tensor) -> Tensor:
        """Return how far the decoded pictures are from the originals, in logarithms: (3, B).

        By squares, by those of the mean colours of areas, and by what is looked through.
        Logarithms weigh a per cent of any of them as much at every quality.
        """
        l_hat = self._model.synthesis(y_hat, self._quality)
        # At realism 1, as files are shown unless a reader asks for something else.
        x_hat = self._model.show(l_hat)
        error = (x_hat - self._x) * self._seen
        squared = error.square().flatten(1).sum(1) / self._samples
        # What a picture has of an area counts as much as that is.
        means = functional.avg_pool2d(error, _AREA).square() / self._shares.clamp_min(1e-3)
        colours = means.flatten(1).sum(1) / (3.0 * self._shares.flatten(1).sum(1)).clamp_min(1e-3)
        distance = self._look.distance(self._features, self._look.features(x_hat), self._seen)
        return torch.stack([squared, colours, distance]).clamp_min(1e-6).log()

    def _loss(self, errors: Tensor, first: Tensor) -> Tensor:
        """Return one number of the errors of each picture: (B,).

        Args:
            errors: of ``_errors``.
            first: those of the y that the descent began with, which it had better not exceed.
        """
        weights = errors.new_tensor([_SQUARED, _COLOURS, self._look.weight])
        worse = errors.new_tensor([*_WORSE, 0.0])
        return weights @ errors + worse @ (errors - first).clamp_min(0.0)


def _scale(force: Tensor) -> Tensor:
    """Return what gives the pull at each picture a root mean square of 1: (B, 1, 1, 1).

    Elements at which nothing pulls, since nothing is coded there, do not count.
    """
    pulled = (force != 0).flatten(1).sum(1).clamp_min(1)
    length = (force.square().flatten(1).sum(1) / pulled).sqrt()
    return 1.0 / (length + 1e-12)[:, None, None, None]


def _better(
    best: Tensor, least: Tensor, y: Tensor, loss: Tensor, rate: Tensor
) -> tuple[Tensor, Tensor]:
    """Return, of each picture, the better of two y, and how bad it is: (B, ...) and (B,).

    Args:
        best: the one before.
        least: how bad that is.
        y: the new one.
        loss: of the new one.
        rate: its bits against those that are wanted; what is above costs more than what is below
            saves, since it will have to go.
    """
    excess = _EXCESS * (rate - 1.0).clamp_min(0.0)
    bad = (loss + _EXCHANGE * rate.clamp_min(1e-3).log() + excess).detach()
    chosen = torch.where((bad < least)[:, None, None, None], y.detach(), best)
    return chosen, torch.minimum(bad, least)


def _at(y: Floats, window: Window) -> Floats:
    """Return a window of y, which shares its memory."""
    rows, columns = window.at(LATENT_STRIDE)
    return y[:, :, rows, columns]


def _inside(sizes: Sequence[tuple[int, int]], window: Window, stride: int) -> Tensor:
    """Return 1 where what is ``stride`` pixels wide touches a picture: (B, 1, h, w)."""
    rows, columns = window.at(stride)
    found = torch.zeros(len(sizes), 1, rows.stop - rows.start, columns.stop - columns.start)
    for own, (height, width) in zip(found, sizes, strict=True):
        down, across = -(-height // stride) - rows.start, -(-width // stride) - columns.start
        own[:, : max(0, down), : max(0, across)] = 1.0
    return found
