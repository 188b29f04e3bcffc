"""What a codec does when its GPU has too little memory: the same again, in smaller tiles."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import torch

from glc.tiles import SmallerTilesWarning, Tiling

__all__ = ["in_smaller_tiles"]

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
