"""Whole datasets: compress them in one call, keep them in one file, read them back.

Importing this package loads neither torch nor numpy; its names do so on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from glc.install_hint import install_command

if TYPE_CHECKING:
    from glc.archive.reader import Archive, ArchiveWriter
    from glc.dataset.compression import Result, compress
    from glc.dataset.failures import Failure
    from glc.dataset.ray import GlcDecoder, GlcEncoder
    from glc.dataset.torch import BatchDecoder, GlcDataset, GlcStream

__all__ = [
    "Archive",
    "ArchiveWriter",
    "BatchDecoder",
    "Failure",
    "GlcDataset",
    "GlcDecoder",
    "GlcEncoder",
    "GlcStream",
    "Result",
    "compress",
]

_LAZY = {
    "Archive": "glc.archive.reader",
    "ArchiveWriter": "glc.archive.reader",
    "BatchDecoder": "glc.dataset.torch",
    "Failure": "glc.dataset.failures",
    "GlcDataset": "glc.dataset.torch",
    "GlcDecoder": "glc.dataset.ray",
    "GlcEncoder": "glc.dataset.ray",
    "GlcStream": "glc.dataset.torch",
    "Result": "glc.dataset.compression",
    "compress": "glc.dataset.compression",
}


def __getattr__(name: str) -> Any:
    """Import an export when it is first asked for."""
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        why = f"glc.dataset.{name} needs the package torch; {install_command('torch')} brings it"
        raise ModuleNotFoundError(why, name="torch") from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_LAZY))
