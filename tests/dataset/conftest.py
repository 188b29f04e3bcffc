"""Small pictures as a folder, as tars and as Parquet, and the files that the micro codec makes."""

from __future__ import annotations

import hashlib
import io
import random
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glc.bitstream import FORMAT_VERSION, Chunk, Container, pack

IDENTITY = hashlib.sha256(b"some model").digest()
SIZES = [(40, 24), (24, 40), (70, 50), (40, 24), (64, 64)]


def glc_file(number: int, payload: bytes | None = None, version: int = FORMAT_VERSION) -> bytes:
    """Return a .glc file that holds nothing real, with chunks now and then."""
    rng = random.Random(number)
    chunks = (Chunk("A", rng.randbytes(3)), Chunk("g", b"")) if number % 5 == 2 else ()
    width, height = rng.choice([(560, 560), (640, 480), (300, 200 + number), (5000, 40)])
    payload = rng.randbytes(rng.choice([0, 7, 90, 200])) if payload is None else payload
    quality = 50 if number % 4 else 60
    fields = (width, height, quality, IDENTITY[:3], payload, chunks)
    return pack(Container(*fields, rng.getrandbits(32), version))


def png(number: int) -> bytes:
    """Return a small picture that differs from all others."""
    width, height = SIZES[number % len(SIZES)]
    rng = np.random.default_rng(number)
    coarse = rng.integers(0, 255, (4, 4, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR).save(stream, "PNG")
    return stream.getvalue()


class StubCodec:
    """Writes files that hold nothing but the size of their picture, and needs no networks."""

    identity = IDENTITY
    device = "cpu"

    def for_quality(self, quality):
        return self

    def encode_batch(self, pictures, quality, keep_metadata, version, effort=0):
        # A checksum of zeros would look like the end of a file that never reached the disk.
        fields = (quality, IDENTITY[:3], b"", (), 0x01020304, version)
        return [pack(Container(p.width, p.height, *fields)) for p in pictures]


@pytest.fixture
def stub() -> StubCodec:
    return StubCodec()


@pytest.fixture
def glc_stub(monkeypatch, capsys, tmp_path, stub):
    """Return a function that runs ``glc pack`` with the stub, and other commands, in a folder."""
    from codec_cli.main import main
    from glc.dataset import compression
    from glc.dataset.model_choice import ModelChoice

    monkeypatch.chdir(tmp_path)
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(compression, "ModelChoice", lambda *rest: ModelChoice(stub, *rest[1:]))

    def command(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


@pytest.fixture(scope="session")
def identity() -> bytes:
    return IDENTITY


@pytest.fixture(scope="session")
def make_glc() -> Callable[..., bytes]:
    return glc_file


@pytest.fixture(scope="session")
def make_png() -> Callable[[int], bytes]:
    return png


@pytest.fixture(scope="session")
def pictures() -> dict[str, bytes]:
    """Twelve PNG files by key; the keys are in order."""
    return {f"{'ab'[number // 6]}/{number:03d}": png(number) for number in range(12)}


@pytest.fixture
def folder(tmp_path: Path, pictures: dict[str, bytes]) -> Path:
    """The pictures as files below a folder."""
    root = tmp_path / "pictures"
    for key, data in pictures.items():
        path = root / f"{key}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


@pytest.fixture
def make_tar() -> Callable[..., Path]:
    """Return a function that writes a WebDataset tar."""

    def make(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
        with tarfile.open(path, mode) as tar:
            for name, data in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        return path

    return make


@pytest.fixture(scope="session")
def one_by_one(micro, pictures) -> dict[str, bytes]:
    """What ``Codec.encode`` makes of every picture alone, at quality 40."""
    from glc import image

    return {key: micro.encode(image.load(data), 40) for key, data in pictures.items()}
