"""The archive: golden bytes; what goes in comes out, by number and key, after interruptions."""

from __future__ import annotations

import io
import multiprocessing
import pickle
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from glc.bitstream import FORMAT_VERSION, Container, pack
from glc.dataset import Archive, ArchiveWriter
from glc.errors import BitstreamError, CorruptError, TruncatedError

# The worked example of FORMAT.md, and what it was of files of version 1.
EXAMPLE_IDENTITY = bytes.fromhex("64b91ca7fe644b145a842e1006d9709c2178300072b068ca382399e95536e646")
EXAMPLE_1 = bytes.fromhex(
    "67 6c 63 61 01 01 64 b9 1c a7 fe 64 4b 14 5a 84 2e 10 06 d9 70 9c 21 78"
    "30 00 72 b0 68 ca 38 23 99 e9 55 36 e6 46 20 07 44 c4"
    "c1 ff f2 1f 32 01 61 03 c0 ff ee 40 c4 12 94"
    "03 62 00 01 00 00 00"
    "00 01 01 16 00 00 00 99 dd 22 39 40 00 00 00 00 00 00 00 0f 99 50 d2 61 63 67 6c"
)
EXAMPLE_FILES_1 = [
    ("a", bytes.fromhex("67c1 64b91c 32 ff05 ff03 03 c0ffee 40c41294")),
    ("b", pack(Container(768, 512, 50, EXAMPLE_IDENTITY[:3], b"", (), 1, 1))),
]
EXAMPLE = bytes.fromhex(
    "67 6c 63 61 01 02 64 b9 1c a7 fe 64 4b 14 5a 84 2e 10 06 d9 70 9c 21 78"
    "30 00 72 b0 68 ca 38 23 99 e9 55 36 e6 46 35 b6 53 9f"
    "c1 ff f2 1f 32 01 61 03 c0 ff ee 12 e8 30 c3"
    "03 62 00 01 00 00 00"
    "00 01 01 16 00 00 00 d8 0a 75 bf 40 00 00 00 00 00 00 00 5c 7b 75 11 61 63 67 6c"
)
EXAMPLE_FILES = [
    ("a", bytes.fromhex("67c2 64b91c 32 ff05 ff03 03 c0ffee 12e830c3")),
    ("b", pack(Container(768, 512, 50, EXAMPLE_IDENTITY[:3], b"", (), 1, 2))),
]


def write(items, identity, version=FORMAT_VERSION) -> bytes:
    stream = io.BytesIO()
    with ArchiveWriter(stream, identity, version=version) as writer:
        for key, data in items:
            writer.add(key, data)
    return stream.getvalue()


@pytest.fixture(scope="module")
def items(make_glc, version):
    """Keys of several lengths and alphabets, more than two groups."""
    return [(f"{'äx'[n % 2] * (n % 3)}/{n}", make_glc(n, version=version)) for n in range(300)]


@pytest.fixture(scope="module")
def data(items, identity, version) -> bytes:
    return write(items, identity, version)


@pytest.fixture
def path(data, tmp_path) -> Path:
    target = tmp_path / "a.glca"
    target.write_bytes(data)
    return target


@pytest.mark.parametrize(
    ("number", "golden", "files"), [(1, EXAMPLE_1, EXAMPLE_FILES_1), (2, EXAMPLE, EXAMPLE_FILES)]
)
def test_golden_bytes(number, golden, files) -> None:
    assert write(files, EXAMPLE_IDENTITY, number) == golden
    archive = Archive(io.BytesIO(golden))
    assert (archive.identity, archive.version) == (EXAMPLE_IDENTITY, number)
    assert list(archive) == files


def test_what_goes_in_comes_out_in_order(path, items, identity):
    with Archive(path) as archive:
        assert archive.identity == identity
        assert (archive.is_complete, archive.leftover_bytes) == (True, 0)
        assert len(archive) == len(items)
        assert list(archive) == items
        assert archive.keys == [key for key, _ in items]
        archive.verify()


def test_by_number_and_by_key_in_any_order(path, items):
    order = random.Random(0).sample(range(len(items)), len(items))
    with Archive(path) as archive:
        assert [archive.read(n) for n in order] == [items[n][1] for n in order]
        assert archive.read(-1) == items[-1][1]
        assert all(archive.index(items[n][0]) == n for n in order)
        for missing in (len(items), -len(items) - 1):
            with pytest.raises(IndexError):
                archive.read(missing)
        with pytest.raises(KeyError):
            archive.index("missing")


def test_one_picture_costs_at_most_two_groups(data, items):
    class Counting(io.BytesIO):
        def read(self, size=-1):
            reads.append(size)
            return super().read(size)

    reads: list[int] = []
    archive = Archive(Counting(data))
    index_bytes = 10 * 2 + 17
    assert sum(reads) <= 42 + 16 + index_bytes
    for number in (299, 150, 0):
        reads.clear()
        archive.read(number)
        assert len(reads) <= 2


def test_an_empty_archive(identity):
    archive = Archive(io.BytesIO(write([], identity)))
    archive.verify()
    assert (len(archive), list(archive), archive.keys) == (0, [], [])
    assert len(write([], identity)) == 59


