"""The container: golden bytes, and one error class per defect."""

from __future__ import annotations

import hashlib
import tracemalloc
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glc.bitstream import (
    ALPHA,
    EXIF,
    FORMAT_VERSIONS,
    GREY,
    ICC,
    XMP,
    Chunk,
    Container,
    Limits,
    pack,
    unpack,
)
from glc.errors import (
    BitstreamError,
    CorruptError,
    LimitError,
    NotGlcError,
    TruncatedError,
    VersionError,
)

IDENTITY = hashlib.sha256(b"example weights").digest()
MODEL = IDENTITY[:3]
SYMBOLS = bytes(range(1, 9))

# The two worked examples of docs/format.md, and what they were in version 1.
PLAIN = bytes.fromhex("67c2 64b91c 32 ff05 ff03 03 c0ffee 12e830c3")
CHUNKED = bytes.fromhex("67c2 64b91c e4 00 ab02 00 03 41020102 6700 7101ff 3933ad6a")
PLAIN_1 = bytes.fromhex("67c1 64b91c 32 ff05 ff03 03 c0ffee 40c41294")
CHUNKED_1 = bytes.fromhex("67c1 64b91c e4 00 ab02 00 03 41020102 6700 7101ff cd219fef")
GOLDEN = [PLAIN, CHUNKED, PLAIN_1, CHUNKED_1]

# Nothing, so that a test names its own bytes after the magic and the model.
START = bytes.fromhex("67c2 64b91c")
CHECKSUM = bytes(4)


def plain(version: int = 2) -> Container:
    checksum = {1: 0x9412C440, 2: 0xC330E812}[version]
    return Container(768, 512, 50, MODEL, b"\xc0\xff\xee", (), checksum, version)


def chunked(version: int = 2) -> Container:
    chunks = (Chunk(ALPHA, b"\x01\x02"), Chunk(GREY, b""), Chunk("q", b"\xff"))
    checksum = {1: 0xEF9F21CD, 2: 0x6AAD3339}[version]
    return Container(1, 300, 100, MODEL, b"", chunks, checksum, version)


def with_chunks(chunks: bytes) -> bytes:
    """Return a file of one pixel whose chunk section is given."""
    return START + bytes.fromhex("80 00 00 00") + chunks + CHECKSUM


@pytest.mark.parametrize(
    ("golden", "container"),
    [(PLAIN, plain()), (CHUNKED, chunked()), (PLAIN_1, plain(1)), (CHUNKED_1, chunked(1))],
)
def test_golden_bytes(golden: bytes, container: Container) -> None:
    assert pack(container) == golden
    assert unpack(golden) == container


def test_golden_checksums() -> None:
    for version in FORMAT_VERSIONS:
        assert plain(version).checksum_of(IDENTITY, SYMBOLS) == plain(version).checksum
        assert chunked(version).checksum_of(IDENTITY, b"") == chunked(version).checksum


def test_a_plain_photo_costs_sixteen_bytes() -> None:
    payload = bytes(1459)
    assert len(pack(Container(768, 512, 50, MODEL, payload))) - len(payload) == 16


@pytest.mark.parametrize("buffer", [bytes, bytearray, memoryview])
def test_any_bytes_like_is_read(buffer: type) -> None:
    assert unpack(buffer(CHUNKED)) == chunked()


@pytest.mark.parametrize("data", ["text", None, 7, [1, 2]])
def test_anything_else_is_a_wrong_call(data: object) -> None:
    with pytest.raises(TypeError, match="data: expected bytes"):
        unpack(data)  # type: ignore[arg-type]


@pytest.mark.parametrize("golden", GOLDEN)
def test_every_prefix_is_truncated(golden: bytes) -> None:
    for length in range(len(golden)):
        with pytest.raises(TruncatedError):
            unpack(golden[:length])


@pytest.mark.parametrize("data", [b"\x00", b"\xff\xd8\xff", b"\x89PNG", b"g", b"GLC"])
def test_a_short_file_is_truncated_unless_it_contradicts_the_magic(data: bytes) -> None:
    with pytest.raises(TruncatedError if data == b"g" else NotGlcError):
        unpack(data)


@pytest.mark.parametrize("second", [0x01, 0x71, 0xB1, 0xD1, 0xF1])
def test_second_byte_of_the_magic(second: int) -> None:
    with pytest.raises(NotGlcError, match=r"this is not a .glc file"):
        unpack(bytes((0x67, second)) + PLAIN[2:])


@pytest.mark.parametrize("version", [0, *range(3, 16)])
def test_other_versions(version: int) -> None:
    with pytest.raises(VersionError, match=f"expected 1 or 2, found {version};"):
        unpack(bytes((0x67, 0xC0 | version)) + PLAIN[2:])


