"""A codec without networks, for the command line to call: in this process and in others."""

from __future__ import annotations

import hashlib
import io
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from glc.bitstream import Chunk, Container, Limits, pack, unpack
from glc.errors import CorruptError, WeightsError
from glc.image import Picture, to_pil

REPOSITORY = Path(__file__).parents[2]
IDENTITY = hashlib.sha256(b"fake").digest()

SLOW_WIDTH = 13
BUGGY_WIDTH = 11


class FakeCodec:
    """Stores the pixels, and as many bytes of filling as the quality says.

    A picture of width 13 takes half a minute to encode and to verify; one of width 11 meets a bug.
    """

    limits = Limits()
    takes_realism = True
    realisms: ClassVar[list[int | None]] = []
    opened: ClassVar[list[tuple[object, str]]] = []
    precisions: ClassVar[list[str]] = []
    efforts: ClassVar[list[int]] = []

    @classmethod
    def open(cls, model, device, precision="float32"):
        if model == "missing":
            raise WeightsError("no model called 'missing'; installed: fake")
        cls.opened.append((model, device))
        cls.precisions.append(precision)
        return cls()

    def encode(
        self, image, quality=50, *, keep_metadata=False, progress=None, effort=0, mean_colors=False
    ):
        self.efforts.append(effort)
        assert isinstance(image, Picture)
        if image.width == SLOW_WIDTH and quality == 1:
            time.sleep(30)
        if image.width == BUGGY_WIDTH:
            raise KeyError("a bug")
        payload = b"\0" * quality + image.rgb.tobytes()
        chunks = []
        if keep_metadata and image.exif:
            chunks.append(Chunk("e", image.exif))
        if keep_metadata and image.xmp:
            chunks.append(Chunk("x", image.xmp))
        if image.grey:
            chunks.append(Chunk("g", b""))
        if image.alpha is not None:
            chunks.append(Chunk("A", image.alpha.tobytes()))
        if mean_colors:
            chunks.append(Chunk("c", b"colours"))
        fields = (image.width, image.height, quality, IDENTITY[:3], payload, tuple(chunks))
        return pack(Container(*fields, Container(*fields).checksum_of(IDENTITY, payload)))

    def encode_to_size(self, image, max_bytes, **how):
        for quality in range(100, -1, -1):
            data = self.encode(image, quality, **how)
            if len(data) <= max_bytes:
                return data
        raise ValueError(f"quality 0 takes {len(data)} bytes; {max_bytes} are not enough")

    def verify(self, data, progress=None):
        container = unpack(data, self.limits)
        if container.width == SLOW_WIDTH:
            time.sleep(30)
        if container.checksum != container.checksum_of(IDENTITY, container.payload):
            raise CorruptError("checksum does not match; the file is damaged")

    def decode(self, data, realism=None, progress=None):
        self.realisms.append(realism)
        container = unpack(data, self.limits)
        if container.checksum != container.checksum_of(IDENTITY, container.payload):
            raise CorruptError("checksum does not match; the file is damaged")
        chunks = {chunk.tag: chunk.data for chunk in container.chunks}
        shape = container.height, container.width
        rgb = np.frombuffer(container.payload, np.uint8)[container.quality :].reshape(*shape, 3)
        alpha = np.frombuffer(chunks["A"], np.uint8).reshape(shape) if "A" in chunks else None
        return to_pil(Picture(rgb, alpha, "g" in chunks, exif=chunks.get("e"), xmp=chunks.get("x")))


def installed_path(model: bytes) -> Path:
    if model != IDENTITY[:3]:
        raise WeightsError(f"model {model.hex()} is not installed; installed: fake")
    return Path("fake.safetensors")


def installed_name(model: bytes) -> str | None:
    return "fake" if model == IDENTITY[:3] else None


def replacements() -> dict[str, object]:
    return {
        "open_codec": FakeCodec.open,
        "installed_path": installed_path,
        "installed_name": installed_name,
    }


def run_as_process() -> None:
    """Be ``glc`` with the fake codec."""
    from codec_cli.main import entry
    from codec_cli.support import codecs

    for name, replacement in replacements().items():
        setattr(codecs, name, replacement)
    entry()


@pytest.fixture(autouse=True)
def _no_plugin(monkeypatch):
    """A command runs where nobody has registered the Pillow plugin; other tests here have."""
    # All plugins first: those that Pillow finds later would be forgotten with what is undone here.
    Image.init()
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name != "GLC"])


@pytest.fixture
def fake_codec():
    return FakeCodec


@pytest.fixture
def glc(monkeypatch, capsys, tmp_path):
    """Return a function that runs ``glc`` in this process and in an empty folder."""
    from codec_cli.main import main
    from codec_cli.support import codecs

    monkeypatch.chdir(tmp_path)
    FakeCodec.opened.clear()
    FakeCodec.precisions.clear()
    FakeCodec.realisms.clear()
    FakeCodec.efforts.clear()
    for name, replacement in replacements().items():
        monkeypatch.setattr(codecs, name, replacement)

    def run(*arguments: str) -> Result:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run


@pytest.fixture
def glc_process(tmp_path):
    """Return a function that starts ``glc`` with the fake codec as a process of its own."""
    program = f"import runpy; runpy.run_path({str(Path(__file__))!r})['run_as_process']()"
    started: list[subprocess.Popen] = []

    def start(*arguments: str, **options) -> subprocess.Popen:
        # What starts the tests in the background may have made them deaf to Ctrl-C.
        options.setdefault("preexec_fn", lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        process = subprocess.Popen(
            [sys.executable, "-c", program, *map(str, arguments)],
            cwd=tmp_path,
            env={"PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin:/bin"},
            stdin=options.pop("stdin", subprocess.DEVNULL),
            stdout=options.pop("stdout", subprocess.PIPE),
            stderr=options.pop("stderr", subprocess.PIPE),
            **options,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


class Result:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err
        self.err_lines = err.splitlines()


def picture_bytes(width: int = 8, height: int = 6, mode: str = "RGB", **parameters) -> bytes:
    rng = np.random.default_rng(width * height)
    image = Image.fromarray(rng.integers(0, 255, (height, width, 4), dtype=np.uint8))
    stream = io.BytesIO()
    image.convert(mode).save(stream, "PNG", **parameters)
    return stream.getvalue()


@pytest.fixture
def picture(tmp_path):
    """Return a function that makes a picture file below the empty folder."""

    def make(name: str = "a.png", **parameters) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture_bytes(**parameters))
        return path

    return make
