"""One writer at a time: a lock that dies with its process, so that a killed run can be resumed."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    import msvcrt

    _POSIX = False
else:
    _POSIX = True

__all__ = ["Lock", "hold"]

_HELD = (errno.EWOULDBLOCK, errno.EACCES, errno.EAGAIN, errno.EDEADLK)
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)


def hold(stream: BinaryIO, path: str | os.PathLike[str]) -> None:
    """Lock an open file until it is closed; does nothing where a file system has no locks.

    Raises:
        BlockingIOError: someone else holds it.
    """
    try:
        if _POSIX:
            fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            # Bytes far behind the content, which others may go on reading.
            stream.seek(1 << 62)
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
            stream.seek(0)
    except OSError as error:
        if error.errno in _HELD:
            message = "another process is writing this; wait for it, or name another output"
            raise BlockingIOError(error.errno, message, os.fspath(path)) from error
        if error.errno not in _NO_LOCKS:
            raise


class Lock:
    """A lock file: there while its holder works, removed at the end, worth nothing once it is dead.

    Raises:
        BlockingIOError: someone else holds it.
        OSError: it cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            self._stream: BinaryIO = path.open("ab")
            try:
                hold(self._stream, path)
                # Whoever held it before may have removed it just now: then it locks nothing.
                is_there = os.path.samestat(os.fstat(self._stream.fileno()), path.stat())
            except FileNotFoundError:
                is_there = False
            except BaseException:
                self._stream.close()
                raise
            if is_there:
                return
            self._stream.close()

    def release(self) -> None:
        """Let others in."""
        if not self._stream.closed:
            # Some systems do not remove a file that is open.
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
            self._stream.close()
