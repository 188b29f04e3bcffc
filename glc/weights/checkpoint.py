"""Weights on disk: one safetensors file per model, read and written.

Reading the metadata needs neither torch nor numpy; ``load`` and ``save`` import numpy. Nothing but
safetensors is ever opened.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glc.config import CodecConfig
from glc.errors import WeightsError
from glc.weights.extras import (
    BOTTLENECK,
    GAUSSIAN,
    INT8,
    RANGES,
    take_bottleneck,
    take_ranges,
)
from glc.weights.manifest import digest_of, identity_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Checkpoint", "load", "read_with_metadata", "save"]

_HEADER_LIMIT = 1 << 20
_FILE_LIMIT = 1 << 30
_LAYOUT = 1
"""Version of the tensor names and metadata inside the file."""


@dataclass(frozen=True)
class Checkpoint:
    """What a weights file holds, as numpy arrays."""

    config: CodecConfig
    name: str
    summary: str
    identity: bytes
    tensors: dict[str, NDArray[np.generic]]
    """Floats as float16 or float32, integers of the scale map and the tables as int32 or int8."""
    bottleneck: dict[str, NDArray[np.generic]] | None = None
    """Layers of the Gaussian bottleneck of phase 1, named as in ``glc.networks.codebook``; None in
    most models. Coded files do without."""
    ranges: dict[str, NDArray[np.float32]] | None = None
    """For each sequence of blocks of g_s and D what values its tensors take, (blocks, places, 2)
    float32: lowest and highest, 0 between them, at the places that
    ``glc.training.export.calibration`` names. None in older models, which cannot be run in 8
    bits.
    """


def load(path: Path) -> Checkpoint:
    """Read and check the weights file at ``path``; a manifest beside it is believed.

    Raises:
        WeightsError: not a weights file of this project, of a layout that is not known, or not the
            one that the manifest names.
        OSError: the file cannot be read.
        MemoryError: there is too little memory for it.

    Example:
        >>> from glc.weights import checkpoint, registry
        >>> checkpoint.load(registry.locate("tiny")).name
        'tiny'
    """
    import safetensors.numpy

    data, meta = read_with_metadata(path)
    expected, identity = digest_of(path), identity_of(data)
    if expected is not None and expected != identity.hex():
        raise WeightsError(
            f"{path}: the file was changed: its SHA-256 is {identity.hex()[:16]}..., the "
            f"manifest beside it says {expected[:16]}...; reinstall the package"
        )
    try:
        # Without memory safetensors would panic, which is no ordinary exception: ask here first.
        bytearray(2 * len(data))
        tensors = dict(safetensors.numpy.load(data))
        config = CodecConfig.from_dict(meta["config"])
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{path}: malformed weights: {error}") from error
    bottleneck = None
    if "bottleneck" in meta:
        bottleneck = take_bottleneck(tensors, meta["bottleneck"], config.latent_channels, path)
    ranges = take_ranges(tensors, meta["ranges"], config, path) if "ranges" in meta else None
    named = str(meta["name"]), str(meta["summary"])
    return Checkpoint(config, *named, identity, tensors, bottleneck, ranges)


def save(
    path: Path,
    config: CodecConfig,
    name: str,
    summary: str,
    tensors: dict[str, NDArray[np.generic]],
    bottleneck: dict[str, NDArray[np.generic]] | None = None,
    ranges: dict[str, NDArray[np.float32]] | None = None,
) -> bytes:
    """Write a weights file atomically; returns its identity (32 bytes).

    The same arguments give the same bytes.

    Args:
        path: where to; an existing file is replaced.
        config: of the networks.
        name: of the model.
        summary: one line that ``glc models`` shows.
        tensors: as ``Checkpoint`` has them; they alone are counted as parameters of the model.
        bottleneck: layers of a Gaussian bottleneck, as ``Checkpoint`` has them.
        ranges: of activations, for 8 bits, as ``Checkpoint`` has them.

    Raises:
        OSError: the file cannot be written.
    """
    import safetensors.numpy

    parameters = sum(array.size for key, array in tensors.items() if not key.startswith("tables."))
    meta = {
        "layout": _LAYOUT,
        "name": name,
        "summary": summary,
        "parameters": parameters,
        "config": config.to_dict(),
    }
    if bottleneck is not None:
        meta["bottleneck"] = GAUSSIAN
        tensors = tensors | {BOTTLENECK + name: array for name, array in bottleneck.items()}
    if ranges is not None:
        meta["ranges"] = INT8
        tensors = tensors | {RANGES + name: array for name, array in ranges.items()}
    # One key only: safetensors does not keep the order of several.
    data = safetensors.numpy.save(tensors, metadata={"glc": json.dumps(meta, sort_keys=True)})
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(data)
    partial.replace(path)
    return identity_of(data)


def read_with_metadata(path: Path) -> tuple[bytes, dict[str, Any]]:
    """Return the bytes of the weights file at ``path``, and the project's entry of its header.

    Raises:
        WeightsError, OSError: as ``load``; tensors are not looked at.
    """
    if path.stat().st_size > _FILE_LIMIT:
        raise WeightsError(f"{path}: weights larger than {_FILE_LIMIT} bytes are refused")
    data = path.read_bytes()
    return data, _metadata(data, path)


def _metadata(data: bytes, path: Path) -> dict[str, Any]:
    """Read the project's entry of the safetensors header without safetensors."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(_HEADER_LIMIT, len(data) - 8):
        raise WeightsError(f"{path}: not a safetensors file")
    try:
        header = json.loads(data[8 : 8 + length])
        meta = json.loads(header["__metadata__"]["glc"])
        layout = meta["layout"]
        complete = {"name", "summary", "config"} <= set(meta)
        complete = complete and isinstance(meta.get("parameters"), int)
        complete = complete and all(isinstance(meta[key], str) for key in ("name", "summary"))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WeightsError(f"{path}: a safetensors file, but not weights of glc") from error
    if layout != _LAYOUT or not complete:
        found = repr(layout)[:60]
        raise WeightsError(f"{path}: weights of layout {found}; this release knows {_LAYOUT}")
    return dict(meta)
