"""Where training pictures lie: a folder, WebDataset tars, and which of them are held out.

Knows nothing of tensors. A picture inside a tar is found by its offset, never unpacked to disk.
"""

from __future__ import annotations

import glob
import hashlib
import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}
_ORIENTATION = 0x0112
_FIRST_SIDEWAYS = 5
"""EXIF orientations from here on exchange width and height."""

_UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError)
"""What Pillow raises for broken pictures, depending on the format."""


@dataclass(frozen=True)
class Source:
    """One encoded picture: a file, or a stretch of a tar."""

    name: str
    path: Path
    start: int = 0
    length: int = -1
    """Bytes; -1 is all of the file."""

    def read(self) -> bytes:
        """Return the encoded bytes."""
        with self.path.open("rb") as file:
            file.seek(self.start)
            return file.read(self.length)

    def decode(self) -> NDArray[np.uint8] | None:
        """Return upright RGB pixels, (H, W, 3) uint8, or None if the picture is broken."""
        try:
            with Image.open(io.BytesIO(self.read())) as image:
                return np.array(ImageOps.exif_transpose(image).convert("RGB"))
        except _UNREADABLE:
            return None

    def size(self) -> tuple[int, int] | None:
        """Return height and width from the header alone, or None if it is broken."""
        try:
            with Image.open(io.BytesIO(self.read())) as image:
                width, height = image.size
                # Of a PNG without EXIF, getexif would decode all pixels in search of it.
                silent = image.format == "PNG" and "exif" not in image.info
                orientation = 1 if silent else image.getexif().get(_ORIENTATION, 1)
        except _UNREADABLE:
            return None
        return (width, height) if orientation >= _FIRST_SIDEWAYS else (height, width)


def list_pictures(pattern: str) -> list[Source]:
    """Return the pictures of a folder (tars in it included), of a tar, or of a glob of tars.

    Raises:
        ValueError: nothing matches, or a tar cannot be read.
    """
    exists = Path(pattern).exists()
    paths = [Path(pattern)] if exists else [Path(p) for p in sorted(glob.glob(pattern))]
    if not paths:
        raise ValueError(f"no pictures: {pattern} is neither a folder nor matches any file")
    found: list[Source] = []
    for path in paths:
        entries = sorted(path.rglob("*")) if path.is_dir() else [path]
        for entry in entries:
            if entry.suffix.lower() in _SUFFIXES:
                found.append(Source(entry.name, entry))
            elif entry.suffix.lower() == ".tar" or not path.is_dir():
                found.extend(_list_tar(entry))
    return found


def _list_tar(path: Path) -> Iterator[Source]:
    try:
        # Only plain tars: in a compressed one no picture has an offset.
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                if member.isfile() and Path(member.name).suffix.lower() in _SUFFIXES:
                    yield Source(member.name, path, member.offset_data, member.size)
    except tarfile.TarError as error:
        raise ValueError(f"{path}: not an uncompressed tar of pictures: {error}") from error


def is_held_out(name: str, share: float = 0.02) -> bool:
    """Say whether a picture is kept out of training, by a hash of its photograph's name.

    Pieces of one photograph are named ``<photograph>-<piece>.<suffix>`` and stay together.
    """
    photograph = Path(name).stem.rsplit("-", 1)[0]
    digest = hashlib.sha256(photograph.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:4], "big") < share * 2**32
