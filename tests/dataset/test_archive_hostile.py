"""Archives that somebody damaged or forged: refused, and nothing is allocated for their claims."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glc.dataset import Archive, ArchiveWriter
from glc.errors import (
    BitstreamError,
    CorruptError,
    GlcError,
    NotGlcError,
    TruncatedError,
    VersionError,
)


@pytest.fixture(scope="module")
def items(make_glc, version):
    return [(f"k{n}", make_glc(n, bytes((n, 7, 9)), version)) for n in range(180)]


def write(items, identity, version) -> bytes:
    stream = io.BytesIO()
    with ArchiveWriter(stream, identity, version=version) as writer:
        for key, file in items:
            writer.add(key, file)
    return stream.getvalue()


@pytest.fixture(scope="module")
def data(items, identity, version) -> bytes:
    return write(items, identity, version)


def parts(data: bytes) -> tuple[bytes, list[bytes], list[tuple[int, ...]]]:
    """Return header, groups and index entries."""
    (offset,) = struct.unpack("<Q", data[-16:-8])
    entries = list(struct.iter_unpack("<BBII", data[offset + 1 : -16]))
    groups, at = [], 42
    for entry in entries:
        groups.append(data[at : at + entry[2]])
        at += entry[2]
    return data[:42], groups, entries


def sign(header: bytes, groups: list[bytes], entries: list[tuple[int, ...]]) -> bytes:
    """Return an archive whose checksums are right, whatever it says."""
    records = b"".join(groups)
    index = b"\x00" + b"".join(struct.pack("<BBII", *entry) for entry in entries)
    index += struct.pack("<Q", 42 + len(records))
    return header + records + index + struct.pack("<I", zlib.crc32(index)) + b"acgl"


def with_records(header: bytes, *records: bytes, new_sizes: int = 1) -> bytes:
    """Return an archive of one group that holds just these records, index signed."""
    group = b"".join(records)
    return sign(header, [group], [(len(records) - 1, new_sizes, len(group), zlib.crc32(group))])


def read_all(data: bytes) -> list[tuple[str, bytes]]:
    archive = Archive(io.BytesIO(data))
    archive.verify()
    assert [archive.read(n) for n in range(len(archive))] == [file for _, file in archive]
    return list(archive)


def test_signing_is_what_the_writer_does(data, items):
    assert sign(*parts(data)) == data
    assert read_all(data) == items


def test_every_prefix_is_refused_or_said_to_be_incomplete(data, items):
    for length in [*range(250), *range(250, len(data), 31), *range(len(data) - 40, len(data))]:
        if length < 42:
            with pytest.raises(TruncatedError):
                Archive(io.BytesIO(data[:length]))
            continue
        archive = Archive(io.BytesIO(data[:length]))
        assert not archive.is_complete
        assert list(archive) == items[: len(archive)]
        with pytest.raises(TruncatedError):
            archive.verify()


@pytest.mark.parametrize(("count", "stride"), [(12, 1), (180, 43)])
def test_every_changed_byte_is_refused(count, stride, items, identity, version):
    data, known = write(items[:count], identity, version), dict(items)
    for offset in range(0, len(data), stride):
        changed = bytearray(data)
        changed[offset] ^= 1 << offset % 8
        with pytest.raises(GlcError):
            read_all(bytes(changed))
        if offset < 42:
            continue
        # What can still be read of it by number is right.
        archive = Archive(io.BytesIO(bytes(changed)))
        if archive.is_complete:
            with pytest.raises(CorruptError):
                list(archive)
            for number in (0, count - 1):
                try:
                    file = archive.read(number)
                except BitstreamError:
                    continue
                assert file == known[f"k{number}"]


@pytest.mark.parametrize(
    ("start", "error"),
    [
        (b"", TruncatedError),
        (b"gl", TruncatedError),
        (b"x", NotGlcError),
        (b"glcb", NotGlcError),
        (b"\x67\xc1", NotGlcError),
        (b"glca\x02", VersionError),
        (b"glca\x01\x00", VersionError),
        (b"glca\x01\x01", TruncatedError),
        (b"glca\x01\x02", TruncatedError),
        (b"glca\x01\x03", VersionError),
        (b"glca\x02\x02", VersionError),
        (b"glca\x00\x01" + bytes(90), VersionError),
    ],
)
def test_beginnings(start, error):
    with pytest.raises(error):
        Archive(io.BytesIO(start))


HEAD = b"\xc1\x00\x10\x00\x32\x01"
"""A new size, flags, a key of one byte; the key and the rest follow."""
REST = b"\x02zz" + bytes(4)


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([HEAD + b"a" + REST, b"\x00b" + REST], "head 00"),
        ([HEAD + b"a" + REST, b"\x04b" + REST], "not defined|number 1"),
        ([HEAD + b"a" + REST, b"\x3f\x00b" + REST], "not defined|number 60"),
        ([HEAD + b"a" + REST, b"\x3f\xff\xff\xff\x7fb" + REST], "not defined|number"),
        ([b"\x03" + HEAD[4:] + b"a" + REST], "lacks|not defined|number 0"),
        ([b"\x81\x00\x10\x00\x32a" + REST], "lacks"),
        ([b"\x41\x00\x10\x00\x01a" + REST], "lacks"),
        ([HEAD + b"a" + REST, b"\x83\x32b" + REST], "flags: expected a change"),
        ([HEAD + b"a" + REST, b"\x43\x01b" + REST], "key length: expected a change"),
        ([HEAD[:5] + b"\x00" + REST], "1 to 1024"),
        ([HEAD[:5] + b"\x81\x08" + b"k" * 1025 + REST], "1 to 1024"),
        ([HEAD[:5] + b"\x81\x00a" + REST], "shortest"),
        ([HEAD[:5] + b"\x80\x80\x80\x80\x01a" + REST], "at most"),
        ([HEAD + b"\xff" + REST], "UTF-8"),
        ([HEAD + b"a" + REST, b"\x03a" + REST], "twice"),
        ([b"\xc2\x01\x01\x32\x01a" + REST], "short form"),
    ],
)
def test_records_that_break_a_rule(records, message, data):
    header = data[:42]
    with pytest.raises(CorruptError, match=message):
        read_all(with_records(header, *records))
    # Without an index nothing after the defect is trusted, and what is before it is there.
    archive = Archive(io.BytesIO(header + b"".join(records)))
    assert len(archive) == len(records) - 1
    assert archive.leftover_bytes == len(records[-1])


def test_a_size_defined_twice(data):
    forged = with_records(data[:42], HEAD + b"a" + REST, b"\x01\x00\x10\x00b" + REST, new_sizes=2)
    with pytest.raises(CorruptError, match="defined twice"):
        read_all(forged)


@pytest.mark.parametrize("quality", [101, 127])
def test_a_record_that_is_no_glc_file(quality, data):
    record = b"\xc1\x00\x10\x00" + bytes((quality,)) + b"\x01a" + REST
    with pytest.raises(CorruptError, match="quality"):
        read_all(with_records(data[:42], record))


@pytest.mark.parametrize("field", range(4))
@pytest.mark.parametrize("value", [0, 1, 126, 128, 255, 10**6, 2**32 - 1])
def test_forged_entries_of_the_index(field, value, data):
    header, groups, entries = parts(data)
    limit = 255 if field < 2 else 2**32 - 1
    entry = list(entries[0])
    if value > limit or entry[field] == value:
        value = limit - 1
    entry[field] = value
    with pytest.raises(BitstreamError):
        read_all(sign(header, groups, [tuple(entry), *entries[1:]]))


def test_an_index_of_other_groups_than_the_rule_says(data):
    header, groups, _ = parts(data)
    joined = b"".join(groups)
    split = [joined[: len(groups[0])], joined[len(groups[0]) :]]
    assert split == groups
    first = Archive(io.BytesIO(data))._group(0)[1][9].end
    groups = [joined[:first], joined[first:]]
    # The second group begins with a record that leaves out what the first of a group must say.
    entries = [(9, 1, len(groups[0]), zlib.crc32(groups[0]))]
    entries.append((169, 1, len(groups[1]), zlib.crc32(groups[1])))
    with pytest.raises(BitstreamError):
        read_all(sign(header, groups, entries))


def peak_of(data: bytes) -> int:
    stream = io.BytesIO(data)
    tracemalloc.start()
    try:
        archive = Archive(stream)
        try:
            _ = archive.keys
            archive.verify()
        except GlcError:
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_claims_allocate_nothing(data):
    header = data[:42]
    huge = b"\xff\xff\xff\x7f"
    forgeries = [
        header + HEAD + b"a" + huge,
        header + HEAD[:5] + huge,
        header + b"\xc1\x00\x10\x00\xb2\x01a\x00" + huge,
        with_records(header, HEAD + b"a" + huge + b"zz"),
        sign(header, [b""], [(127, 127, 0, 0)] * 9),
        sign(header, [b"x" * 90], [(127, 127, 90, zlib.crc32(b"x" * 90))]),
    ]
    for forged in forgeries:
        assert peak_of(forged) < 100_000
    # Long keys cost what they take in the file, and no more.
    stream = io.BytesIO()
    many = [HEAD[:5] + b"\x80\x08" + b"k" * 1021 + b"000" + REST]
    many += [b"\x03" + b"k" * 1021 + f"{n:03d}".encode() + REST for n in range(1, 127)]
    stream.write(with_records(header, *many))
    assert len(Archive(stream)) == 127
    assert peak_of(stream.getvalue()) < 6 * len(stream.getvalue())


@settings(max_examples=60)
@given(st.binary(max_size=200), st.integers(0, 300))
def test_any_bytes_open_or_are_refused(data, noise, cut):
    for forged in (noise, data[:42] + noise, data[: 42 + cut] + noise, data[:-cut] + noise):
        try:
            archive = Archive(io.BytesIO(forged))
            list(archive)
            archive.verify()
        except GlcError:
            continue
        assert forged == data
