"""The .glca archive: many .glc files of one model in one file, by number and by key.

Its bytes are specified in FORMAT.md beside this file. Knows nothing of networks or of how a payload
is decoded; needs the standard library only.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO, TypeAlias

from glc.archive.entry import ANY_SIZE, join
from glc.archive.format import HEADER_BYTES, decode_header
from glc.archive.random_access import RandomAccess
from glc.archive.records import Record, Sequence, parse_group, picture_of
from glc.archive.scan import add_key, decode_key, read_index, recover, scan
from glc.archive.writer import ArchiveWriter
from glc.bitstream import unpack
from glc.errors import CorruptError, TruncatedError

__all__ = ["Archive", "ArchiveWriter"]

Source: TypeAlias = "str | os.PathLike[str] | BinaryIO"

_CACHED_GROUPS = 4


class Archive:
    """Reads an archive. Safe to use from several threads, and after a fork.

    Opened from a path it can be pickled, and is opened again where it arrives. An archive whose
    index is missing, because its writing was interrupted, is scanned: every whole picture is there.

    Args:
        source: a path, or a binary stream that can seek; the caller closes a stream.

    Attributes:
        identity: 32 bytes, of the model that made all its pictures.
        version: the format version of all its .glc files.
        is_complete: the index was there; False means that the file was scanned instead.
        leftover_bytes: how many bytes at the end belong to no whole picture; 0 if complete.

    Raises:
        NotGlcError, VersionError, TruncatedError, CorruptError: there is not even a header.
        OSError: the file cannot be read.
        ValueError: a stream that cannot seek.

    Example:
        >>> from glc.dataset import Archive, compress
        >>> compress(["a.jpg", "b.jpg"], "two.glca", quality=30).pictures
        2
        >>> with Archive("two.glca") as archive:
        ...     archive.keys, archive.index("b")
        ...     codec.decode(archive.read(1)).size
        (['a', 'b'], 1)
        (96, 64)
    """

    def __init__(self, source: Source) -> None:
        self._file = RandomAccess(_path_or_stream(source))
        self._lock = threading.Lock()
        self._cache: OrderedDict[int, tuple[bytes, list[Record]]] = OrderedDict()
        self._sizes: dict[int, bytes] = {}
        self._numbers: dict[str, int] | None = None
        self.identity, self.version = decode_header(self._file.read(0, HEADER_BYTES))
        groups = read_index(self._file)
        self.is_complete = groups is not None
        if groups is None:
            sequence, self._numbers, _ = recover(self._file)
            groups = sequence.groups
        self._groups = groups
        self._first_records = [0, *accumulate(group.records for group in groups)]
        self._first_sizes = [0, *accumulate(group.new_sizes for group in groups)]
        self._offsets = list(accumulate((g.length for g in groups), initial=HEADER_BYTES))
        self.leftover_bytes = 0 if self.is_complete else self._file.size - self._offsets[-1]

    def __len__(self) -> int:
        return self._first_records[-1]

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        for group in range(len(self._groups)):
            data, records = self._group(group)
            for record in records:
                yield decode_key(record.key), self._glc(data, record, group)

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[type[Archive], tuple[Path]]:
        if not isinstance(self._file.source, Path):
            raise TypeError(
                "an archive opened from a stream cannot be pickled; open it by its path"
            )
        return Archive, (self._file.source,)

    @property
    def keys(self) -> list[str]:
        """All keys in order. The first use of keys reads the whole archive."""
        return list(self._load_keys())

    def index(self, key: str) -> int:
        """Return the number of a key. The first use of keys reads the whole archive.

        Raises:
            KeyError: there is no such key.
        """
        return self._load_keys()[key]

    def key(self, index: int) -> str:
        """Return the key of picture ``index``; unlike ``keys`` this reads its group only.

        Raises:
            IndexError: there is no such picture; negative numbers count from the end.
            CorruptError: what was read does not fit its checksum.
        """
        index = range(len(self))[index]
        group = bisect_right(self._first_records, index) - 1
        return decode_key(self._group(group)[1][index - self._first_records[group]].key)

    def read(self, index: int) -> bytes:
        """Return a complete .glc file, exactly the bytes that were added.

        Args:
            index: 0 to ``len(archive) - 1``; negative numbers count from the end.

        Raises:
            IndexError: there are not so many.
            CorruptError: the archive is damaged here.
        """
        index = range(len(self))[index]
        group = bisect_right(self._first_records, index) - 1
        data, records = self._group(group)
        return self._glc(data, records[index - self._first_records[group]], group)

    def verify(self) -> None:
        """Read everything and check every rule of the format.

        Whether a picture decodes to what was encoded is for ``Codec.verify`` to say.

        Raises:
            TruncatedError: the archive has no index, since its writing was interrupted.
            CorruptError: something is damaged, or index and records do not fit.
            BitstreamError: a picture's file is damaged in another way.
        """
        if not self.is_complete:
            raise TruncatedError(
                f"index: expected one at the end, found none; {len(self)} pictures are whole, "
                f"{self.leftover_bytes} bytes left over; append to the archive to complete it"
            )
        sequence = Sequence()
        for picture in scan(self._file.read, self._offsets[-1], sequence, {}):
            unpack(join(picture, self.identity, self.version), ANY_SIZE)
        if sequence.groups != self._groups:
            raise CorruptError("index: it does not fit the records; damaged archive")

    def close(self) -> None:
        """Close the file if the archive opened it; the next use would open it again."""
        self._file.close()

    def _load_keys(self) -> dict[str, int]:
        if self._numbers is None:
            numbers: dict[str, int] = {}
            for group in range(len(self._groups)):
                for record in self._group(group)[1]:
                    add_key(record.key, numbers)
            self._numbers = numbers
        return self._numbers

    def _group(self, number: int) -> tuple[bytes, list[Record]]:
        """Return the bytes and records of a group; the last few used are kept."""
        with self._lock:
            found = self._cache.get(number)
            if found is not None:
                self._cache.move_to_end(number)
                return found
        group = self._groups[number]
        data = self._file.read(self._offsets[number], group.length)
        found = data, parse_group(data, group)
        with self._lock:
            self._cache[number] = found
            while len(self._cache) > _CACHED_GROUPS:
                self._cache.popitem(last=False)
        return found

    def _glc(self, data: bytes, record: Record, group: int) -> bytes:
        size = record.new_size or self._size(record.size_number, group)
        return join(picture_of(data, record, size), self.identity, self.version)

    def _size(self, number: int, asking: int) -> bytes:
        """Return a size by its number; it was defined in the group that asks or an earlier one."""
        if number not in self._sizes:
            group = bisect_right(self._first_sizes, number) - 1
            if group > asking:
                raise CorruptError(f"record: size {number} is not defined yet; damaged archive")
            sizes = (r.new_size for r in self._group(group)[1] if r.new_size is not None)
            self._sizes.update(enumerate(sizes, self._first_sizes[group]))
        return self._sizes[number]


def _path_or_stream(source: Source) -> Path | BinaryIO:
    return Path(source) if isinstance(source, (str, os.PathLike)) else source
