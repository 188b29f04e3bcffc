"""Codecs that this process has loaded, so that nobody loads the same weights twice.

For callers who meet files one by one: the Pillow plugin, data loaders, workers of a cluster. Who
needs one codec only makes a ``glc.Codec``. Importing this module loads no torch.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from glc.bitstream import MODEL_BYTES
from glc.weights import checkpoint, registry

if TYPE_CHECKING:
    from glc.codec import Codec

__all__ = ["codec_for_files", "codec_named"]

_lock = threading.Lock()
_loaded: dict[tuple[bytes, str], Codec] = {}
"""By identity and device."""
_starts: dict[str, list[int]] = {}
"""From which quality on each default model makes the files, by folders searched."""
_named: dict[tuple[str, str, int], bytes] = {}
"""Identity by name or path, folders searched, and time of the last change of a path; or, without a
name, the quality from which on it makes the files."""


def codec_named(
    model: str | os.PathLike[str] | None = None, device: str = "auto", quality: int = 0
) -> Codec:
    """Return the codec of a model, loaded by the first caller who asks for it.

    Args:
        model: name or path; None is the default model of the quality.
        device: as for ``Codec.from_pretrained``.
        quality: 0 to 100; no matter to a model that is named.

    Raises:
        WeightsError: no such model, or malformed weights.
    """
    name = "" if model is None else os.fspath(model)
    path = Path(name)
    changed = path.stat().st_mtime_ns if path.is_file() else 0
    folders = os.environ.get(registry.MODELS_VARIABLE, "")
    with _lock:
        if not name and folders not in _starts:
            _starts[folders] = [info.from_quality or 0 for info in registry.defaults()]
        start = max((s for s in _starts.get(folders, ()) if s <= quality), default=0)
        key = (name, folders, changed if name else start)
        codec = _loaded.get((_named.get(key, b""), device))
        if codec is None:
            codec = _load(registry.locate(name or None, quality), device)
            _named[key] = codec.identity
        return codec


def codec_for_files(model: bytes, device: str = "auto") -> Codec:
    """Return the codec of files that carry this identity, loaded by the first caller who asks.

    Args:
        model: an identity, 32 bytes, or the first 3 of them, as a ``.glc`` file has them.
        device: as for ``Codec.from_pretrained``.

    Raises:
        ValueError: fewer than 3 bytes.
        WeightsError: it is not installed, and was not loaded by ``codec_named`` either.
    """
    if len(model) < MODEL_BYTES:
        raise ValueError(f"model: expected at least {MODEL_BYTES} bytes, found {len(model)}")
    with _lock:
        for (identity, loaded_on), codec in _loaded.items():
            if identity.startswith(model) and loaded_on == device:
                return codec
        return _load(registry.find(model).path, device)


def _load(path: Path, device: str) -> Codec:
    """Load weights unless they are loaded under another name; the caller holds the lock."""
    from glc.codec import Codec

    weights = checkpoint.load(path)
    key = (weights.identity, device)
    if key not in _loaded:
        _loaded[key] = Codec(weights, device=device)
    return _loaded[key]
