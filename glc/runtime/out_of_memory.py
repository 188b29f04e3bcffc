"""What a codec does when its GPU has too little memory: the same again, in smaller tiles."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from glc.tiling.geometry import SmallerTilesWarning, Tiling

__all__ = ["in_smaller_tiles"]

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


def in_smaller_tiles(method: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Call a method again with smaller tiles whenever the GPU has not enough memory for it.

    The method has a keyword ``tiling``, and its object, or a function's first argument, attributes
    ``tile`` and ``networks``. What a failed call has changed must not matter to the next.

    Warns:
        SmallerTilesWarning: each time.
    """

    @functools.wraps(method)
    def fitting(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        coder = cast("Any", args[0])
        tiling = cast("Tiling | None", kwargs.get("tiling")) or Tiling(coder.tile)
        while True:
            kwargs["tiling"] = tiling
            try:
                return method(*args, **kwargs)
            except Exception as error:
                smaller = tiling.smaller() if coder.networks.ran_out(error) else None
                if smaller is None:
                    raise
            # Only here: the error, and with it the tensors of the attempt, are gone.
            warnings.warn(
                f"not enough memory on the device; going on in tiles of {smaller.side} pixels",
                SmallerTilesWarning,
                stacklevel=2,
            )
            coder.networks.free()
            tiling = smaller

    return fitting
