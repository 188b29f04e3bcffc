"""A neural image codec for very small files: ``glc.Codec`` turns pictures into bytes and back.

Importing this package loads neither numpy nor a runtime; ``Codec`` does so on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from glc.errors import (
    BitstreamError,
    CorruptError,
    GlcError,
    ImageError,
    LimitError,
    NotGlcError,
    TruncatedError,
    VersionError,
    WeightsError,
)

if TYPE_CHECKING:
    from glc.codec import Codec

__all__ = [
    "BitstreamError",
    "Codec",
    "CorruptError",
    "GlcError",
    "ImageError",
    "LimitError",
    "NotGlcError",
    "TruncatedError",
    "VersionError",
    "WeightsError",
    "__version__",
]

__version__ = "0.1.0"

_LAZY = {"Codec": "glc.codec"}


def __getattr__(name: str) -> Any:
    """Import a heavy export when it is first asked for."""
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_LAZY))