@pytest.mark.parametrize("length", [1, 3])
def test_a_photo_costs_eight_bytes_and_its_key(identity, length):
    """With sizes as diverse as those of photographs: every fourth picture is the first of its."""
    rng = random.Random(1)
    items, payload_bytes, key_bytes = [], 0, 0
    for number in range(2000):
        width = 500 + (number if number % 4 == 0 else 4 * rng.randrange(min(number // 4 + 1, 40)))
        payload = rng.randbytes(1300)
        key = f"{number:0{3 + length}d}"
        items.append((key, pack(Container(width, 333, 50, identity[:3], payload, (), number))))
        payload_bytes, key_bytes = payload_bytes + len(payload), key_bytes + len(key)
    overhead = (len(write(items, identity)) - payload_bytes - key_bytes) / len(items)
    assert 7.0 < overhead <= 8.0


def test_a_path_can_be_pickled_and_a_stream_cannot(path, data, items):
    with Archive(path) as archive:
        again = pickle.loads(pickle.dumps(archive))
    assert again.read(7) == items[7][1]
    again.close()
    with pytest.raises(TypeError, match="by its path"):
        pickle.dumps(Archive(io.BytesIO(data)))


def test_several_threads_may_read(path, items):
    with Archive(path) as archive, ThreadPoolExecutor(8) as pool:
        order = random.Random(2).choices(range(len(items)), k=2000)
        assert list(pool.map(archive.read, order)) == [items[n][1] for n in order]


def _check_in_child(archive, items, order):
    if [archive.read(n) for n in order] != [items[n][1] for n in order]:
        raise SystemExit(1)


@pytest.mark.system
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_forked_processes_do_not_share_a_position(path, items):
    context = multiprocessing.get_context("fork")
    with Archive(path) as archive:
        archive.read(0)
        orders = [random.Random(n).choices(range(len(items)), k=300) for n in range(3)]
        children = [
            context.Process(target=_check_in_child, args=(archive, items, o)) for o in orders
        ]
        for child in children:
            child.start()
        _check_in_child(archive, items, orders[0])
        for child in children:
            child.join()
        assert [child.exitcode for child in children] == [0, 0, 0]


def test_a_picture_is_there_when_add_returns(tmp_path, items, identity, version):
    path = tmp_path / "a.glca"
    writer = ArchiveWriter(path, identity, version=version)
    for number, (key, data) in enumerate(items[:10]):
        writer.add(key, data)
        with Archive(path) as found:
            assert list(found) == items[: number + 1]
            assert (found.is_complete, found.leftover_bytes) == (False, 0)
            with pytest.raises(TruncatedError, match="whole"):
                found.verify()
    writer.close()
    writer.close()
    with Archive(path) as found:
        assert found.is_complete


def _fail_after(writer, item):
    writer.add(*item)
    raise KeyError


def test_an_exception_leaves_an_archive_without_index(tmp_path, items, identity, version):
    writer = ArchiveWriter(tmp_path / "a.glca", identity, version=version)
    with pytest.raises(KeyError), writer:
        _fail_after(writer, items[0])
    with Archive(tmp_path / "a.glca") as archive:
        assert (list(archive), archive.is_complete) == (items[:1], False)
    with pytest.raises(ValueError, match="closed"):
        writer.add(*items[1])


def test_interrupted_at_any_byte_and_gone_on_gives_the_same_bytes(items, identity, version):
    few = items[:9]
    whole = write(few, identity, version)
    for length in range(len(whole)):
        stream = io.BytesIO(whole[:length])
        if length >= 42:
            archive = Archive(stream)
            assert not archive.is_complete
            assert list(archive) == few[: len(archive)]
            records_end = len(whole) - 10 - 17
            assert len(archive) == len(few) if length >= records_end else len(archive) < len(few)
        with ArchiveWriter(stream, identity, append=True, version=version) as writer:
            assert writer.keys == [key for key, _ in few[: len(writer)]]
            for key, data in few[len(writer) :]:
                writer.add(key, data)
        assert stream.getvalue() == whole


@pytest.mark.parametrize("count", [0, 1, 159, 160, 161, 299, 300])
def test_appending_to_a_complete_archive(count, items, identity, data, tmp_path, version):
    path = tmp_path / "a.glca"
    path.write_bytes(write(items[:count], identity, version))
    with ArchiveWriter(path, identity, append=True, version=version) as writer:
        assert len(writer) == count
        for key, file in items[count:]:
            assert key not in writer
            writer.add(key, file)
            assert key in writer
    assert path.read_bytes() == data


def test_appending_to_nothing_and_to_zeros(items, identity, data, tmp_path, version):
    """A machine that lost power may leave zeros where a record should be."""
    path = tmp_path / "a.glca"
    with ArchiveWriter(path, identity, append=True, version=version) as writer:
        for key, file in items[:5]:
            writer.add(key, file)
        writer.abandon()
    with path.open("ab") as stream:
        stream.write(bytes(5000))
    with Archive(path) as archive:
        assert archive.leftover_bytes == 5000
    with ArchiveWriter(path, identity, append=True, version=version) as writer:
        for key, file in items[5:]:
            writer.add(key, file)
    assert path.read_bytes() == data


def test_appending_never_destroys_what_lies_behind_damage(items, identity, data, version):
    records = data[: len(data) - 20 - 17]
    for damaged in (records, data):
        for offset in (43, 60, 200):
            for value in (0x00, 0x3F, 0xFF):
                stream = io.BytesIO(damaged[:offset] + bytes((value,)) + damaged[offset + 1 :])
                before = stream.getvalue()
                try:
                    ArchiveWriter(stream, identity, append=True, version=version)
                except BitstreamError:
                    assert stream.getvalue() == before
                else:
                    assert damaged is records or before == data


def test_an_archive_keeps_the_version_of_its_files(items, identity, make_glc, version):
    few = items[:5]
    whole, other = write(few, identity, version), 3 - version
    # From where its header says the version on, cut anywhere.
    for length in range(6, len(whole) + 1):
        stream = io.BytesIO(whole[:length])
        with ArchiveWriter(stream, identity, append=True, version=other) as writer:
            assert writer.version == version
            before = stream.getvalue()
            with pytest.raises(ValueError, match=f"holds files of version {version}, this one is"):
                writer.add("other", make_glc(7, version=other))
            assert stream.getvalue() == before
            for key, data in few[len(writer) :]:
                writer.add(key, data)
        assert stream.getvalue() == whole


def test_versions_that_do_not_exist_are_refused(identity, tmp_path):
    path = tmp_path / "a.glca"
    path.write_bytes(b"kept")
    for version in (0, 3, 256):
        with pytest.raises(ValueError, match="version: expected one of"):
            ArchiveWriter(path, identity, version=version)
    assert path.read_bytes() == b"kept"


def test_appending_with_another_model_is_refused(items, path, data):
    with pytest.raises(ValueError, match="identity"):
        ArchiveWriter(path, bytes(32), append=True)
    assert path.read_bytes() == data


@pytest.mark.parametrize("key", ["", "k" * 1025, "ä" * 513, "\ud800"])
def test_keys_that_cannot_be(key, identity, make_glc):
    with ArchiveWriter(io.BytesIO(), identity) as writer:
        with pytest.raises(ValueError, match="key"):
            writer.add(key, make_glc(0))
        writer.add("ä" * 512, make_glc(0))


def test_wrong_calls_write_nothing(identity, make_glc):
    stream = io.BytesIO()
    with ArchiveWriter(stream, identity) as writer:
        writer.add("a", make_glc(0))
        before = stream.getvalue()
        with pytest.raises(ValueError, match="unique"):
            writer.add("a", make_glc(1))
        with pytest.raises(BitstreamError):
            writer.add("b", make_glc(1)[:-1])
        with pytest.raises(ValueError, match="another model"):
            writer.add("b", pack(Container(1, 1, 0, b"abc", b"")))
        assert stream.getvalue() == before
    with pytest.raises(ValueError, match="identity"):
        ArchiveWriter(io.BytesIO(), b"short")


class Full(io.BytesIO):
    """A disk that takes half of a write and then no more."""

    is_full = False

    def write(self, data):
        if self.is_full:
            super().write(data[: len(data) // 2])
            raise OSError(28, "No space left on device")
        return super().write(data)


def test_a_full_disk_ends_the_archive_before_the_picture(items, identity, version):
    stream = Full()
    writer = ArchiveWriter(stream, identity, version=version)
    writer.add(*items[0])
    stream.is_full = True
    with pytest.raises(OSError, match="No space"):
        writer.add(*items[1])
    stream.is_full = False
    with pytest.raises(ValueError, match="closed"):
        writer.add(*items[2])
    archive = Archive(stream)
    assert list(archive) == items[:1]
    with ArchiveWriter(stream, identity, append=True, version=version) as writer:
        writer.add(*items[1])
    assert stream.getvalue() == write(items[:2], identity, version)


def test_large_pictures_make_small_groups(identity):
    items = [
        (str(n), pack(Container(100, 100, 50, identity[:3], bytes((n,)) * 200_000)))
        for n in range(5)
    ]
    large = ("large", pack(Container(100, 100, 50, identity[:3], b"\x01" * 3_000_000)))
    items.append(large)
    data = write(items, identity)
    archive = Archive(io.BytesIO(data))
    assert list(archive) == items
    assert [group.records for group in archive._groups] == [2, 2, 2]
    assert list(Archive(io.BytesIO(data[:-1]))) == items
    assert list(Archive(io.BytesIO(data[:-200]))) == items[:-1]


def test_a_damaged_index_is_rebuilt_and_said(data, items):
    broken = bytearray(data)
    broken[-30] ^= 1
    archive = Archive(io.BytesIO(bytes(broken)))
    assert not archive.is_complete
    assert list(archive) == items
    with pytest.raises(TruncatedError):
        archive.verify()
    with pytest.raises(CorruptError):
        Archive(io.BytesIO(b"glca\x01\x01" + bytes(36)))
