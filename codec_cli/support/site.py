"""The codec in a browser as a folder of files: page, library, runtime and models.

What is JavaScript lies in ``web/`` and is copied as it is; nothing is built.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import glc
from glc.errors import GlcError
from glc.weights.registry import ModelInfo

__all__ = ["INDEX", "PARTS", "RUNTIME_FILES", "RuntimeMissingError", "find_runtime", "site_files"]

INDEX = "site.json"
"""What the page reads first; also how a folder is known to be such a site."""

RUNTIME_FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
"""Of onnxruntime-web. Too large for the wheel, 14 MB: npm brings them."""

PARTS = ("index.html", "glc.js", "sw.js", "icon.svg", "manifest.webmanifest", "lib", "page")
_PACKAGE = "onnxruntime-web"


class RuntimeMissingError(GlcError):
    """The files of onnxruntime-web are not where they were looked for."""


def source_folder() -> Path:
    """Return where page and library lie: in the package as installed, else beside it."""
    package = Path(glc.__file__).parent
    shipped = package / "_web"
    return shipped if shipped.is_dir() else package.parent / "web"


def find_runtime(folder: Path | None) -> Path:
    """Return the folder that has the files of onnxruntime-web.

    Args:
        folder: where the user says that they are: there, or in ``node_modules`` below it.

    Raises:
        RuntimeMissingError: they are not there, or of another version; the message says how to get
            them.
    """
    wanted = _runtime_version()
    inside = Path("node_modules", _PACKAGE, "dist")
    bases = [source_folder(), Path()] if folder is None else [folder]
    places = [place for base in bases for place in (base / inside, base)]
    found = [p for p in places if all((p / name).is_file() for name in RUNTIME_FILES)]
    if not found:
        where = "here" if folder is None else f"in {folder}"
        raise RuntimeMissingError(
            f"{_PACKAGE} is not {where}: npm install {_PACKAGE}@{wanted} brings it; then call this "
            "again from the same folder, or name that folder with --runtime"
        )
    version = _version_of(found[0].parent / "package.json")
    if version not in ("", wanted):
        raise RuntimeMissingError(
            f"{found[0]}: {_PACKAGE} {version}, but {wanted} is wanted: npm install "
            f"{_PACKAGE}@{wanted}"
        )
    return found[0]


def site_files(models: Sequence[ModelInfo], runtime: Path) -> dict[str, Callable[[], bytes]]:
    """Return the files of a site by their names, each as a function that reads it.

    The last is the index: it names every other with its SHA-256, so that the page can keep them
    and tell what was changed.

    Args:
        models: to be shipped, the default one first.
        runtime: a folder with ``RUNTIME_FILES``.
    """
    source = source_folder()
    files: dict[str, Callable[[], bytes]] = {}
    for part in PARTS:
        path = source / part
        inner = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in inner:
            if file.is_file():
                files[file.relative_to(source).as_posix()] = file.read_bytes
    files |= {f"runtime/{name}": (runtime / name).read_bytes for name in RUNTIME_FILES}
    digests = {name: hashlib.sha256(read()).hexdigest() for name, read in files.items()}
    described = [_describe(model) for model in models]
    files |= {
        entry["file"]: model.path.read_bytes for entry, model in zip(described, models, strict=True)
    }
    index = {"version": glc.__version__, "files": digests, "models": described}
    text = json.dumps(index, indent=1) + "\n"
    files[INDEX] = text.encode
    return files


def _describe(model: ModelInfo) -> dict[str, Any]:
    identity = model.identity.hex()
    return {
        "name": model.name,
        "file": f"models/{identity[:16]}.safetensors",
        "identity": identity,
        "bytes": model.size_bytes,
        "summary": model.summary,
        "from_quality": model.from_quality,
    }


def _runtime_version() -> str:
    package = json.loads((source_folder() / "package.json").read_text(encoding="utf-8"))
    return str(package["dependencies"][_PACKAGE])


def _version_of(path: Path) -> str:
    """Return what a package.json says, nothing if there is none."""
    try:
        return str(json.loads(path.read_text(encoding="utf-8")).get("version", ""))
    except (OSError, ValueError):
        return ""
