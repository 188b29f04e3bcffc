"""A .glc file without what all files of an archive share, and back again.

Knows nothing of how records are laid out.
"""

from __future__ import annotations

from typing import NamedTuple

from glc.bitstream import FORMAT_VERSION, MODEL_BYTES, Limits, unpack
from glc.bitstream.fields import encode_varint

__all__ = ["ANY_SIZE", "CHECKSUM_BYTES", "Picture", "join", "split"]

GLC_MAGIC = bytes((0x67, 0xC0 | FORMAT_VERSION))
"""The first two bytes of every .glc file that an archive of this version may hold."""

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


def split(data: bytes, identity: bytes) -> Picture:
    """Take a .glc file apart.

    Raises:
        BitstreamError: not a readable .glc file.
        ValueError: it was made with another model.
    """
    container = unpack(data, ANY_SIZE)
    if container.model != identity[:MODEL_BYTES]:
        raise ValueError(
            f"model: the archive is for {identity[:MODEL_BYTES].hex()}, the file was made with "
            f"another model, {container.model.hex()}; put it into an archive of its own"
        )
    size = encode_varint(container.width - 1) + encode_varint(container.height - 1)
    start = len(GLC_MAGIC) + MODEL_BYTES + 1 + len(size)
    start += len(encode_varint(len(container.payload))) + len(container.payload)
    chunks = data[start:-CHECKSUM_BYTES]
    return Picture(data[5], size, container.payload, chunks, data[-CHECKSUM_BYTES:])


def join(picture: Picture, identity: bytes) -> bytes:
    """Return the .glc file that ``split`` took apart, byte for byte."""
    return b"".join(
        (
            GLC_MAGIC,
            identity[:MODEL_BYTES],
            bytes((picture.flags,)),
            picture.size,
            encode_varint(len(picture.payload)),
            picture.payload,
            picture.chunks,
            picture.checksum,
        )
    )
