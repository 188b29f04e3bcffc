"""``manifest.json`` of a folder of models: which is the default, and the SHA-256 of every file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

__all__ = ["SUFFIX", "default_name", "digest_of", "identity_of", "write_manifest"]

SUFFIX = ".safetensors"


def identity_of(data: bytes) -> bytes:
    """Return the identity of a weights file, the SHA-256 of ``data``, all its bytes: 32 bytes.

    Example:
        >>> from glc.weights import manifest
        >>> manifest.identity_of(b"abc").hex()[:6]
        'ba7816'
    """
    return hashlib.sha256(data).digest()


def write_manifest(folder: Path, default: str) -> None:
    """Write ``manifest.json`` of a folder: the default model and the SHA-256 of every file."""
    digests = {p.name: identity_of(p.read_bytes()).hex() for p in sorted(folder.glob(f"*{SUFFIX}"))}
    text = json.dumps({"default": default, "sha256": digests}, indent=1)
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


def _read(folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return manifest if isinstance(manifest, dict) else {}
