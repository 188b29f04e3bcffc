"""The records of a .glca archive: .glc files without what they share. See FORMAT.md.

Knows nothing of files on disk, of networks or of how a payload is decoded.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import NamedTuple

from glc.archive.entry import CHECKSUM_BYTES, Picture
from glc.archive.format import Group
from glc.bitstream.fields import VARINT_MAX, VARINT_MAX_BYTES, encode_varint
from glc.errors import CorruptError, TruncatedError

__all__ = [
    "GROUP_BYTES",
    "GROUP_RECORDS",
    "KEY_MAX_BYTES",
    "Record",
    "Sequence",
    "encode_key",
    "parse_group",
    "parse_record",
    "picture_of",
]

KEY_MAX_BYTES = 1024

GROUP_RECORDS = 160
"""A group ends with its 160th record,"""
GROUP_BYTES = 1 << 18
"""or with the one that brings it to 256 KiB: what a reader loads to get at one picture."""

_KEY_LENGTH_FLAG = 0x40
_FLAGS_FLAG = 0x80
_SMALL_SIZE, _LARGE_SIZE, _FIRST_NUMBER, _LARGE_NUMBER = 1, 2, 3, 63
_SHORT_NUMBERS = _LARGE_NUMBER - _FIRST_NUMBER
_SMALL_SIDE = 1 << 12
_CHUNKS_FLAG = 0x80


class Record(NamedTuple):
    """Where the parts of one record lie in the bytes that it was parsed from."""

    key: bytes
    flags: int
    new_size: bytes | None
    """The size, if this record is the first of it."""
    size_number: int
    """The number of its size, if an earlier record had it; else -1."""
    payload: slice
    chunks: slice
    end: int
    """Where the record ends; its last four bytes are the checksum."""


def encode_key(key: str) -> bytes:
    """Return the bytes of a key.

    Raises:
        ValueError: it is empty, too long, or no Unicode text.
    """
    try:
        encoded = key.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"key: {key!r} cannot be written as UTF-8") from error
    if not 1 <= len(encoded) <= KEY_MAX_BYTES:
        raise ValueError(
            f"key: expected 1 to {KEY_MAX_BYTES} bytes of UTF-8, found {len(encoded)}: {key[:40]!r}"
        )
    return encoded


def parse_record(data: bytes, at: int, flags: int, key_length: int) -> Record:
    """Read one record.

    Args:
        data: bytes of the archive.
        at: where the record begins.
        flags: those of the record before in the group; -1 for the first one.
        key_length: the same.

    Raises:
        TruncatedError: the data ends inside the record.
        CorruptError: a rule is broken.
    """
    try:
        head = data[at]
        at += 1
        code = head & 0x3F
        new_size, number = None, -1
        if code == _SMALL_SIZE:
            sides = data[at] | data[at + 1] << 8 | data[at + 2] << 16
            new_size = encode_varint(sides & 0xFFF) + encode_varint(sides >> 12)
            at += 3
        elif code == _LARGE_SIZE:
            new_size, at = _parse_large_size(data, at)
        elif code == _LARGE_NUMBER:
            number, at = _varint(data, at)
            number += _SHORT_NUMBERS
        elif code:
            number = code - _FIRST_NUMBER
        else:
            raise CorruptError(f"record: expected a size, found head {head:02x}; damaged archive")
        if head & _FLAGS_FLAG:
            flags, before = data[at], flags
            at += 1
            _check_change(flags, before, "flags")
        if head & _KEY_LENGTH_FLAG:
            before = key_length
            key_length, at = _varint(data, at)
            _check_change(key_length, before, "key length")
            if not 1 <= key_length <= KEY_MAX_BYTES:
                raise CorruptError(
                    f"key length: expected 1 to {KEY_MAX_BYTES}, found {key_length}; "
                    "damaged archive"
                )
        if flags < 0 or key_length < 0:
            raise CorruptError("record: the first of a group lacks flags or key length")
        key = data[at : at + key_length]
        length, at = _varint(data, at + key_length)
        payload = slice(at, at + length)
        chunks = slice(payload.stop, payload.stop)
        if flags & _CHUNKS_FLAG:
            length, at = _varint(data, payload.stop)
            chunks = slice(at, at + length)
    except IndexError:
        raise _truncated() from None
    end = chunks.stop + CHECKSUM_BYTES
    if end > len(data):
        raise _truncated()
    return Record(key, flags, new_size, number, payload, chunks, end)


def parse_group(data: bytes, group: Group) -> list[Record]:
    """Read the records of one group, whose bytes these are.

    Raises:
        CorruptError: the bytes are not what the index says.
    """
    if zlib.crc32(data) != group.checksum:
        raise CorruptError("records: the checksum of a group does not match; damaged archive")
    records: list[Record] = []
    at, flags, key_length = 0, -1, -1
    for _ in range(group.records):
        record = parse_record(data, at, flags, key_length)
        records.append(record)
        at, flags, key_length = record.end, record.flags, len(record.key)
    if at != len(data) or sum(r.new_size is not None for r in records) != group.new_sizes:
        raise CorruptError("index: a group is not what the index says; damaged archive")
    return records


def picture_of(data: bytes, record: Record, size: bytes) -> Picture:
    """Return the parts of the .glc file in a record."""
    checksum = data[record.end - CHECKSUM_BYTES : record.end]
    return Picture(record.flags, size, data[record.payload], data[record.chunks], checksum)


@dataclass
class Sequence:
    """How far a sequence of records has come; what the next one may leave out follows from it."""

    groups: list[Group] = field(default_factory=list)
    """The last one may be unfinished."""
    sizes: dict[bytes, int] = field(default_factory=dict)
    """The number of every size so far."""
    _in_order: list[bytes] = field(default_factory=list)
    _flags: int = -1
    _key_length: int = -1

    @property
    def length(self) -> int:
        """Bytes of all records."""
        return sum(group.length for group in self.groups)

    def size_of(self, number: int) -> bytes:
        """Return the size with this number."""
        return self._in_order[number]

    def encode(self, key: bytes, picture: Picture) -> bytes:
        """Return the next record; it does not count before ``advance``."""
        flags, key_length = self._before()
        head, size = self._encode_size(picture.size)
        parts = [size]
        if picture.flags != flags:
            head |= _FLAGS_FLAG
            parts.append(bytes((picture.flags,)))
        if len(key) != key_length:
            head |= _KEY_LENGTH_FLAG
            parts.append(encode_varint(len(key)))
        parts += (key, encode_varint(len(picture.payload)), picture.payload)
        if picture.flags & _CHUNKS_FLAG:
            parts += (encode_varint(len(picture.chunks)), picture.chunks)
        return bytes((head,)) + b"".join(parts) + picture.checksum

    def parse(self, data: bytes, at: int) -> Record:
        """Read the next record, which does not count before ``advance``.

        Raises:
            TruncatedError: the data ends inside it.
            CorruptError: a rule is broken.
        """
        record = parse_record(data, at, *self._before())
        if record.new_size in self.sizes:
            raise CorruptError("record: a size is defined twice; damaged archive")
        if record.new_size is None and record.size_number >= len(self.sizes):
            raise CorruptError(
                f"record: expected one of {len(self.sizes)} sizes, found number "
                f"{record.size_number}; damaged archive"
            )
        return record

    def advance(self, data: bytes, flags: int, key_length: int, size: bytes) -> None:
        """Count a record.

        Args:
            data: all its bytes.
            flags: of its picture.
            key_length: of its key, in bytes.
            size: of its picture, new or not.
        """
        if self._is_group_full():
            self.groups.append(Group(0, 0, 0, 0))
        group, is_new = self.groups[-1], size not in self.sizes
        if is_new:
            self.sizes[size] = len(self.sizes)
            self._in_order.append(size)
        self._flags, self._key_length = flags, key_length
        self.groups[-1] = Group(
            group.records + 1,
            group.new_sizes + is_new,
            group.length + len(data),
            zlib.crc32(data, group.checksum),
        )

    def _before(self) -> tuple[int, int]:
        """Return flags and key length of the record before in the group of the next one."""
        return (-1, -1) if self._is_group_full() else (self._flags, self._key_length)

    def _is_group_full(self) -> bool:
        last = self.groups[-1] if self.groups else None
        return last is None or last.records == GROUP_RECORDS or last.length >= GROUP_BYTES

    def _encode_size(self, size: bytes) -> tuple[int, bytes]:
        number = self.sizes.get(size)
        if number is None:
            width, at = _varint(size, 0)
            height, _ = _varint(size, at)
            if max(width, height) >= _SMALL_SIDE:
                return _LARGE_SIZE, size
            return _SMALL_SIZE, (width | height << 12).to_bytes(3, "little")
        if number < _SHORT_NUMBERS:
            return number + _FIRST_NUMBER, b""
        return _LARGE_NUMBER, encode_varint(number - _SHORT_NUMBERS)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a varint and where it ends; an IndexError is the end of the data."""
    value = data[at]
    if value < 0x80:
        return value, at + 1
    value &= 0x7F
    for position in range(1, VARINT_MAX_BYTES):
        byte = data[at + position]
        value |= (byte & 0x7F) << (7 * position)
        if byte < 0x80:
            if byte == 0:
                raise CorruptError("varint: expected the shortest form; damaged archive")
            return value, at + position + 1
    raise CorruptError(f"varint: expected at most {VARINT_MAX}; damaged archive")


def _parse_large_size(data: bytes, at: int) -> tuple[bytes, int]:
    width, end = _varint(data, at)
    height, end = _varint(data, end)
    if max(width, height) < _SMALL_SIDE:
        raise CorruptError("size: expected the short form of small sides; damaged archive")
    return data[at:end], end


def _check_change(value: int, before: int, name: str) -> None:
    if value == before:
        raise CorruptError(f"{name}: expected a change, found {value} again; damaged archive")


def _truncated() -> TruncatedError:
    return TruncatedError("record: the data ends inside it; the archive is incomplete")
