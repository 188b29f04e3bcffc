"""What a weights file may hold beside its networks and tables: a bottleneck, and ranges for 8 bits.

Each is known by a word in the metadata and by the prefix of its tensors; coded files do without.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from glc.config import CodecConfig
from glc.errors import WeightsError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "BOTTLENECK",
    "GAUSSIAN",
    "INT8",
    "RANGES",
    "RANGE_MAX",
    "RANGE_MIN",
    "ranged",
    "take_bottleneck",
    "take_ranges",
]

BOTTLENECK = "bottleneck."
RANGES = "ranges."
INT8 = "int8"
_RANGED = {
    "synthesis.body": ("transform_depth", 5),
    "decoder.body_16": ("decoder_depth_16", 5),
    "decoder.body_8": ("decoder_depth_8", 4),
    "decoder.body_4": ("decoder_depth_4", 4),
}
_RANGED_REALISTIC = {
    "realistic_decoder.body_16": ("realistic_depth_16", 5),
    "realistic_decoder.body_8": ("realistic_depth_8", 4),
    "realistic_decoder.body_4": ("realistic_depth_4", 4),
}
"""Of models with two decoders, beside those."""
RANGE_MIN, RANGE_MAX = 1e-6, 1e6
"""How large the ends of a range may be: 255 steps of it are ordinary numbers."""
GAUSSIAN = "gaussian"
"""What the metadata calls the bottleneck of ``--regulariser kl``; others are not stored."""


def ranged(config: CodecConfig) -> dict[str, tuple[int, int]]:
    """Return the sequences of blocks that can be run in 8 bits.

    Returns:
        (blocks, ranges of each) by the name of the sequence in ``glc.networks.model.GlcModel``.
    """
    fields = _RANGED | (_RANGED_REALISTIC if config.two_decoders else {})
    return {name: (getattr(config, depth), places) for name, (depth, places) in fields.items()}


def take_ranges(
    tensors: dict[str, NDArray[np.generic]], kind: object, config: CodecConfig, path: Path
) -> dict[str, NDArray[np.float32]]:
    """Remove the ranges from the tensors and return them, checked.

    Raises:
        WeightsError: a kind that is not known; ranges are missing, of another shape or type, or
            out of bounds.
    """
    import numpy as np

    if kind != INT8:
        raise WeightsError(f"{path}: ranges {repr(kind)[:60]}; this release knows {INT8!r}")
    taken: dict[str, NDArray[np.float32]] = {}
    for name, sizes in ranged(config).items():
        array, shape = tensors.pop(RANGES + name, None), (*sizes, 2)
        if array is None or array.shape != shape or array.dtype != np.float32:
            found = "nothing" if array is None else f"{array.dtype} {array.shape}"
            raise WeightsError(
                f"{path}: {RANGES}{name}: expected shape {shape} of float32, found {found}"
            )
        values = array.astype(np.float32)
        low, high = values[..., 0], values[..., 1]
        # Written so that what is not a number is refused as well.
        if not ((low >= -RANGE_MAX) & (low <= 0) & (high >= RANGE_MIN) & (high <= RANGE_MAX)).all():
            raise WeightsError(
                f"{path}: {RANGES}{name}: expected lowest in [-{RANGE_MAX:g}, 0] and highest in "
                f"[{RANGE_MIN:g}, {RANGE_MAX:g}]"
            )
        taken[name] = values
    return taken


def take_bottleneck(
    tensors: dict[str, NDArray[np.generic]], kind: object, channels: int, path: Path
) -> dict[str, NDArray[np.generic]]:
    """Remove the layers of the bottleneck from the tensors and return them, checked.

    Raises:
        WeightsError: a kind that is not known; a layer is missing, unknown, of another shape or
            type, or not finite.
    """
    import numpy as np

    if kind != GAUSSIAN:
        raise WeightsError(f"{path}: bottleneck {repr(kind)[:60]}; this release knows {GAUSSIAN!r}")
    shapes = {
        "moments.weight": (2 * channels, channels, 1, 1),
        "moments.bias": (2 * channels,),
        "expand.weight": (channels, channels, 1, 1),
        "expand.bias": (channels,),
    }
    names = [name for name in tensors if name.startswith(BOTTLENECK)]
    taken = {name[len(BOTTLENECK) :]: tensors.pop(name) for name in names}
    unknown = sorted(set(taken) - set(shapes))
    if unknown:
        raise WeightsError(f"{path}: unexpected tensors: {BOTTLENECK}{unknown[0]}")
    for name, shape in shapes.items():
        array = taken.get(name)
        if array is None or array.shape != shape or array.dtype.kind != "f":
            found = "nothing" if array is None else f"{array.dtype} {array.shape}"
            raise WeightsError(
                f"{path}: {BOTTLENECK}{name}: expected shape {shape} of floats, found {found}"
            )
        if not np.isfinite(array).all():
            raise WeightsError(f"{path}: {BOTTLENECK}{name} holds values that are not finite")
    return taken
