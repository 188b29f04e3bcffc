"""``glc.bitstream``: what unpacks packs to the same bytes again; a claim allocates nothing."""

from __future__ import annotations

from pathlib import Path
from random import Random

from glc.bitstream import Chunk, Container, pack, unpack
from tests.fuzz.mutate import mutate_file

GOLDEN = Path(__file__).parents[2] / "golden" / "v2"
OLDER = (Path(__file__).parents[2] / "golden" / "v1",)


def golden_files() -> list[bytes]:
    """Return those of every version of the format."""
    folders = (GOLDEN, *OLDER)
    return [path.read_bytes() for folder in folders for path in sorted(folder.glob("*.glc"))]


def real_files() -> list[bytes]:
    """Return golden files, and containers of several sizes with every kind of chunk."""
    files = golden_files()
    exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x01\0\0\0\0\0\0\0"
    metadata = (Chunk("e", exif), Chunk("x", b"<x:xmpmeta/>"), Chunk("i", bytes(130)))
    every = tuple(Chunk(tag, b"") for tag in "Agzyxwvutsrqponmlkjihfedcba")
    for width, height, quality, chunks in (
        (768, 512, 50, ()),
        (1, 300, 100, (Chunk("g", b""), Chunk("A", b"\0\x07"))),
        (128, 129, 0, metadata),
        (65_535, 2730, 99, every),
    ):
        payload = Random(width).randbytes(quality)
        files.append(
            pack(Container(width, height, quality, b"\x64\xb9\x1c", payload, chunks, quality))
        )
    return files


class ContainerTarget:
    name = "container"
    max_bytes = 4096

    def seeds(self) -> list[bytes]:
        return real_files()

    def mutate(self, data: bytes, rng: Random) -> bytes:
        return mutate_file(data, rng)

    def run(self, data: bytes) -> str:
        container = unpack(data)
        assert pack(container) == data
        tags = "".join(sorted({chunk.tag for chunk in container.chunks} & set("Agiex")))
        return f"chunks {tags or 'none'}, payload {'full' if container.payload else 'empty'}"

    def allowance(self, data: bytes) -> int:
        # Payload and chunks as slices, joined once more by pack, and the objects around them.
        return 4 * len(data) + (1 << 16)


def make() -> ContainerTarget:
    return ContainerTarget()
