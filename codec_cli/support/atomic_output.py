"""Writes results so that no half-written file ever has the final name, and nothing is lost."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

__all__ = ["Outputs"]

_LEFTOVER = re.compile(r"\.glc-[0-9a-f]{16}\.part")
_LEFTOVER_SECONDS = 3600.0
"""Far longer than any file bears its temporary name."""
_NO_SYNC = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)


class Outputs:
    """The outputs of one command; safe to use from several threads.

    Leaving the ``with`` block removes every temporary file and makes later writes fail, so that
    threads that an interruption left behind finish nothing. What a killed run could not remove
    itself, ``.glc-*.part``, a later one removes from the folders that it writes to, an hour on.
    """

    def __init__(self, force: bool) -> None:
        self._force = force
        self._lock = threading.Lock()
        self._temporary: set[Path] = set()
        self._swept: set[Path] = set()
        self._closed = False

    def __enter__(self) -> Outputs:
        return self

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._closed = True
            for path in self._temporary:
                path.unlink(missing_ok=True)
            self._temporary.clear()

    def write(
        self,
        target: Path | None,
        data: bytes,
        check: Callable[[bytes], None] | None = None,
        replaces: bool = False,
    ) -> None:
        """Write a whole file under a temporary name, wait for the disk, then rename it.

        A file that is replaced keeps its permissions and, where that is allowed, its owner. A link
        stays a link: what it leads to is written.

        Args:
            target: None is standard output. Missing folders are made. Devices and pipes are
                written directly.
            data: the content.
            check: called with what was read back from the disk, before the file has its name; what
                it raises leaves no file.
            replaces: a file of this name may be there, even without ``force``.

        Raises:
            OSError: the disk is full, the folder read-only, the file there already, and so on; the
                message names the target.
        """
        if target is None or _is_special(target):
            if check is not None:
                check(data)
            with _named(target):
                self._write_directly(target, data)
            return
        with _named(target):
            _make_folder(target)
            place = _behind_links(target)
            temporary = place.with_name(f".glc-{secrets.token_hex(8)}.part")
            self._begin(temporary)
        try:
            with _named(target):
                _create(temporary, data, place)
                self._sweep(temporary)
            if check is not None:
                check(temporary.read_bytes())
            self._finish(temporary, target, place, self._force or replaces)
        finally:
            self._forget(temporary)

    def _write_directly(self, target: Path | None, data: bytes) -> None:
        """Write to standard output, a device or a pipe."""
        if target is not None:
            target.write_bytes(data)
            return
        with self._lock:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()

    def _begin(self, temporary: Path) -> None:
        with self._lock:
            if self._closed:
                raise InterruptedError("the command has ended")
            self._temporary.add(temporary)

    def _finish(self, temporary: Path, target: Path, place: Path, replaces: bool) -> None:
        with self._lock:
            if self._closed:
                raise InterruptedError("the command has ended")
            # Looked at again: the file may have come to be while the networks ran.
            if not replaces and os.path.lexists(target):
                raise FileExistsError(f"{target} exists; -f replaces it")
            with _named(target):
                temporary.replace(place)
            self._temporary.discard(temporary)

    def _forget(self, temporary: Path) -> None:
        with self._lock:
            if temporary in self._temporary:
                temporary.unlink(missing_ok=True)
                self._temporary.discard(temporary)

    def _sweep(self, temporary: Path) -> None:
        """Remove what killed runs left in a folder, once per folder."""
        folder = temporary.parent
        with self._lock:
            if folder in self._swept:
                return
            self._swept.add(folder)
        # By the clock of the disk, which need not be that of this machine.
        now = temporary.stat().st_mtime
        for path in folder.glob(".glc-*.part"):
            with contextlib.suppress(OSError):
                is_old = now - path.lstat().st_mtime > _LEFTOVER_SECONDS
                if is_old and path.is_file() and _LEFTOVER.fullmatch(path.name):
                    path.unlink()


@contextlib.contextmanager
def _named(target: Path | None) -> Iterator[None]:
    """Make an error of the system speak of the target, and not of a temporary name.

    Raises:
        BrokenPipeError, InterruptedError: as they are; nobody needs a name for those.
    """
    try:
        yield
    except (BrokenPipeError, InterruptedError):
        raise
    except OSError as error:
        name = "standard output" if target is None else str(target)
        raise OSError(f"{name} cannot be written: {error.strerror or error}") from error


def _make_folder(target: Path) -> None:
    """Make the folder of a file, and those above it."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        wrong = next((p for p in target.parents if p.exists() and not p.is_dir()), target.parent)
        raise OSError(error.errno, f"{wrong} is a file, not a folder") from error


def _behind_links(target: Path) -> Path:
    """Return where a file really goes, if a link of its name is there."""
    if not target.is_symlink():
        return target
    place = Path(os.path.realpath(target))
    if place.is_symlink():
        raise OSError(errno.ELOOP, "it is a link that leads back to itself")
    if not place.parent.is_dir():
        raise OSError(errno.ENOENT, f"it is a link to {place}, whose folder does not exist")
    return place


def _create(temporary: Path, data: bytes, place: Path) -> None:
    """Write a temporary file with the permissions of what it replaces, if anything is there."""
    try:
        before = place.stat()
    except OSError:
        before = None
    # A secret must not be readable for the time that its writing takes.
    mode = 0o666 if before is None else 0o600
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(temporary, flags, mode), "wb") as stream:
        stream.write(data)
        if before is not None:
            with contextlib.suppress(OSError, AttributeError):
                os.chown(temporary, before.st_uid, before.st_gid)
            temporary.chmod(stat.S_IMODE(before.st_mode))
        _sync(stream)


def _sync(stream: BinaryIO) -> None:
    """Wait until the content is on the disk: else a power cut may keep the name and lose it."""
    stream.flush()
    try:
        os.fsync(stream.fileno())
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


def _is_special(path: Path) -> bool:
    """Tell whether a path is a device or a pipe, which a rename would replace by a file."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)
