"""The frame of a .glca archive: its header and the index at its end. See FORMAT.md.

Knows nothing of what a record holds.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from glc.bitstream import FORMAT_VERSIONS
from glc.bitstream.container import check_version
from glc.errors import CorruptError, NotGlcError, TruncatedError, VersionError

__all__ = [
    "HEADER_BYTES",
    "INDEX_MARK",
    "TRAILER_BYTES",
    "Group",
    "Header",
    "decode_header",
    "decode_index",
    "encode_header",
    "encode_index",
    "index_offset",
]

ARCHIVE_VERSION = 1
MAGIC = b"glca"
END_MAGIC = b"acgl"
INDEX_MARK = b"\x00"
"""The byte before the index; no record begins with it."""

IDENTITY_BYTES = 32
HEADER_BYTES = len(MAGIC) + 2 + IDENTITY_BYTES + 4

_GROUP = struct.Struct("<BBII")
_TRAILER = struct.Struct("<QI4s")
TRAILER_BYTES = _TRAILER.size


class Header(NamedTuple):
    """What an archive says before its first record."""

    identity: bytes
    """32 bytes, of the model of all pictures."""
    file_version: int
    """The format version of all .glc files in it."""


class Group(NamedTuple):
    """What the index says of one run of records."""

    records: int
    """1 to 160."""
    new_sizes: int
    """How many of them define a size."""
    length: int
    """Bytes."""
    checksum: int
    """CRC-32 of these bytes."""


def encode_header(identity: bytes, file_version: int) -> bytes:
    """Return the first 42 bytes of an archive of this model's pictures, in files of one version.

    Raises:
        ValueError: an identity that has not 32 bytes, or a version that is not written.
    """
    if len(identity) != IDENTITY_BYTES:
        raise ValueError(f"identity: expected {IDENTITY_BYTES} bytes, found {len(identity)}")
    check_version(file_version)
    start = MAGIC + bytes((ARCHIVE_VERSION, file_version)) + identity
    return start + zlib.crc32(start).to_bytes(4, "little")


def decode_header(data: bytes) -> Header:
    """Read the first 42 bytes of an archive.

    Args:
        data: the first 42 bytes of a file, or all of a shorter one.

    Raises:
        NotGlcError: not an archive.
        TruncatedError: the file ends inside the header.
        VersionError: a version of the archive, or of the files in it, that is not known.
        CorruptError: the checksum of the header is wrong.
    """
    if data[: len(MAGIC)] != MAGIC[: len(data)]:
        raise NotGlcError(f"magic: expected {MAGIC!r}, found {data[:4]!r}; not a .glca archive")
    versions = data[len(MAGIC) : len(MAGIC) + 2]
    known = [bytes((ARCHIVE_VERSION, version)) for version in FORMAT_VERSIONS]
    if not any(pair.startswith(versions) for pair in known):
        raise VersionError(
            "archive version and file version: expected "
            f"{' or '.join(pair.hex(' ') for pair in known)}, found {versions.hex(' ')}; "
            "a newer release of glc may read this archive"
        )
    if len(data) < HEADER_BYTES:
        raise TruncatedError(
            f"header: expected {HEADER_BYTES} bytes, found {len(data)}; the archive is incomplete"
        )
    found = zlib.crc32(data[: HEADER_BYTES - 4])
    if found != int.from_bytes(data[HEADER_BYTES - 4 : HEADER_BYTES], "little"):
        raise CorruptError("header: its checksum does not match; the archive is damaged")
    return Header(data[len(MAGIC) + 2 : HEADER_BYTES - 4], versions[1])


def encode_index(groups: list[Group]) -> bytes:
    """Return everything that follows the records."""
    offset = HEADER_BYTES + sum(group.length for group in groups)
    body = INDEX_MARK + b"".join(_GROUP.pack(g.records - 1, *g[1:]) for g in groups)
    body += offset.to_bytes(8, "little")
    return body + zlib.crc32(body).to_bytes(4, "little") + END_MAGIC


def index_offset(trailer: bytes, file_size: int) -> int | None:
    """Return where the index begins, or None if these last 16 bytes are not those of a trailer."""
    if len(trailer) != TRAILER_BYTES:
        return None
    offset, _, magic = _TRAILER.unpack(trailer)
    if magic != END_MAGIC or not HEADER_BYTES <= offset < file_size - TRAILER_BYTES:
        return None
    if (file_size - offset - len(INDEX_MARK) - TRAILER_BYTES) % _GROUP.size:
        return None
    return int(offset)


def decode_index(data: bytes, offset: int) -> list[Group]:
    """Read the index, whose bytes these are, trailer included.

    Raises:
        CorruptError: its checksum or its sums are wrong.
    """
    checksum = int.from_bytes(data[-8:-4], "little")
    if zlib.crc32(data[:-8]) != checksum or data[: len(INDEX_MARK)] != INDEX_MARK:
        raise CorruptError("index: its checksum does not match; damaged archive")
    entries = _GROUP.iter_unpack(data[len(INDEX_MARK) : -TRAILER_BYTES])
    groups = [Group(entry[0] + 1, *entry[1:]) for entry in entries]
    if HEADER_BYTES + sum(group.length for group in groups) != offset:
        raise CorruptError("index: its lengths do not add up; damaged archive")
    return groups