@pytest.mark.parametrize("flags", [101, 127, 0x80 | 101, 0xFF])
def test_reserved_qualities(flags: int) -> None:
    with pytest.raises(CorruptError, match="quality"):
        unpack(START + bytes((flags,)) + PLAIN[6:])


@pytest.mark.parametrize("extra", [b"\x00", b"\n", PLAIN])
@pytest.mark.parametrize("golden", GOLDEN)
def test_trailing_bytes(golden: bytes, extra: bytes) -> None:
    with pytest.raises(CorruptError, match="end of file"):
        unpack(golden + extra)


@pytest.mark.parametrize(
    "fields",
    ["8000 00 00", "00 8000 00", "00 00 8000", "00 00 80808000"],
    ids=["width", "height", "payload length", "long payload length"],
)
def test_varints_in_another_than_the_shortest_form(fields: str) -> None:
    with pytest.raises(CorruptError, match="shortest form"):
        unpack(START + b"\x32" + bytes.fromhex(fields) + CHECKSUM)


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        (b"\x00", "chunk count"),
        (b"\x35", "chunk count"),
        (b"\xff\xff\xff\x7f", "chunk count"),
        (b"\x01\x00\x00", "ASCII letter"),
        (b"\x01@\x00", "ASCII letter"),
        (b"\x01\xe9\x00", "ASCII letter"),
        (b"\x02i\x00i\x00", "'i' twice"),
        (b"\x02A\x00A\x01\x00", "'A' twice"),
        (b"\x01g\x01\x00", "no data"),
        (b"\x01i\x80\x00", "shortest form"),
    ],
)
def test_chunk_defects(chunks: bytes, message: str) -> None:
    with pytest.raises(CorruptError, match=message):
        unpack(with_chunks(chunks))


@pytest.mark.parametrize("tag", [b"B", b"Z"])
def test_an_unknown_required_chunk_is_refused(tag: bytes) -> None:
    with pytest.raises(VersionError, match="newer release"):
        unpack(with_chunks(b"\x01" + tag + b"\x00"))


def test_unknown_optional_chunks_are_kept_so_that_the_checksum_can_cover_them() -> None:
    container = unpack(with_chunks(b"\x02z\x02hie\x00"))
    assert container.chunks == (Chunk("z", b"hi"), Chunk(EXIF, b""))


def test_every_letter_can_be_a_chunk_once() -> None:
    tags = ALPHA + "abcdefghijklmnopqrstuvwxyz"
    container = replace(plain(), chunks=tuple(Chunk(tag, b"") for tag in tags))
    assert unpack(pack(container)) == container


@pytest.mark.parametrize(
    ("width", "height", "bound"),
    [(60_000, 60_000, "pixels"), (65_536, 1, "sides"), (1, 65_536, "sides"), (1 << 28, 1, "sides")],
)
def test_giant_pictures_are_refused(width: int, height: int, bound: str) -> None:
    data = pack(Container(width, height, 50, MODEL, b""))
    assert len(data) <= 18
    with pytest.raises(LimitError, match=bound):
        unpack(data)


def test_limits_are_inclusive_and_belong_to_the_caller() -> None:
    data = pack(Container(300, 200, 50, MODEL, b""))
    unpack(data, Limits(max_pixels=60_000, max_side=300))
    with pytest.raises(LimitError, match="max_pixels"):
        unpack(data, Limits(max_pixels=59_999))
    with pytest.raises(LimitError, match="max_side"):
        unpack(data, Limits(max_side=299))
    giant = Container(60_000, 60_000, 50, MODEL, b"")
    assert unpack(pack(giant), Limits(max_pixels=60_000**2)) == giant


def test_limits_of_chunks_count_all_of_them() -> None:
    chunks = (Chunk(ICC, bytes(60)), Chunk(XMP, bytes(50)))
    data = pack(replace(plain(), chunks=chunks))
    unpack(data, Limits(max_chunk_bytes=110))
    with pytest.raises(LimitError, match="max_chunk_bytes"):
        unpack(data, Limits(max_chunk_bytes=109))


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (START + bytes.fromhex("32 dfd403 dfd403 ffffff7f"), LimitError),
        (START + bytes.fromhex("32 00 00 ffffff7f"), TruncatedError),
        (with_chunks(b"\x01i\xff\xff\xff\x7f"), LimitError),
        (with_chunks(b"\x01i\xff\xff\xff\x1f"), TruncatedError),
    ],
    ids=["picture", "payload", "chunks", "chunk"],
)
def test_a_claim_allocates_nothing(data: bytes, error: type[BitstreamError]) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(error):
            unpack(data)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 1 << 20


