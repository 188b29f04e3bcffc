"""The .glc container: sizes, an opaque payload and tagged chunks. See docs/format.md.

Knows nothing of networks, entropy coding or image files.
"""

from __future__ import annotations

import string
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from glc.bitstream.fields import VARINT_MAX, Cursor, encode_varint
from glc.errors import (
    CorruptError,
    LimitError,
    NotGlcError,
    TruncatedError,
    VersionError,
)
from glc.image.sniff import HEAD_BYTES, kind_of

__all__ = [
    "ALPHA",
    "EXIF",
    "FORMAT_VERSION",
    "FORMAT_VERSIONS",
    "GREY",
    "ICC",
    "IDENTITY_BYTES",
    "MAGIC",
    "MEAN_COLORS",
    "MODEL_BYTES",
    "QUALITY_MAX",
    "XMP",
    "Chunk",
    "Container",
    "Limits",
    "check_version",
    "magic_of",
    "pack",
    "unpack",
]

FORMAT_VERSION = 2
"""The version that is written, unless an older one is asked for."""
FORMAT_VERSIONS = (1, 2)
"""The versions that are read: all there have been. They differ in the order of the payload."""

MAGIC = bytes((0x67, 0xC0))
"""The first 12 bits of every file; the version is in the low four bits of the second byte."""

MODEL_BYTES = 3
IDENTITY_BYTES = 32
QUALITY_MAX = 100
CHECKSUM_BYTES = 4

ALPHA = "A"
"""Chunk tag: the alpha plane. Required, since a picture without it looks different."""
GREY = "g"
"""Chunk tag: the picture was grey. Carries no data."""
ICC = "i"
"""Chunk tag: an ICC colour profile."""
EXIF = "e"
"""Chunk tag: EXIF metadata."""
XMP = "x"
"""Chunk tag: XMP metadata."""
MEAN_COLORS = "c"
"""Chunk tag: what the decoded picture lacks of the mean colours of 64 x 64 pixels."""

_REQUIRED_TAGS = frozenset((ALPHA,))
_CHUNKS_FLAG = 0x80
_MAX_CHUNKS = len(string.ascii_letters)
_SIDE_MAX = VARINT_MAX + 1


def check_version(version: int) -> None:
    """Refuse what is no version of the format with a ValueError."""
    if version not in FORMAT_VERSIONS:
        raise ValueError(f"version: expected one of {FORMAT_VERSIONS}, found {version!r}")


def magic_of(version: int) -> bytes:
    """Return the first two bytes of every file of a version."""
    return bytes((MAGIC[0], MAGIC[1] | version))


@dataclass(frozen=True)
class Limits:
    """What a reader accepts; checked before anything is allocated.

    The format itself allows sides of 2**28 pixels. A few header bytes can claim that, so a reader
    has to draw its own line.
    """

    max_pixels: int = 178_956_970
    """Width times height. The default is where Pillow refuses a picture as a bomb."""
    max_side: int = 65_535
    """Width or height. The default is the largest side of a JPEG."""
    max_chunk_bytes: int = 1 << 26
    """All chunks together. The default leaves room for a lossless alpha plane."""

    def __post_init__(self) -> None:
        for name in ("max_pixels", "max_side", "max_chunk_bytes"):
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"{name}: expected 1 or more, found {value}")


@dataclass(frozen=True)
class Chunk:
    """Tagged data beside the payload; an upper-case tag means that a reader must know it."""

    tag: str
    """One ASCII letter."""
    data: bytes

    def __post_init__(self) -> None:
        if len(self.tag) != 1 or self.tag not in string.ascii_letters:
            raise ValueError(f"tag: expected one ASCII letter, found {self.tag!r}")
        if _is_unknown_requirement(self.tag):
            raise ValueError(f"tag: no reader knows the required chunk {self.tag!r}")
        if len(self.data) > VARINT_MAX:
            raise ValueError(f"chunk data: expected at most {VARINT_MAX} bytes")
        if self.tag == GREY and self.data:
            raise ValueError(f"chunk {GREY!r}: expected no data, found {len(self.data)} bytes")


