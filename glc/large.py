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
from glc.bitstream import Container
from glc.config import IMAGE_STRIDE, LATENT_STRIDE
from glc.entropy import IndexTables, RangeDecoder, ScaleTables
from glc.networks.model import GlcModel
from glc.networks.tiled import TiledModel
from glc.tiles import SmallerTilesWarning, Tiling, Window

__all__ = [
    "analyse",
    "decode_integers",
    "in_smaller_tiles",
    "quantise",
    "synthesise",
    "synthesise_latent",
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
        progress = tiling.within(number / len(pictures), (number + 1) / len(pictures)).progress
        cut = TiledModel(model, picture.height, picture.width, 0, side, progress)
        latents.append(cut.latent(functools.partial(_pixels, picture.rgb, device)))
    return _join(latents)
