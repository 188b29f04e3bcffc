"""The codec's stages for a picture that is cut into tiles: same results, bounded memory.

Called by ``glc.codec`` alone. What is whole here has 1/256 of the picture's positions, or is the
picture itself as uint8.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, TypeAlias, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from glc import image
from glc.networks.model import GlcModel
from glc.networks.tiled import TiledModel
from glc.tiles import SmallerTilesWarning, Tiling, Window

__all__ = [
    "Integers",
    "analyse",
    "in_smaller_tiles",
    "join",
    "quantise",
    "synthesise",
]

Integers: TypeAlias = "NDArray[np.integer[Any]]"

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


def in_smaller_tiles(method: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Call a method again with smaller tiles whenever the GPU has not enough memory for it.

    The method has a keyword ``tiling``, and its object an attribute ``tile``. What a failed call
    has changed must not matter to the next.

    Warns:
        SmallerTilesWarning: each time.
    """

    @functools.wraps(method)
    def fitting(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        tiling = cast("Tiling | None", kwargs.get("tiling")) or Tiling(cast("Any", args[0]).tile)
        while True:
            kwargs["tiling"] = tiling
            try:
                return method(*args, **kwargs)
            except torch.cuda.OutOfMemoryError:
                smaller = tiling.smaller()
                if smaller is None:
                    raise
            # Only here: the error, and with it the tensors of the attempt, are gone.
            warnings.warn(
                f"not enough memory on the device; going on in tiles of {smaller.side} pixels",
                SmallerTilesWarning,
                stacklevel=2,
            )
            torch.cuda.empty_cache()
            tiling = smaller

    return fitting


def analyse(model: GlcModel, pictures: list[image.Picture], side: int, tiling: Tiling) -> Tensor:
    """Return the latent l of pictures of one padded size: (B, C_l, h, w) float32."""
    device = next(model.parameters()).device
    latents = []
    for number, picture in enumerate(pictures):
        progress = tiling.share(number, 1, len(pictures)).progress
        tiles = TiledModel(model, picture.height, picture.width, 0, side)
        read = functools.partial(_read_pixels, picture.rgb, device)
        latents.append(tiles.latent(read, progress))
    return join(latents)


def quantise(
    model: GlcModel,
    pictures: list[image.Picture],
    latents: Tensor,
    quality: int,
    side: int,
    tiling: Tiling,
) -> tuple[NDArray[np.int32], list[list[tuple[Integers, Integers]]], Integers]:
    """Return what ``Codec.quantise`` does; rows are uint8 and symbols int16."""
    indices, messages, symbols = [], [], []
    for number, (picture, l) in enumerate(zip(pictures, latents.split(1), strict=True)):
        progress = tiling.share(number, 1, len(pictures)).progress
        tiles = TiledModel(model, picture.height, picture.width, quality, side)
        y, chosen = tiles.transform(l)
        steps, everything = tiles.write(y, chosen, progress)
        messages.append(
            [(rows[coded].numpy(), values[coded].numpy()) for rows, values, coded in steps]
        )
        indices.append(chosen)
        symbols.append(everything)
    return join(indices).numpy().astype(np.int32), messages, join(symbols).numpy()


def synthesise(
    model: GlcModel,
    y_hat: Tensor,
    quality: int,
    size: tuple[int, int],
    side: int,
    tiling: Tiling,
) -> NDArray[np.uint8]:
    """Return the pixels of y_hat (B, C_y, h, w) up to this height and width: (B, H, W, 3)."""
    rgb = np.empty((len(y_hat), *size, 3), np.uint8)
    for number, (own, target) in enumerate(zip(y_hat.split(1), rgb, strict=True)):
        progress = tiling.share(number, 1, len(y_hat)).progress
        tiles = TiledModel(model, *size, quality, side)
        tiles.picture(own, functools.partial(_write_pixels, target), progress)
    return rgb


def join(batches: list[Tensor]) -> Tensor:
    """Put batches into one; a single one is not copied."""
    return batches[0] if len(batches) == 1 else torch.cat(batches)


def _read_pixels(rgb: NDArray[np.uint8], device: torch.device, window: Window) -> Tensor:
    """Return a window, (1, 3, h, w) in [-1, 1], of a picture that repeats its last row and column.

    Converted here and not before, since floats take four times the memory of the picture.
    """
    rows, columns = window.at(1)
    pixels = rgb[rows, columns]
    below = rows.stop - rows.start - pixels.shape[0]
    beside = columns.stop - columns.start - pixels.shape[1]
    # Also a copy for torch, which takes neither read-only arrays nor those with negative strides.
    pixels = np.pad(pixels, ((0, below), (0, beside), (0, 0)), mode="edge")
    x = torch.from_numpy(pixels).to(device).permute(2, 0, 1).unsqueeze(0)
    return x.float() / 127.5 - 1.0


def _write_pixels(rgb: NDArray[np.uint8], tile: Window, x_hat: Tensor) -> None:
    """Round (1, 3, h, w) into its place in (H, W, 3); what lies in the padding is dropped."""
    rows, columns = tile.at(1)
    target = rgb[rows, columns]
    pixels = ((x_hat[0].clamp(-1.0, 1.0) + 1.0) * 127.5).round().to(torch.uint8)
    target[...] = pixels.permute(1, 2, 0)[: target.shape[0], : target.shape[1]].cpu().numpy()