@dataclass(frozen=True)
class Container:
    """Everything that a .glc file says, before any of it is decoded.

    Raises:
        ValueError: a field is out of the range that the format can hold.
    """

    width: int
    """Pixels of the original picture, 1 to 2**28."""
    height: int
    """Pixels of the original picture, 1 to 2**28."""
    quality: int
    """0 to 100; selects the gains of the model."""
    model: bytes
    """The first 3 bytes of the SHA-256 identity of the weights."""
    payload: bytes
    """The coded symbols."""
    chunks: tuple[Chunk, ...] = ()
    """In file order, tags unique; optional chunks that nobody knows are kept here."""
    checksum: int = 0
    """CRC-32 as the file states it; compare it with ``checksum_of``."""
    version: int = FORMAT_VERSION
    """Of the format; says how the payload is to be read."""

    def __post_init__(self) -> None:
        for name in ("width", "height"):
            side = getattr(self, name)
            if not 1 <= side <= _SIDE_MAX:
                raise ValueError(f"{name}: expected 1 to {_SIDE_MAX}, found {side}")
        if not 0 <= self.quality <= QUALITY_MAX:
            raise ValueError(f"quality: expected 0 to {QUALITY_MAX}, found {self.quality}")
        if len(self.model) != MODEL_BYTES:
            raise ValueError(f"model: expected {MODEL_BYTES} bytes, found {len(self.model)}")
        if len(self.payload) > VARINT_MAX:
            raise ValueError(f"payload: expected at most {VARINT_MAX} bytes")
        if len({chunk.tag for chunk in self.chunks}) != len(self.chunks):
            raise ValueError("chunks: expected every tag at most once")
        if not 0 <= self.checksum <= 0xFFFF_FFFF:
            raise ValueError(f"checksum: expected 32 bits, found {self.checksum}")
        check_version(self.version)

    def checksum_of(self, identity: bytes, symbols: bytes | bytearray | memoryview) -> int:
        """Return the checksum that the file must carry if it decodes to these symbols.

        The payload itself is not covered: what counts is what came out of it.

        Args:
            identity: 32 bytes, the SHA-256 identity of the weights in use.
            symbols: the canonical bytes of all decoded symbols (docs/format.md, section 7).

        Returns:
            CRC-32 over header, identity, chunks and symbols, 0 to 2**32 - 1.

        Raises:
            ValueError: the identity is not 32 bytes or does not begin with ``model``.

        Example:
            >>> from glc.bitstream import Container
            >>> container = Container(1, 1, 50, b"abc", b"")
            >>> hex(container.checksum_of(b"abc" + bytes(29), b"symbols"))
            '0x...'
        """
        if len(identity) != IDENTITY_BYTES:
            raise ValueError(f"identity: expected {IDENTITY_BYTES} bytes, found {len(identity)}")
        if identity[:MODEL_BYTES] != self.model:
            raise ValueError(
                f"identity: expected one that begins with {self.model.hex()}, "
                f"found {identity.hex()}"
            )
        crc = zlib.crc32(_header(self))
        crc = zlib.crc32(identity, crc)
        crc = zlib.crc32(_chunks(self.chunks), crc)
        return zlib.crc32(symbols, crc)


def pack(container: Container) -> bytes:
    """Return the bytes of a .glc file; ``unpack`` gives back an equal container.

    Example:
        >>> from glc.bitstream import Container, pack, unpack
        >>> container = Container(768, 512, 50, bytes.fromhex("64b91c"), b"payload")
        >>> unpack(pack(container)) == container
        True
    """
    return b"".join(
        (
            _header(container),
            container.payload,
            _chunks(container.chunks),
            container.checksum.to_bytes(CHECKSUM_BYTES, "little"),
        )
    )


