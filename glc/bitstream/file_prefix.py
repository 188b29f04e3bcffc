"""The beginning of a .glc file: what a download that was cut off says so far. See docs/format.md.

Knows nothing of networks, entropy coding or image files.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from glc.bitstream.container import (
    Chunk,
    Container,
    Header,
    Limits,
    read_chunks,
    read_header,
    unpack,
)
from glc.bitstream.fields import Cursor
from glc.errors import TruncatedError

__all__ = ["Prefix", "unpack_prefix"]

_HEADER_BYTES = (9, 18)
"""Three varints of 1 to 4 bytes behind magic, model and quality."""


@dataclass(frozen=True)
class Prefix:
    """What has arrived of a file: the whole header, and a beginning of the rest."""

    header: Header
    header_bytes: int
    """Bytes before the payload."""
    payload: bytes
    """What has arrived of it; ``header.payload_bytes`` is what it will be."""
    chunks: tuple[Chunk, ...]
    """Those that have arrived whole."""
    container: Container | None
    """The file, if all of it has arrived."""


def unpack_prefix(data: bytes | bytearray | memoryview, limits: Limits | None = None) -> Prefix:
    """Return what the first bytes of a .glc file say.

    Nothing of it is checked but the structure: the checksum is the end of the file.

    Args:
        data: the file from its first byte on, as far as it has come.
        limits: what to accept; ``Limits()`` when omitted.

    Raises:
        TruncatedError: the header is not complete; the message says how long headers are.
        BitstreamError: as ``unpack``, for the bytes that are there.
        TypeError: ``data`` is not bytes-like.

    Example:
        >>> from glc.bitstream import unpack_prefix
        >>> prefix = unpack_prefix(data[:20])
        >>> prefix.header.width, prefix.container
        (96, None)
    """
    limits = limits or Limits()
    try:
        container = unpack(data, limits)
    except TruncatedError:
        container = None
    cursor = Cursor(bytes(data))
    try:
        header = read_header(cursor, limits)
    except TruncatedError as error:
        raise TruncatedError(
            f"header: expected {_HEADER_BYTES[0]} to {_HEADER_BYTES[1]} bytes, found "
            f"{len(data)}; nothing can be shown of it yet"
        ) from error
    header_bytes = cursor.offset
    payload = cursor.take(min(header.payload_bytes, len(data) - header_bytes), "payload")
    chunks: list[Chunk] = []
    if header.has_chunks and len(payload) == header.payload_bytes:
        with suppress(TruncatedError):
            chunks.extend(read_chunks(cursor, limits))
    return Prefix(header, header_bytes, payload, tuple(chunks), container)
