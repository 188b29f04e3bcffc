"""A .glc file without what all files of an archive share, and back again.

Knows nothing of how records are laid out.
"""

from __future__ import annotations

from typing import NamedTuple

from glc.bitstream import FORMAT_VERSIONS, MAGIC, MODEL_BYTES, Limits, unpack
from glc.bitstream.container import magic_of
from glc.bitstream.fields import encode_varint

__all__ = ["ANY_SIZE", "CHECKSUM_BYTES", "Picture", "join", "split", "version_of"]

CHECKSUM_BYTES = 4

ANY_SIZE = Limits(1 << 56, 1 << 28, 1 << 34)
"""Whether a picture is too large is for its reader to say, not for the archive that carries it."""


class Picture(NamedTuple):
    """A .glc file without what all files of an archive share."""

    flags: int
    """Byte 5 of the file: quality, and whether there are chunks."""
    size: bytes
    """Width and height as the file spells them: two varints."""
    payload: bytes
    chunks: bytes
    checksum: bytes


def version_of(data: bytes) -> int | None:
    """Return the format version of what begins as a .glc file does; None if nothing known does."""
    return next((v for v in FORMAT_VERSIONS if data.startswith(magic_of(v))), None)


def split(data: bytes, identity: bytes, version: int) -> Picture:
    """Take a .glc file apart.

    Raises:
        BitstreamError: not a readable .glc file.
        ValueError: it was made with another model, or is of another version of the format.
    """
    container = unpack(data, ANY_SIZE)
    if container.model != identity[:MODEL_BYTES]:
        raise ValueError(
            f"model: the archive is for {identity[:MODEL_BYTES].hex()}, the file was made with "
            f"another model, {container.model.hex()}; put it into an archive of its own"
        )
    if container.version != version:
        raise ValueError(
            f"version: the archive holds files of version {version}, this one is of version "
            f"{container.version}; put it into an archive of its own"
        )
    size = encode_varint(container.width - 1) + encode_varint(container.height - 1)
    start = len(MAGIC) + MODEL_BYTES + 1 + len(size)
    start += len(encode_varint(len(container.payload))) + len(container.payload)
    chunks = data[start:-CHECKSUM_BYTES]
    return Picture(data[5], size, container.payload, chunks, data[-CHECKSUM_BYTES:])


def join(picture: Picture, identity: bytes, version: int) -> bytes:
    """Return the .glc file that ``split`` took apart, byte for byte."""
    return b"".join(
        (
            magic_of(version),
            identity[:MODEL_BYTES],
            bytes((picture.flags,)),
            picture.size,
            encode_varint(len(picture.payload)),
            picture.payload,
            picture.chunks,
            picture.checksum,
        )
    )
