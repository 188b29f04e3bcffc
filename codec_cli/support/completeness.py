"""Whether an output that exists is all there, and of its own source, for ``--skip-existing``.

Looks at how a file begins and ends and decodes nothing: that is what ``glc verify`` is for. Only
what a crash leaves, an empty, zeroed or cut file, is called cut; anything else may be the user's.
Of another source it is if its picture has another size, which is all that both files say.
"""

from __future__ import annotations

from pathlib import Path

from glc.bitstream import unpack
from glc.errors import CorruptError, GlcError, LimitError, TruncatedError, VersionError

__all__ = [
    "OtherSourceError",
    "check_size",
    "is_cut_glc",
    "is_cut_picture",
    "size_of_glc",
    "size_of_picture",
]

_TAIL_BYTES = 1 << 16
_ENDS = {b"\x89PNG\r\n\x1a\n": b"IEND\xaeB`\x82", b"\xff\xd8\xff": b"\xff\xd9"}
"""How a picture file begins, and what it then holds near its end if it is whole."""


def is_cut_glc(path: Path) -> bool:
    """Tell whether a .glc file is empty, zeroed at its end, or cut off.

    Raises:
        GlcError: it is neither that nor a readable .glc file.
        OSError: it cannot be read.
    """
    data = path.read_bytes()
    if not any(data):
        return True
    # A checksum of zero is one file in four billion, or one whose end never reached the disk.
    is_zeroed = not any(data[-4:])
    try:
        unpack(data)
    except TruncatedError:
        return True
    except (VersionError, LimitError):
        return False
    except CorruptError:
        if not is_zeroed:
            raise
    return is_zeroed


def is_cut_picture(path: Path) -> bool:
    """Tell whether a PNG, JPEG or WebP file is empty, zeroed, or cut off; others are not judged.

    Raises:
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(16)
        if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
            return size < 8 + int.from_bytes(head[4:8], "little")
        if 0 < size < 12 and b"RIFF".startswith(head[:4]):
            return True
        for start, end in _ENDS.items():
            # Shorter than its own beginning: cut as well.
            if head[: len(start)] == start or (head and start.startswith(head)):
                # Some programs append to pictures, so that the end may lie far from the end.
                stream.seek(max(0, size - _TAIL_BYTES))
                if end in stream.read():
                    return False
                stream.seek(len(start))
                return end not in stream.read()
        return not any(head) and not any(stream.read())


class OtherSourceError(GlcError):
    """An output that exists was made from something else than what it should come from."""


def size_of_glc(data: bytes) -> tuple[int, int] | None:
    """Return width and height of a .glc file; None if it cannot be read."""
    try:
        container = unpack(data)
    except GlcError:
        return None
    return container.width, container.height


def size_of_picture(source: Path) -> tuple[int, int] | None:
    """Return width and height of a picture, from its header; None if it cannot be read."""
    from PIL import Image

    try:
        with Image.open(source) as image:
            width, height = image.size
            return width, height
    except Exception:
        # What is wrong with it, and Pillow has many ways to say so, is for its reader to tell.
        return None


def check_size(source: tuple[int, int] | None, output: tuple[int, int] | None) -> None:
    """Compare the sizes of a picture and of what should have been made from it, turned or not.

    Raises:
        OtherSourceError: they differ.
    """
    if source is None or output is None or sorted(source) == sorted(output):
        return
    found, expected = (f"{width} x {height}" for width, height in (output, source))
    raise OtherSourceError(f"it is of another picture: {found}, not {expected}")
