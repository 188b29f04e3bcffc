"""Archives of every version stay readable: by this release, and by a second reader.

The second reader is written from glc/archive/FORMAT.md alone and shares no code with the first.
"""

from __future__ import annotations

import hashlib
import io
import json
import zlib
from pathlib import Path

import pytest

from glc.dataset import Archive, ArchiveWriter

HERE = Path(__file__).parent
PATHS = sorted(HERE.glob("archive-v*/*.glca"))

FROZEN = {
    "archive-v1/empty.glca": "9ea46ede67e614e5ac0d1da8c92213f1ebd2ff04760e9cbe2a9ed18f56c58d9a",
    "archive-v1/expected.json": "dcddbcf068c92d8b4e9260e4b5c40fb800c56329df06d326efd07d574f1d98a4",
    "archive-v1/many.glca": "d7160c5660a2f7128d1e86e35f6905a2b6c47dc0094e0de1071885495660befd",
    "archive-v1/photos.glca": "96f33678390066e61f8d4b48ff57d06ceab461230799d3a5050f1d59098396a3",
    "archive-v1-files-v2/empty.glca": (
        "158db51e600c43a926d0f1ad6ebba4d70472cce3417d045987cec0686cf884a6"
    ),
    "archive-v1-files-v2/expected.json": (
        "b0f45b7312dbac0e876e020c3ea4a4a65d5d86571b8d8c0b935f5440f3e47865"
    ),
    "archive-v1-files-v2/many.glca": (
        "88c55d1815eb59381961dbb7631d0e6432ff7168936943b06996e8cc1b38aa28"
    ),
    "archive-v1-files-v2/photos.glca": (
        "c8caed98933f5ae0d06ff496f25130298bd17369d1dac15c463356f0b9ce2765"
    ),
}
"""SHA-256 of every golden file that exists: lines are only ever added."""


def name_of(path: Path) -> str:
    return path.relative_to(HERE).as_posix()


def expected_of(path: Path) -> tuple[bytes, list[list[str]]]:
    expected = json.loads((path.parent / "expected.json").read_text(encoding="utf-8"))
    return bytes.fromhex(expected["identity"]), expected["archives"][path.stem]


def digests(files: list[tuple[str, bytes]]) -> list[list[str]]:
    return [[key, hashlib.sha256(data).hexdigest()[:16]] for key, data in files]


class Bytes:
    """Takes fields from the front of some bytes."""

    def __init__(self, data: bytes) -> None:
        self.rest = data

    def take(self, count: int) -> bytes:
        taken, self.rest = self.rest[:count], self.rest[count:]
        assert len(taken) == count
        return taken

    def integer(self, count: int) -> int:
        return int.from_bytes(self.take(count), "little")

    def varint(self) -> tuple[int, bytes]:
        """Return a varint and its spelling."""
        spelling = self.take(1)
        while spelling[-1] & 0x80:
            spelling += self.take(1)
        return sum((byte & 0x7F) << 7 * place for place, byte in enumerate(spelling)), spelling


def leb128(value: int) -> bytes:
    spelling = b""
    while value > 127:
        spelling, value = spelling + bytes((value % 128 + 128,)), value // 128
    return spelling + bytes((value,))


def read(data: bytes) -> tuple[bytes, list[tuple[str, bytes]]]:
    """Return identity, keys and files of an archive."""
    source = Bytes(data)
    assert source.take(5) == b"glca\x01"
    version = source.integer(1)
    assert version in (1, 2)
    identity = source.take(32)
    assert source.integer(4) == zlib.crc32(data[:38])
    assert data[-4:] == b"acgl"
    mark = int.from_bytes(data[-16:-8], "little")
    assert int.from_bytes(data[-8:-4], "little") == zlib.crc32(data[mark:-8])
    index = Bytes(data[mark:-16])
    assert index.take(1) == b"\x00"
    files: list[tuple[str, bytes]] = []
    sizes: list[bytes] = []
    at = 42
    while index.rest:
        count, new, length = index.integer(1) + 1, index.integer(1), index.integer(4)
        assert index.integer(4) == zlib.crc32(data[at : at + length])
        group, before = Bytes(data[at : at + length]), len(sizes)
        state: dict[str, int] = {}
        files += [record(group, version, identity, sizes, state) for _ in range(count)]
        assert (group.rest, len(sizes) - before) == (b"", new)
        at += length
    assert at == mark
    return identity, files


def record(
    group: Bytes, version: int, identity: bytes, sizes: list[bytes], state: dict[str, int]
) -> tuple[str, bytes]:
    head = group.integer(1)
    code = head % 64
    if code == 1:
        sides = group.integer(3)
        sizes.append(leb128(sides % 4096) + leb128(sides // 4096))
    elif code == 2:
        sizes.append(group.varint()[1] + group.varint()[1])
    number = len(sizes) - 1 if code < 3 else code - 3
    if code == 63:
        number = 60 + group.varint()[0]
    if head & 128:
        state["flags"] = group.integer(1)
    if head & 64:
        state["key length"] = group.varint()[0]
    key = group.take(state["key length"]).decode()
    length, spelling = group.varint()
    payload = group.take(length)
    chunks = group.take(group.varint()[0]) if state["flags"] & 128 else b""
    start = bytes((0x67, 0xC0 + version)) + identity[:3] + bytes((state["flags"],))
    start += sizes[number] + spelling
    return key, start + payload + chunks + group.take(4)


def test_nothing_was_changed_or_removed():
    paths = [path for path in sorted(HERE.glob("archive-v*/*")) if path.is_file()]
    found = {name_of(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    assert found == FROZEN


@pytest.mark.parametrize("path", PATHS, ids=name_of)
def test_a_golden_archive_holds_what_it_held(path):
    identity, files = expected_of(path)
    with Archive(path) as archive:
        archive.verify()
        assert archive.identity == identity
        assert digests(list(archive)) == files
        assert digests([(key, archive.read(n)) for n, key in enumerate(archive.keys)]) == files


@pytest.mark.parametrize("path", PATHS, ids=name_of)
def test_a_golden_archive_is_written_again_as_it_was(path):
    with Archive(path) as archive:
        stream = io.BytesIO()
        with ArchiveWriter(stream, archive.identity, version=archive.version) as writer:
            for key, data in archive:
                writer.add(key, data)
    assert stream.getvalue() == path.read_bytes()


@pytest.mark.parametrize("path", PATHS, ids=name_of)
def test_the_second_reader_agrees(path):
    identity, files = read(path.read_bytes())
    assert (identity, digests(files)) == expected_of(path)


@pytest.mark.parametrize(("version", "folder"), [(1, "archive-v1"), (2, "archive-v1-files-v2")])
def test_the_golden_archives_hold_what_they_are_for(version, folder):
    with Archive(HERE / folder / "photos.glca") as archive:
        files = {path.stem: path.read_bytes() for path in (HERE / f"v{version}").glob("*.glc")}
        assert archive.version == version
        assert dict(iter(archive)) == files
    with Archive(HERE / folder / "many.glca") as archive:
        assert len(archive._groups) == 3
        # Numbers above 59, sides above 4,096, chunks, two qualities, payloads of two length bytes.
        assert sum(group.new_sizes for group in archive._groups) > 63
        flags = {data[5] for _, data in archive}
        assert flags == {30, 70, 30 | 128}
        assert any(len(data) > 200 for _, data in archive)
        assert max(map(len, archive.keys)) > 127
