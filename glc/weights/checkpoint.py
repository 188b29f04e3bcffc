"""Weights on disk: one safetensors file per model, its identity, and where models are found.

Finding a model needs neither torch nor numpy; ``load`` and ``save`` import them. Nothing here
downloads, and nothing but safetensors is ever opened.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glc.config import CodecConfig
from glc.errors import WeightsError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "Checkpoint",
    "ModelInfo",
    "describe",
    "find",
    "identity_of",
    "installed",
    "load",
    "locate",
    "save",
]

MODELS_VARIABLE = "GLC_MODELS"
"""Environment variable: more folders with models, separated as in PATH."""

_SUFFIX = ".safetensors"
_HEADER_LIMIT = 1 << 20
_FILE_LIMIT = 1 << 30
_LAYOUT = 1
"""Version of the tensor names and metadata inside the file."""
_BOTTLENECK = "bottleneck."
_RANGES = "ranges."
_INT8 = "int8"
RANGED = {
    "synthesis.body": ("transform_depth", 5),
    "decoder.body_16": ("decoder_depth_16", 5),
    "decoder.body_8": ("decoder_depth_8", 4),
    "decoder.body_4": ("decoder_depth_4", 4),
}
"""Sequences of blocks that can be run in 8 bits: how many there are, and ranges of each."""
RANGE_MIN, RANGE_MAX = 1e-6, 1e6
"""How large the ends of a range may be: 255 steps of it are ordinary numbers."""
_GAUSSIAN = "gaussian"
"""What the metadata calls the bottleneck of ``--regulariser kl``; others are not stored."""


@dataclass(frozen=True)
class ModelInfo:
    """One model on this machine."""

    name: str
    path: Path
    identity: bytes
    """32 bytes: the SHA-256 of the file."""
    parameters: int
    size_bytes: int
    default: bool
    summary: str


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


def identity_of(data: bytes) -> bytes:
    """Return the identity of a weights file: the SHA-256 of all its bytes.

    Example:
        >>> from glc.weights import checkpoint
        >>> checkpoint.identity_of(b"abc").hex()[:6]
        'ba7816'
    """
    return hashlib.sha256(data).digest()


def model_folders() -> list[Path]:
    """Return the folders that are searched, in order: those of ``GLC_MODELS``, then the shipped."""
    named = [Path(p) for p in os.environ.get(MODELS_VARIABLE, "").split(os.pathsep) if p]
    package = Path(__file__).parents[1]
    shipped = (package / "_weights", package.parent / "weights")
    return named + [folder for folder in shipped if folder.is_dir()][:1]


def installed() -> list[ModelInfo]:
    """Return every model found, the default one first.

    Files that cannot be read as weights are left out; loading such a file by its path says why.

    Example:
        >>> from glc.weights import checkpoint
        >>> sorted(model.name for model in checkpoint.installed())
        ['base', 'tiny']
    """
    found: dict[bytes, ModelInfo] = {}
    for folder in model_folders():
        # One default only: that of the first folder that has the one it names.
        taken = any(info.default for info in found.values())
        default = None if taken else _default_name(folder)
        for path in sorted(folder.glob(f"*{_SUFFIX}")):
            try:
                info = _describe(path, default)
            except (WeightsError, OSError):
                continue
            found.setdefault(info.identity, info)
    return sorted(found.values(), key=lambda info: (not info.default, info.name))


def find(identity_prefix: bytes) -> ModelInfo:
    """Return the installed model whose identity begins with these bytes.

    Raises:
        WeightsError: there is none; the message names it and what is installed.

    Example:
        >>> from glc import bitstream; from glc.weights import checkpoint
        >>> checkpoint.find(bitstream.unpack(data).model).name == codec.name
        True
    """
    models = installed()
    for info in models:
        if info.identity.startswith(identity_prefix):
            return info
    raise WeightsError(
        f"the file was made with model {identity_prefix.hex()}, which is not installed; "
        f"{_installed_text(models)}; put its {_SUFFIX} file into a folder named by "
        f"{MODELS_VARIABLE}, or pass its path as the model"
    )


def locate(name_or_path: str | Path | None = None) -> Path:
    """Return the weights file of a name, a path, or (None) of the default model.

    Raises:
        WeightsError: no such model; the message lists the installed ones.

    Example:
        >>> from glc.weights import checkpoint
        >>> checkpoint.locate("tiny").name
        'tiny.safetensors'
    """
    if name_or_path is not None:
        path = Path(name_or_path)
        if path.suffix == _SUFFIX or path.is_file():
            if not path.is_file():
                raise WeightsError(f"no weights file {path}")
            return path
    models = installed()
    for info in models:
        if info.name == str(name_or_path) or (name_or_path is None and info.default):
            return info.path
    wanted = "a default model" if name_or_path is None else f"a model named {name_or_path!r}"
    raise WeightsError(f"{wanted} is not installed; {_installed_text(models)}")


def describe(path: Path) -> ModelInfo:
    """Say what a weights file is, as ``installed`` does of those it finds; it is no default here.

    Raises:
        WeightsError: not a weights file of this project, or of a layout that is not known.
        OSError: the file cannot be read.

    Example:
        >>> from glc.weights import checkpoint
        >>> checkpoint.describe(checkpoint.locate("tiny")).default
        False
    """
    return _describe(path, None)


def load(path: Path) -> Checkpoint:
    """Read a weights file.

    Raises:
        WeightsError: not a weights file of this project, or of a layout that is not known.
        OSError: the file cannot be read.
        MemoryError: there is too little memory for it.

    Example:
        >>> from glc.weights import checkpoint
        >>> checkpoint.load(checkpoint.locate("tiny")).name
        'tiny'
    """
    import safetensors.numpy

    if path.stat().st_size > _FILE_LIMIT:
        raise WeightsError(f"{path}: weights larger than {_FILE_LIMIT} bytes are refused")
    data = path.read_bytes()
    meta = _metadata(data, path)
    digests = _manifest(path.parent).get("sha256")
    expected = digests.get(path.name) if isinstance(digests, dict) else None
    identity = identity_of(data)
    if expected is not None and expected != identity.hex():
        raise WeightsError(
            f"{path}: the file was changed: its SHA-256 is {identity.hex()[:16]}..., the "
            f"manifest beside it says {str(expected)[:16]}...; reinstall the package"
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
        bottleneck = _take_bottleneck(tensors, meta["bottleneck"], config.latent_channels, path)
    ranges = _take_ranges(tensors, meta["ranges"], config, path) if "ranges" in meta else None
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

    The same arguments give the same bytes. Tensors, bottleneck and ranges are as ``Checkpoint`` has
    them; only the first are counted as parameters of the model.
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
        meta["bottleneck"] = _GAUSSIAN
        tensors = tensors | {_BOTTLENECK + name: array for name, array in bottleneck.items()}
    if ranges is not None:
        meta["ranges"] = _INT8
        tensors = tensors | {_RANGES + name: array for name, array in ranges.items()}
    # One key only: safetensors does not keep the order of several.
    data = safetensors.numpy.save(tensors, metadata={"glc": json.dumps(meta, sort_keys=True)})
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(data)
    partial.replace(path)
    return identity_of(data)


def write_manifest(folder: Path, default: str) -> None:
    """Write ``manifest.json`` of a folder: the default model and the SHA-256 of every file."""
    digests = {
        p.name: identity_of(p.read_bytes()).hex() for p in sorted(folder.glob(f"*{_SUFFIX}"))
    }
    text = json.dumps({"default": default, "sha256": digests}, indent=1)
    (folder / "manifest.json").write_text(text + "\n", encoding="utf-8")


def _describe(path: Path, default: str | None) -> ModelInfo:
    size = path.stat().st_size
    if size > _FILE_LIMIT:
        raise WeightsError(f"{path}: weights larger than {_FILE_LIMIT} bytes are refused")
    data = path.read_bytes()
    meta = _metadata(data, path)
    return ModelInfo(
        name=str(meta["name"]),
        path=path,
        identity=identity_of(data),
        parameters=int(meta["parameters"]),
        size_bytes=size,
        default=meta["name"] == default,
        summary=str(meta["summary"]),
    )


def _take_ranges(
    tensors: dict[str, NDArray[np.generic]], kind: object, config: CodecConfig, path: Path
) -> dict[str, NDArray[np.float32]]:
    """Remove the ranges from the tensors and return them, checked.

    Raises:
        WeightsError: a kind that is not known; ranges are missing, of another shape or type, or
            out of bounds.
    """
    import numpy as np

    if kind != _INT8:
        raise WeightsError(f"{path}: ranges {repr(kind)[:60]}; this release knows {_INT8!r}")
    taken: dict[str, NDArray[np.float32]] = {}
    for name, (depth, places) in RANGED.items():
        array, shape = tensors.pop(_RANGES + name, None), (getattr(config, depth), places, 2)
        if array is None or array.shape != shape or array.dtype != np.float32:
            found = "nothing" if array is None else f"{array.dtype} {array.shape}"
            raise WeightsError(
                f"{path}: {_RANGES}{name}: expected shape {shape} of float32, found {found}"
            )
        values = array.astype(np.float32)
        low, high = values[..., 0], values[..., 1]
        # Written so that what is not a number is refused as well.
        if not ((low >= -RANGE_MAX) & (low <= 0) & (high >= RANGE_MIN) & (high <= RANGE_MAX)).all():
            raise WeightsError(
                f"{path}: {_RANGES}{name}: expected lowest in [-{RANGE_MAX:g}, 0] and highest in "
                f"[{RANGE_MIN:g}, {RANGE_MAX:g}]"
            )
        taken[name] = values
    return taken


def _take_bottleneck(
    tensors: dict[str, NDArray[np.generic]], kind: object, channels: int, path: Path
) -> dict[str, NDArray[np.generic]]:
    """Remove the layers of the bottleneck from the tensors and return them, checked.

    Raises:
        WeightsError: a kind that is not known; a layer is missing, unknown, of another shape or
            type, or not finite.
    """
    import numpy as np

    if kind != _GAUSSIAN:
        raise WeightsError(
            f"{path}: bottleneck {repr(kind)[:60]}; this release knows {_GAUSSIAN!r}"
        )
    shapes = {
        "moments.weight": (2 * channels, channels, 1, 1),
        "moments.bias": (2 * channels,),
        "expand.weight": (channels, channels, 1, 1),
        "expand.bias": (channels,),
    }
    names = [name for name in tensors if name.startswith(_BOTTLENECK)]
    taken = {name[len(_BOTTLENECK) :]: tensors.pop(name) for name in names}
    unknown = sorted(set(taken) - set(shapes))
    if unknown:
        raise WeightsError(f"{path}: unexpected tensors: {_BOTTLENECK}{unknown[0]}")
    for name, shape in shapes.items():
        array = taken.get(name)
        if array is None or array.shape != shape or array.dtype.kind != "f":
            found = "nothing" if array is None else f"{array.dtype} {array.shape}"
            raise WeightsError(
                f"{path}: {_BOTTLENECK}{name}: expected shape {shape} of floats, found {found}"
            )
        if not np.isfinite(array).all():
            raise WeightsError(f"{path}: {_BOTTLENECK}{name} holds values that are not finite")
    return taken


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


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return manifest if isinstance(manifest, dict) else {}


def _default_name(folder: Path) -> str | None:
    name = _manifest(folder).get("default")
    return name if isinstance(name, str) else None


def _installed_text(models: list[ModelInfo]) -> str:
    if not models:
        return "no model is installed"
    names = ", ".join(f"{info.name} ({info.identity[:3].hex()})" for info in models)
    return f"installed: {names}"
