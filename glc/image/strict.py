"""Makes Pillow refuse files that are cut off, whatever ``LOAD_TRUNCATED_IMAGES`` says.

The flag is one for the whole process, and other threads may rely on it. So while pictures are being
loaded here it is an object that is false for the threads that load, and for all others what it was.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import ImageFile

__all__ = ["refusing_cut_files"]


class _Flag:
    """Stands in for the flag of Pillow, which looks at nothing but its truth."""

    def __init__(self) -> None:
        self.original: bool = False
        self.users = 0
        self._thread = threading.local()

    def __bool__(self) -> bool:
        return not self.depth and bool(self.original)

    @property
    def depth(self) -> int:
        """How often this thread has asked for it."""
        found: int = getattr(self._thread, "depth", 0)
        return found

    @depth.setter
    def depth(self, value: int) -> None:
        self._thread.depth = value


_lock = threading.Lock()
_flag = _Flag()


@contextmanager
def refusing_cut_files() -> Iterator[None]:
    """In this thread, until the block ends, let Pillow raise on a file that ends too soon.

    What a program sets the flag to while files are being loaded stays.
    """
    with _lock:
        current: object = ImageFile.LOAD_TRUNCATED_IMAGES
        if current is not _flag:
            _flag.original = bool(current)
            ImageFile.LOAD_TRUNCATED_IMAGES = _flag  # type: ignore[assignment]
        _flag.users += 1
        _flag.depth += 1
    try:
        yield
    finally:
        with _lock:
            _flag.depth -= 1
            _flag.users -= 1
            left: object = ImageFile.LOAD_TRUNCATED_IMAGES
            if not _flag.users and left is _flag:
                ImageFile.LOAD_TRUNCATED_IMAGES = _flag.original