@pytest.mark.parametrize(
    "changes",
    [
        {"width": 0},
        {"width": (1 << 28) + 1},
        {"height": 0},
        {"height": (1 << 28) + 1},
        {"quality": -1},
        {"quality": 101},
        {"model": b""},
        {"model": IDENTITY},
        {"chunks": (Chunk(ICC, b"a"), Chunk(ICC, b"b"))},
        {"checksum": -1},
        {"checksum": 1 << 32},
        {"version": 0},
        {"version": 3},
    ],
    ids=str,
)
def test_a_container_refuses_what_a_file_cannot_hold(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        replace(plain(), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("tag", ["", "ii", "1", "é", "Z"])
def test_a_chunk_refuses_tags_that_no_reader_takes(tag: str) -> None:
    with pytest.raises(ValueError, match="tag"):
        Chunk(tag, b"")


def test_the_grey_mark_carries_nothing() -> None:
    with pytest.raises(ValueError, match="no data"):
        Chunk(GREY, b"\x01")


@pytest.mark.parametrize("name", ["max_pixels", "max_side", "max_chunk_bytes"])
def test_limits_below_one_are_a_wrong_call(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Limits(**{name: 0})


def test_a_container_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        plain().width = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    "changes",
    [
        {"width": 767},
        {"height": 513},
        {"quality": 51},
        {"payload": b"\xc0\xff"},
        {"chunks": (Chunk("q", b""),)},
        {"version": 1},
    ],
    ids=str,
)
def test_the_checksum_covers_every_field(changes: dict[str, object]) -> None:
    other = replace(plain(), **changes)  # type: ignore[arg-type]
    assert other.checksum_of(IDENTITY, SYMBOLS) != plain().checksum


def test_the_checksum_covers_the_whole_identity_the_symbols_and_not_the_payload() -> None:
    sibling = IDENTITY[:-1] + bytes((IDENTITY[-1] ^ 1,))
    assert plain().checksum_of(sibling, SYMBOLS) != plain().checksum
    assert plain().checksum_of(IDENTITY, SYMBOLS[:-1]) != plain().checksum
    same_length = replace(plain(), payload=b"\x00\x00\x00")
    assert same_length.checksum_of(IDENTITY, memoryview(SYMBOLS)) == plain().checksum


@pytest.mark.parametrize("identity", [MODEL, IDENTITY + b"\x00", bytes(32)])
def test_the_checksum_needs_the_identity_that_the_file_names(identity: bytes) -> None:
    with pytest.raises(ValueError, match="identity"):
        plain().checksum_of(identity, SYMBOLS)


@given(st.binary(max_size=64))
def test_any_bytes_unpack_or_raise(data: bytes) -> None:
    unpacks_to_itself_or_raises(data)


@given(st.binary(max_size=64))
def test_any_bytes_after_a_good_start_unpack_or_raise(rest: bytes) -> None:
    for start in (START, PLAIN_1[:5]):
        unpacks_to_itself_or_raises(start + rest)


@given(st.binary(max_size=48))
def test_any_chunk_section_unpacks_or_raises(chunks: bytes) -> None:
    unpacks_to_itself_or_raises(with_chunks(chunks))


@given(st.sampled_from(GOLDEN), st.data())
@settings(max_examples=300)
def test_any_changed_byte_unpacks_or_raises(golden: bytes, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(golden) - 1))
    changed = bytearray(golden)
    changed[position] = data.draw(st.integers(0, 255))
    unpacks_to_itself_or_raises(bytes(changed))


def unpacks_to_itself_or_raises(data: bytes) -> None:
    try:
        container = unpack(data)
    except BitstreamError:
        return
    assert pack(container) == data


TAGS = st.sampled_from([ALPHA, ICC, EXIF, XMP, "q", "z"])
CONTAINERS = st.builds(
    Container,
    width=st.integers(1, 13_000),
    height=st.integers(1, 13_000),
    quality=st.integers(0, 100),
    model=st.binary(min_size=3, max_size=3),
    payload=st.binary(max_size=300),
    chunks=st.lists(
        st.builds(Chunk, TAGS, st.binary(max_size=200)),
        max_size=6,
        unique_by=lambda chunk: chunk.tag,
    ).map(tuple),
    checksum=st.integers(0, 0xFFFF_FFFF),
    version=st.sampled_from(FORMAT_VERSIONS),
)


@given(CONTAINERS)
def test_round_trip(container: Container) -> None:
    assert unpack(pack(container)) == container
