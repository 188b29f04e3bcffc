"""Every beginning of a file: what it says, and that a damaged one is no beginning."""

from __future__ import annotations

from dataclasses import replace

import pytest

from glc.bitstream import (
    FORMAT_VERSIONS,
    Chunk,
    Container,
    Limits,
    pack,
    unpack,
    unpack_prefix,
)
from glc.errors import (
    BitstreamError,
    CorruptError,
    LimitError,
    NotGlcError,
    TruncatedError,
    VersionError,
)

CHUNKS = (Chunk("A", b"alpha"), Chunk("g", b""), Chunk("e", b"exif"))
FILE = Container(768, 512, 50, b"abc", b"0123456789", CHUNKS, 0x01020304)
DATA = pack(FILE)
HEADER = 11


@pytest.mark.parametrize("version", FORMAT_VERSIONS)
def test_every_prefix(version):
    file = replace(FILE, version=version)
    data = pack(file)
    ends = [data.index(b"alpha") + 5, data.index(b"g\0") + 2, data.index(b"exif") + 4]
    for length in range(HEADER, len(data) + 1):
        prefix = unpack_prefix(data[:length])
        header = prefix.header
        assert (header.width, header.height, header.quality) == (768, 512, 50)
        assert (header.model, header.payload_bytes, header.has_chunks) == (b"abc", 10, True)
        assert header.version == version
        assert prefix.header_bytes == HEADER
        assert prefix.payload == b"0123456789"[: length - HEADER]
        assert prefix.chunks == CHUNKS[: sum(length >= end for end in ends)]
        assert prefix.container == (file if length == len(data) else None)


@pytest.mark.parametrize("length", range(HEADER))
def test_a_cut_in_the_header(length):
    with pytest.raises(TruncatedError, match=f"expected 9 to 18 bytes, found {length}"):
        unpack_prefix(DATA[:length])


def test_headers_are_as_long_as_the_message_says():
    sizes = [(1, 1, b""), (1 << 28, 1 << 28, bytes(1 << 21))]
    limits = Limits(1 << 60, 1 << 28)
    lengths = [
        unpack_prefix(pack(Container(w, h, 0, b"abc", p)), limits).header_bytes for w, h, p in sizes
    ]
    assert lengths == [9, 18]


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"\x89P", NotGlcError),
        (b"\x67\xc3", VersionError),
        (DATA[:5] + b"\x7f" + DATA[6:20], CorruptError),
        (DATA + b"\0", CorruptError),
        (DATA[:21] + b"\0", CorruptError),
        (DATA[:21] + b"\x01Z", VersionError),
    ],
)
def test_damage_is_no_cut(data, error):
    with pytest.raises(error):
        unpack_prefix(data)


def test_limits_hold_as_for_whole_files():
    with pytest.raises(LimitError):
        unpack_prefix(DATA[:15], Limits(max_pixels=1000))
    with pytest.raises(LimitError):
        unpack_prefix(DATA[:-6], Limits(max_chunk_bytes=6))
    with pytest.raises(TypeError):
        unpack_prefix("text")


def test_whole_files_say_the_same_to_both_readers():
    plain = pack(Container(3, 4, 9, b"xyz", b"pay"))
    for data in (DATA, plain):
        assert unpack_prefix(data).container == unpack(data)
        with pytest.raises(BitstreamError):
            unpack(data[:-1])
        assert unpack_prefix(data[:-1]).container is None
