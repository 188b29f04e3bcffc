"""``glc.dataset.Archive``: any bytes open as an archive whose pictures are read, or a GlcError.

Half of the mutants get a header and an index whose checksums are right, so that they go deep.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from random import Random

from glc.archive.format import HEADER_BYTES, Group, encode_header, encode_index
from glc.bitstream import FORMAT_VERSIONS, unpack
from glc.dataset import Archive, ArchiveWriter
from glc.errors import GlcError
from tests.fuzz.mutate import mutate_bytes
from tests.fuzz.targets.container import real_files

_IDENTITY = bytes(range(32))


class ArchiveTarget:
    name = "archive"
    max_bytes = 8192

    def seeds(self) -> list[bytes]:
        return [_archive(count, version) for version in FORMAT_VERSIONS for count in (0, 1, 3, 40)]

    def mutate(self, data: bytes, rng: Random) -> bytes:
        if rng.random() < 0.4:
            return mutate_bytes(data, rng)
        # The index of a real archive is short; where it begins matters little to a mutant.
        records = mutate_bytes(data[HEADER_BYTES : -rng.choice((27, 27, 16, 1))], rng)
        header = encode_header(_IDENTITY, rng.choice(FORMAT_VERSIONS))
        if rng.random() < 0.3:
            return header + records
        groups = []
        while records[sum(group.length for group in groups) :]:
            start = sum(group.length for group in groups)
            part = records[start : start + rng.choice((1, 50, 400, len(records)))]
            claims = rng.randint(1, 160), rng.choice((0, 1, 2, 255))
            groups.append(Group(*claims, len(part), zlib.crc32(part)))
        return header + records + encode_index(groups[:40])

    def run(self, data: bytes) -> str:
        with Archive(io.BytesIO(data)) as archive:
            steps: list[Callable[[], object]] = [
                lambda n=n: self._read(archive, n) for n in range(len(archive))
            ]
            steps += [lambda: archive.keys, lambda: list(archive), archive.verify]
            # One bad picture stops no other; thousands of tracebacks would count as memory.
            first: GlcError | None = None
            for step in steps:
                try:
                    step()
                except GlcError as error:
                    first = first or error
            if first is not None:
                raise first
            return "complete" if archive.is_complete else "scanned"

    def _read(self, archive: Archive, number: int) -> None:
        """What is read is a .glc file, as far as its structure goes."""
        unpack(archive.read(number))
        assert archive.index(archive.key(number)) == number

    def allowance(self, data: bytes) -> int:
        # Four cached groups, every picture once, and objects for up to 160 records per group.
        return 64 * len(data) + (4 << 20)


def _archive(count: int, version: int) -> bytes:
    stream = io.BytesIO()
    with ArchiveWriter(stream, _IDENTITY, version=version) as writer:
        start = bytes((0x67, 0xC0 | version)) + _IDENTITY[:3]
        files = [start + data[5:] for data in real_files()]
        for number in range(count):
            writer.add(f"folder/{number % 7}/{number}.jpg", files[number % len(files)])
        writer.close()
        return stream.getvalue()


def make() -> ArchiveTarget:
    return ArchiveTarget()
