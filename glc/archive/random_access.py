"""Reads stretches of a file by offset, from any thread and from any process that inherited it.

Knows nothing of what is in the file.
"""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path
from typing import BinaryIO

__all__ = ["RandomAccess"]


class RandomAccess:
    """A file that is read in stretches.

    Args:
        source: a path, opened when it is first needed; or a seekable stream, which stays the
            caller's to close.

    Attributes:
        source: what was given.
        size: bytes of the file.

    Raises:
        OSError: the file cannot be read.
        ValueError: a stream that cannot seek.
    """

    def __init__(self, source: Path | BinaryIO) -> None:
        self.source = source
        self._lock = threading.Lock()
        self._stream = None if isinstance(source, Path) else source
        self._process = os.getpid()
        if isinstance(source, Path):
            self.size = source.stat().st_size
        elif source.seekable():
            self.size = source.seek(0, io.SEEK_END)
        else:
            raise ValueError("stream: expected a seekable one; read it into io.BytesIO")

    def read(self, offset: int, length: int) -> bytes:
        """Return the bytes there; fewer at the end of the file."""
        with self._lock:
            stream = self._opened()
            stream.seek(offset)
            return stream.read(length)

    def close(self) -> None:
        """Close a file that was opened here."""
        with self._lock:
            if isinstance(self.source, Path) and self._stream is not None:
                self._stream.close()
                self._stream = None

    def _opened(self) -> BinaryIO:
        # A forked process shares the position of an open file with its parent, so it needs its own.
        if isinstance(self.source, Path) and self._process != os.getpid():
            self._stream, self._process = None, os.getpid()
        if self._stream is None:
            if not isinstance(self.source, Path):
                raise ValueError("stream: it is closed")
            self._stream = self.source.open("rb")
        return self._stream
