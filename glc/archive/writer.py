"""Writes .glca archives, picture by picture, so that an interruption loses nothing that was added.

Knows nothing of networks or of how a payload is decoded; needs the standard library only.
"""

from __future__ import annotations

import os
from typing import BinaryIO

from glc.archive.entry import split
from glc.archive.format import HEADER_BYTES, decode_header, encode_header, encode_index
from glc.archive.lock import hold
from glc.archive.random_access import RandomAccess
from glc.archive.records import Sequence, encode_key
from glc.archive.scan import resume
from glc.bitstream import FORMAT_VERSION, FORMAT_VERSIONS

__all__ = ["ArchiveWriter"]


class ArchiveWriter:
    """Writes an archive picture by picture.

    A picture is in the file when ``add`` returns. Should the process die, all that was added is
    there, and appending goes on after it. The bytes of a closed archive depend on its model and
    pictures alone, not on how often the writing was interrupted.

    As a context manager it closes the archive, except after an exception: then the archive keeps
    its pictures, but gets no index, which says that it is incomplete.

    Args:
        target: a path, replaced unless ``append``; or a stream, written from where it stands. With
            ``append`` the stream must be readable and seekable.
        identity: 32 bytes, of the model of all pictures.
        append: go on with an archive, complete or not. One that does not exist yet is begun.
        version: of the .glc files in an archive that is begun. One that is gone on with keeps its
            own.

    Attributes:
        identity: of the model.
        version: the format version of all .glc files in the archive.

    Raises:
        ValueError: the archive to append to is that of another model.
        BitstreamError: the file to append to is no archive, or is damaged before its end.
        BlockingIOError: another process is writing the file.
        OSError: the file cannot be written.

    Example:
        >>> from glc.dataset import Archive, ArchiveWriter
        >>> with ArchiveWriter("one.glca", codec.identity) as writer:
        ...     writer.add("first", data)
        >>> Archive("one.glca").read(0) == data
        True
    """

    def __init__(
        self,
        target: str | os.PathLike[str] | BinaryIO,
        identity: bytes,
        append: bool = False,
        version: int = FORMAT_VERSION,
    ) -> None:
        # Before a file is replaced: it refuses an identity or version that cannot be.
        encode_header(identity, version)
        self.identity, self.version = identity, version
        self._keys: dict[str, int] = {}
        self._sequence = Sequence()
        self._is_mine = isinstance(target, (str, os.PathLike))
        self._stream: BinaryIO | None
        if isinstance(target, (str, os.PathLike)):
            # Not emptied before it is certain that nobody else is writing it.
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
            self._stream = os.fdopen(os.open(target, flags, 0o666), "r+b")
        else:
            self._stream = target
        try:
            if self._is_mine:
                hold(self._open_stream(), target)  # type: ignore[arg-type]
            self._begin(append)
        except BaseException:
            self._release()
            raise

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def __enter__(self) -> ArchiveWriter:
        return self

    def __exit__(self, kind: object, *exception: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    @property
    def keys(self) -> list[str]:
        """The keys of all pictures so far, those that were there before included."""
        return list(self._keys)

    def add(self, key: str, data: bytes) -> None:
        """Add a picture at the end.

        Args:
            key: 1 to 1,024 bytes of UTF-8, unlike all others of the archive.
            data: a complete .glc file of this archive's model and version.

        Raises:
            ValueError: the key is there already, empty or too long; the file is of another model or
                version; the archive is closed.
            BitstreamError: not a .glc file.
            OSError: it cannot be written; the archive is closed and ends before this picture.
        """
        if key in self._keys:
            raise ValueError(f"key: {key!r} is in the archive already; keys are unique")
        encoded, picture = encode_key(key), split(data, self.identity, self.version)
        record = self._sequence.encode(encoded, picture)
        self._write(record)
        self._sequence.advance(record, picture.flags, len(encoded), picture.size)
        self._keys[key] = len(self._keys)

    def close(self) -> None:
        """Write the index and, if the archive was opened from a path, close the file."""
        if self._stream is None:
            return
        try:
            self._write(encode_index(self._sequence.groups))
            if self._is_mine:
                os.fsync(self._stream.fileno())
        finally:
            self._release()

    def abandon(self) -> None:
        """Stop without an index: the pictures stay, and the archive is incomplete."""
        self._release()

    def _begin(self, append: bool) -> None:
        end = 0
        if append:
            stream = self._open_stream()
            file = RandomAccess(stream)
            start = file.read(0, HEADER_BYTES)
            # Less than a header is what an interruption leaves at the very beginning.
            versions = (self.version, *FORMAT_VERSIONS)
            fitting = (v for v in versions if encode_header(self.identity, v).startswith(start))
            begun = next(fitting, None)
            if begun is None:
                _check_identity(decode_header(start).identity, self.identity)
            else:
                self.version = begun
            if len(start) == HEADER_BYTES:
                self._sequence, self._keys = resume(file)
                end = HEADER_BYTES + self._sequence.length
            stream.seek(end)
            stream.truncate()
        elif self._is_mine:
            self._open_stream().truncate(0)
        if not end:
            self._write(encode_header(self.identity, self.version))

    def _write(self, data: bytes) -> None:
        stream = self._open_stream()
        try:
            stream.write(data)
            stream.flush()
        except BaseException:
            # A part of it may be there, so nothing may follow it.
            self._release()
            raise

    def _open_stream(self) -> BinaryIO:
        if self._stream is None:
            raise ValueError("the archive is closed")
        return self._stream

    def _release(self) -> None:
        stream, self._stream = self._stream, None
        if self._is_mine and stream is not None:
            stream.close()


def _check_identity(found: bytes, wanted: bytes) -> None:
    if found != wanted:
        raise ValueError(
            f"identity: the archive is of model {found[:3].hex()}, the pictures to append are of "
            f"{wanted[:3].hex()}; write an archive of their own"
        )
