"""Pictures of every kind to 8-bit sRGB arrays and back; ``picture`` has the rules.

Importing this package loads neither numpy nor Pillow; its names do so on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glc.image.alpha import decode_alpha, encode_alpha
    from glc.image.picture import Picture, from_array, load, to_pil

__all__ = ["Picture", "decode_alpha", "encode_alpha", "from_array", "load", "to_pil"]

_LAZY = {
    "Picture": "glc.image.picture",
    "decode_alpha": "glc.image.alpha",
    "encode_alpha": "glc.image.alpha",
    "from_array": "glc.image.picture",
    "load": "glc.image.picture",
    "to_pil": "glc.image.picture",
}


def __getattr__(name: str) -> Any:
    """Import an export when it is first asked for."""
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_LAZY))
