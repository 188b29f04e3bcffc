"""``manifest.json`` of a folder of models: its defaults, and the SHA-256 of every file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = [
    "SUFFIX",
    "default_name",
    "digest_of",
    "from_quality",
    "identity_of",
    "write_manifest",
]

SUFFIX = ".safetensors"

_QUALITIES = range(1, 101)
"""From which a model may take the place of the default one."""


def identity_of(data: bytes) -> bytes:
    """Return the identity of a weights file, the SHA-256 of ``data``, all its bytes: 32 bytes.

    Example:
        >>> from glc.weights import manifest
        >>> manifest.identity_of(b"abc").hex()[:6]
        'ba7816'
    """
    return hashlib.sha256(data).digest()


def write_manifest(folder: Path, default: str, from_quality: Mapping[str, int] = {}) -> None:
    """Write ``manifest.json`` of a folder: its default models and the SHA-256 of every file.

    Args:
        folder: with weights files.
        default: name of the model that is taken where none is named.
        from_quality: names of models that are taken in its place, and from which quality on, 1 to
            100.

    Raises:
        ValueError: no such quality.
    """
    for name, quality in from_quality.items():
        if quality not in _QUALITIES:
            raise ValueError(f"from_quality of {name}: expected 1 to 100, found {quality!r}")
    digests = {p.name: identity_of(p.read_bytes()).hex() for p in sorted(folder.glob(f"*{SUFFIX}"))}
    known: dict[str, Any] = {"default": default}
    if from_quality:
        known["from_quality"] = dict(from_quality)
    known["sha256"] = digests
    text = json.dumps(known, indent=1)
    (folder / "manifest.json").write_text(text + "\n", encoding="utf-8")


def digest_of(path: Path) -> str | None:
    """Return the SHA-256 that the manifest beside the weights file ``path`` says of it, or None."""
    digests = _read(path.parent).get("sha256")
    found = digests.get(path.name) if isinstance(digests, dict) else None
    return None if found is None else str(found)


def default_name(folder: Path) -> str | None:
    """Return the name of the default model of a folder, if it has one."""
    name = _read(folder).get("default")
    return name if isinstance(name, str) else None


def from_quality(folder: Path) -> dict[str, int]:
    """Return from which quality on models of a folder are taken in the place of its default one."""
    found = _read(folder).get("from_quality")
    if not isinstance(found, dict):
        return {}
    return {
        name: quality
        for name, quality in found.items()
        if type(quality) is int and quality in _QUALITIES
    }


def _read(folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return manifest if isinstance(manifest, dict) else {}
