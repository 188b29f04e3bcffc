"""Names of pictures: which key a picture gets, that keys are unique, and where a key may lead.

Knows nothing of files' contents.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from glc.errors import CorruptError

__all__ = ["PICTURE_SUFFIXES", "UniqueKeys", "key_of", "relative_path"]

PICTURE_SUFFIXES = frozenset(
    (
        *(".avif", ".bmp", ".dib", ".gif", ".glc", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg"),
        *(".jpg", ".jxl", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".psd", ".tga", ".tif", ".tiff"),
        ".webp",
    )
)
"""What counts as a picture in a folder or a tar. A file named by itself may have any name."""

_RESERVED = frozenset(("con", "prn", "aux", "nul"))
_MAX_NAME_BYTES = 250
"""Of one file name, suffix not counted; file systems allow 255."""


def key_of(name: str) -> str:
    """Return the key of a file: its name without the suffix of a picture."""
    path = PurePosixPath(name)
    return str(path.with_suffix("")) if path.suffix.lower() in PICTURE_SUFFIXES else str(path)


class UniqueKeys:
    """Gives ``~2``, ``~3`` to keys that occur again, by their order alone."""

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}

    def __call__(self, key: str) -> str:
        """Return the key, or what it is called here."""
        if key not in self._taken:
            self._taken[key] = 1
            return key
        while True:
            self._taken[key] += 1
            renamed = f"{key}~{self._taken[key]}"
            if renamed not in self._taken:
                self._taken[renamed] = 1
                return renamed


def relative_path(key: str) -> PurePosixPath:
    """Return the path that a key stands for, which never leaves the folder that it is put into.

    Raises:
        CorruptError: it would: an absolute path, ``..``, a drive, or what no file can be called.
    """
    parts = key.split("/")
    for part in parts:
        stem = part.split(".")[0].lower()
        is_bad = (
            part in ("", ".", "..")
            or any(c in '\\:*?"<>|' or not c.isprintable() for c in part)
            or part.endswith((".", " "))
            or stem in _RESERVED
            or len(part.encode("utf-8", "surrogatepass")) > _MAX_NAME_BYTES
        )
        if is_bad:
            raise CorruptError(
                f"key: {key[:80]!r} is not the name of a file inside a folder; "
                "nothing was written for it"
            )
    return PurePosixPath(*parts)