def unpack(data: bytes | bytearray | memoryview, limits: Limits | None = None) -> Container:
    """Return what a .glc file says.

    Only the structure is checked here. The checksum covers decoded symbols, so whoever decodes the
    payload compares it with ``Container.checksum_of``.

    Args:
        data: the whole file and nothing else.
        limits: what to accept; ``Limits()`` when omitted.

    Returns:
        A container for which ``pack`` gives exactly ``data`` again.

    Raises:
        NotGlcError: the first bytes are not those of a .glc file.
        VersionError: the version, or a required chunk, is not known to this release.
        TruncatedError: the data ends too early.
        CorruptError: a rule of the format is broken, or bytes follow the end.
        LimitError: the picture or the chunks are larger than the limits.
        TypeError: ``data`` is not bytes-like.

    Example:
        >>> from glc.bitstream import unpack
        >>> container = unpack(data)
        >>> container.width, container.height, container.quality
        (96, 64, 50)
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(f"data: expected bytes, found {type(data).__name__}; read the file first")
    limits = limits or Limits()
    cursor = Cursor(bytes(data))
    header = read_header(cursor, limits)
    payload = cursor.take(header.payload_bytes, "payload")
    chunks = tuple(read_chunks(cursor, limits)) if header.has_chunks else ()
    checksum = int.from_bytes(cursor.take(CHECKSUM_BYTES, "checksum"), "little")
    cursor.finish()
    fields = header.width, header.height, header.quality, header.model
    return Container(*fields, payload, chunks, checksum, header.version)


@dataclass(frozen=True)
class Header:
    """What a file says before its payload; fields as in ``Container``."""

    width: int
    height: int
    quality: int
    model: bytes
    has_chunks: bool
    payload_bytes: int
    version: int


def read_header(cursor: Cursor, limits: Limits) -> Header:
    """Read and check everything before the payload.

    Raises:
        CorruptError: a field has a value that no writer gives it.
        NotGlcError, VersionError, TruncatedError, LimitError: as in ``unpack``.
    """
    version = _read_version(cursor)
    model = cursor.take(MODEL_BYTES, "model identity")
    flags = cursor.byte("quality")
    quality = flags & ~_CHUNKS_FLAG
    if quality > QUALITY_MAX:
        raise CorruptError(
            f"quality: expected 0 to {QUALITY_MAX}, found {quality}; the file is damaged"
        )
    width = cursor.varint("width") + 1
    height = cursor.varint("height") + 1
    _check_size(width, height, limits)
    payload_bytes = cursor.varint("payload length")
    has_chunks = bool(flags & _CHUNKS_FLAG)
    return Header(width, height, quality, model, has_chunks, payload_bytes, version)


def _header(container: Container) -> bytes:
    """Return the bytes before the payload, its length included."""
    flags = container.quality | (_CHUNKS_FLAG if container.chunks else 0)
    return b"".join(
        (
            magic_of(container.version),
            container.model,
            bytes((flags,)),
            encode_varint(container.width - 1),
            encode_varint(container.height - 1),
            encode_varint(len(container.payload)),
        )
    )


def _chunks(chunks: tuple[Chunk, ...]) -> bytes:
    """Return the bytes between payload and checksum; none when there is no chunk."""
    if not chunks:
        return b""
    parts = [encode_varint(len(chunks))]
    for chunk in chunks:
        parts += (chunk.tag.encode("ascii"), encode_varint(len(chunk.data)), chunk.data)
    return b"".join(parts)


def _read_version(cursor: Cursor) -> int:
    """Check the magic, each byte as soon as it is there: a lone wrong byte is not a prefix."""
    if not cursor.beginning(1):
        raise TruncatedError("the file is empty; copy or download it again")
    if cursor.byte("magic") != MAGIC[0]:
        raise NotGlcError(_not_glc(cursor))
    second = cursor.byte("magic")
    if second & 0xF0 != MAGIC[1]:
        raise NotGlcError(_not_glc(cursor))
    version = second & 0x0F
    if version not in FORMAT_VERSIONS:
        known = " or ".join(map(str, FORMAT_VERSIONS))
        raise VersionError(
            f"format version: expected {known}, found {version}; "
            "a newer release of glc may read this file"
        )
    return version


def _not_glc(cursor: Cursor) -> str:
    """Say what a file is instead, if its first bytes tell."""
    kind = kind_of(cursor.beginning(HEAD_BYTES))
    return f"this is {kind}, not a .glc file" if kind else "this is not a .glc file"


def _check_size(width: int, height: int, limits: Limits) -> None:
    """Compare the claimed size of the picture with the limits."""
    if max(width, height) > limits.max_side:
        raise LimitError(
            f"picture size: expected sides of at most {limits.max_side}, "
            f"found {width} x {height}; raise Limits.max_side (--max-side) if you trust it"
        )
    if width * height > limits.max_pixels:
        raise LimitError(
            f"picture size: expected at most {limits.max_pixels} pixels, "
            f"found {width} x {height}; raise Limits.max_pixels (--max-pixels) if you trust it"
        )


def read_chunks(cursor: Cursor, limits: Limits) -> Iterator[Chunk]:
    """Read the count and that many chunks, each yielded as soon as it is whole.

    Raises:
        CorruptError: a count, tag or length that no writer gives, or a tag twice.
        LimitError: the chunks together are longer than ``limits`` allow.
        TruncatedError: the data ends within them.
    """
    count = cursor.varint("chunk count")
    # Tags are unique letters, so a larger count cannot be honest and need not be walked.
    if not 1 <= count <= _MAX_CHUNKS:
        raise CorruptError(
            f"chunk count: expected 1 to {_MAX_CHUNKS}, found {count}; the file is damaged"
        )
    seen: set[str] = set()
    total = 0
    for _ in range(count):
        tag = _read_tag(cursor)
        if tag in seen:
            raise CorruptError(
                f"chunk tag: expected every tag once, found {tag!r} twice; the file is damaged"
            )
        length = cursor.varint(f"length of chunk {tag!r}")
        total += length
        if total > limits.max_chunk_bytes:
            raise LimitError(
                f"chunks: expected at most {limits.max_chunk_bytes} bytes in all, found {total}; "
                "raise Limits.max_chunk_bytes (--max-chunk-bytes) if you trust it"
            )
        if tag == GREY and length:
            raise CorruptError(
                f"chunk {GREY!r}: expected no data, found {length} bytes; the file is damaged"
            )
        seen.add(tag)
        yield Chunk(tag, cursor.take(length, f"chunk {tag!r}"))


def _read_tag(cursor: Cursor) -> str:
    """Read a tag that this release may go on with."""
    byte = cursor.byte("chunk tag")
    tag = chr(byte)
    if tag not in string.ascii_letters:
        raise CorruptError(
            f"chunk tag: expected an ASCII letter, found byte {byte:02x}; the file is damaged"
        )
    if _is_unknown_requirement(tag):
        raise VersionError(
            f"chunk tag: expected one of {', '.join(sorted(_REQUIRED_TAGS))} or a lower-case "
            f"letter, found {tag!r}; a newer release of glc may read this file"
        )
    return tag


def _is_unknown_requirement(tag: str) -> bool:
    return tag.isupper() and tag not in _REQUIRED_TAGS
