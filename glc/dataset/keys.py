"""Names of pictures: which key a picture gets, that keys are unique, and where a key may lead.

Knows nothing of files' contents.
"""

from __future__ import annotations

import os
import unicodedata
from pathlib import PurePosixPath

from glc.errors import CorruptError

__all__ = ["PICTURE_SUFFIXES", "UniqueKeys", "is_hidden", "key_of", "relative_path", "text_of"]

PICTURE_SUFFIXES = frozenset(
    (
        *(".avif", ".bmp", ".dib", ".gif", ".glc", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg"),
        *(".jpg", ".jxl", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".psd", ".tga", ".tif", ".tiff"),
        ".webp",
    )
)
"""What counts as a picture in a folder or a tar. A file named by itself may have any name."""

_RESERVED = frozenset(
    (
        *("con", "prn", "aux", "nul", "conin$", "conout$"),
        *(f"{name}{digit}" for name in ("com", "lpt") for digit in "123456789\u00b9\u00b2\u00b3"),
    )
)
_NOT_ON_WINDOWS = frozenset('\\:*?"<>|')
_CONTROLS = frozenset(("Cc", "Cs", "Zl", "Zp"))
"""Categories of characters that no name should have: controls, surrogates, ends of lines."""
_MAX_NAME_BYTES = 251
"""Of one file name, ``.glc`` not counted; file systems allow 255."""


def key_of(name: str) -> str:
    """Return the key of a file: its name without the suffix of a picture."""
    path = PurePosixPath(name)
    return str(path.with_suffix("")) if path.suffix.lower() in PICTURE_SUFFIXES else str(path)


def is_hidden(name: str) -> bool:
    """Tell whether a path, with slashes, has a part that begins with a dot and is a name."""
    return any(part.startswith(".") and part not in (".", "..") for part in name.split("/"))


def text_of(name: str) -> str:
    """Return a name as text that can be written: bytes that are no UTF-8 become ``%E9``.

    Such bytes come as surrogates from the names of files and of members of a tar.
    """
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return "".join(map(_text_of_character, name))
    return name


def _text_of_character(character: str) -> str:
    code = ord(character)
    if not 0xD800 <= code <= 0xDFFF:
        return character
    is_byte = 0xDC80 <= code <= 0xDCFF
    found = bytes((code - 0xDC00,)) if is_byte else character.encode("utf-8", "surrogatepass")
    return _escaped(found)


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


def relative_path(key: str, is_windows: bool = os.name == "nt") -> PurePosixPath:
    """Return the path that a key stands for, which never leaves the folder that it is put into.

    What no file can be called here becomes ``%3A`` and the like: control characters everywhere, and
    on Windows what it does not allow. So do parts that would lead elsewhere: ``..`` is ``%2E%2E``,
    nothing between two slashes is ``%``.

    Raises:
        CorruptError: a part is longer than a file name can be.
    """
    parts = [_part(part, is_windows) for part in key.split("/")]
    for part in parts:
        if len(part.encode("utf-8")) > _MAX_NAME_BYTES:
            raise CorruptError(
                f"key: {key[:80]!r} has a part longer than the name of a file can be; nothing was "
                "written for it"
            )
    return PurePosixPath(*parts)


def _part(part: str, is_windows: bool) -> str:
    """Return the name of a file or folder for one part of a key."""
    if part in ("", ".", ".."):
        return _escaped(part.encode()) or "%"
    forbidden = _NOT_ON_WINDOWS if is_windows else frozenset()
    found = "".join(
        _escaped(c.encode("utf-8", "surrogatepass"))
        if c in forbidden or unicodedata.category(c) in _CONTROLS
        else c
        for c in part
    )
    if is_windows:
        stem, dot, rest = found.partition(".")
        if stem.rstrip(" ").lower() in _RESERVED:
            found = f"{_escaped(stem[:1].encode())}{stem[1:]}{dot}{rest}"
        if found.endswith((".", " ")):
            found = found[:-1] + _escaped(found[-1:].encode())
    return found


def _escaped(data: bytes) -> str:
    return "".join(f"%{byte:02X}" for byte in data)
