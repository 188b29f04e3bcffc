"""The models of this machine: where they are looked for, and how one is named.

Nothing here downloads, and neither torch nor numpy is needed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from glc.errors import WeightsError
from glc.weights.checkpoint import read_with_metadata
from glc.weights.manifest import SUFFIX, default_name, from_quality, identity_of

__all__ = [
    "MODELS_VARIABLE",
    "ModelInfo",
    "defaults",
    "describe",
    "find",
    "installed",
    "locate",
    "model_folders",
]

MODELS_VARIABLE = "GLC_MODELS"
"""Environment variable: more folders with models, separated as in PATH."""


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
    from_quality: int | None = None
    """From this quality on it is taken in the place of the default model; None for all others."""


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
        >>> from glc.weights import registry
        >>> sorted(model.name for model in registry.installed())
        ['base', 'fine', 'tiny']
    """
    found: dict[bytes, ModelInfo] = {}
    for folder in model_folders():
        # One default only: that of the first folder that has the one it names.
        taken = any(info.default for info in found.values())
        default = None if taken else default_name(folder)
        here = []
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            try:
                here.append(_describe(path, default))
            except (WeightsError, OSError):
                continue
        # What stands in for a default model stands beside it.
        finer = from_quality(folder) if any(info.default for info in here) else {}
        for info in here:
            start = None if info.default else finer.get(info.name)
            # A copy may lie in a folder before, which does not say what it is for.
            first = found.setdefault(info.identity, info)
            if info.default or start is not None:
                found[info.identity] = replace(first, default=info.default, from_quality=start)
    return sorted(found.values(), key=_rank)


def _rank(info: ModelInfo) -> tuple[bool, bool, str]:
    return not info.default, info.from_quality is None, info.name


def find(identity_prefix: bytes) -> ModelInfo:
    """Return the installed model whose identity begins with these bytes.

    Args:
        identity_prefix: 3 bytes, as a ``.glc`` file has them, up to all 32.

    Raises:
        WeightsError: there is none; the message names it and what is installed.

    Example:
        >>> from glc import bitstream; from glc.weights import registry
        >>> registry.find(bitstream.unpack(data).model).name == codec.name
        True
    """
    models = installed()
    for info in models:
        if info.identity.startswith(identity_prefix):
            return info
    raise WeightsError(
        f"the file was made with model {identity_prefix.hex()}, which is not installed; "
        f"{_installed_text(models)}; put its {SUFFIX} file into a folder named by "
        f"{MODELS_VARIABLE}, or pass its path as the model"
    )


def locate(name_or_path: str | Path | None = None, quality: int = 0) -> Path:
    """Return the weights file of a name, a path, or (None) of the default model.

    Args:
        name_or_path: as ``installed`` lists it, or a ``.safetensors`` file.
        quality: 0 to 100; which model is the default may depend on it.

    Raises:
        WeightsError: no such model; the message lists the installed ones.

    Example:
        >>> from glc.weights import registry
        >>> registry.locate("tiny").name
        'tiny.safetensors'
    """
    if name_or_path is not None:
        path = Path(name_or_path)
        if path.suffix == SUFFIX or path.is_file():
            if not path.is_file():
                raise WeightsError(f"no weights file {path}")
            return path
    models = installed()
    if name_or_path is None:
        for info in reversed(defaults(models)):
            if quality >= (info.from_quality or 0):
                return info.path
    for info in models:
        if info.name == str(name_or_path):
            return info.path
    wanted = "a default model" if name_or_path is None else f"a model named {name_or_path!r}"
    raise WeightsError(f"{wanted} is not installed; {_installed_text(models)}")


def defaults(models: list[ModelInfo] | None = None) -> list[ModelInfo]:
    """Return the default model, and what takes its place at higher qualities, in rising order.

    Args:
        models: as ``installed`` returns them; looked for when omitted.

    Example:
        >>> from glc.weights import registry
        >>> registry.defaults()[0].name
        'base'
    """
    starts: dict[int, ModelInfo] = {}
    for info in installed() if models is None else models:
        # Of several files of one name the first.
        if info.default or info.from_quality is not None:
            starts.setdefault(info.from_quality or 0, info)
    return [starts[quality] for quality in sorted(starts)]


def describe(path: Path) -> ModelInfo:
    """Say what the weights file at ``path`` is, as ``installed`` does; it is no default here.

    Raises:
        WeightsError: not a weights file of this project, or of a layout that is not known.
        OSError: the file cannot be read.

    Example:
        >>> from glc.weights import registry
        >>> registry.describe(registry.locate("tiny")).default
        False
    """
    return _describe(path, None)


def _describe(path: Path, default: str | None) -> ModelInfo:
    data, meta = read_with_metadata(path)
    return ModelInfo(
        name=str(meta["name"]),
        path=path,
        identity=identity_of(data),
        parameters=int(meta["parameters"]),
        size_bytes=len(data),
        default=meta["name"] == default,
        summary=str(meta["summary"]),
    )


def _installed_text(models: list[ModelInfo]) -> str:
    if not models:
        return "no model is installed"
    names = ", ".join(f"{info.name} ({info.identity[:3].hex()})" for info in models)
    return f"installed: {names}"
