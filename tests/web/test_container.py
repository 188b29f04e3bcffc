"""Every file is answered as Python answers it: the same fields, or an error of the same name."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from glc.bitstream import Chunk, Container, pack, unpack
from glc.errors import GlcError

pytestmark = pytest.mark.system

GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("v*/*.glc"))


def answer_of(data: bytes) -> dict:
    try:
        found = unpack(data)
    except GlcError as error:
        return {"error": type(error).__name__}
    return {
        **{name: getattr(found, name) for name in ("width", "height", "quality", "version")},
        "checksum": found.checksum,
        "model": found.model.hex(),
        "payload": found.payload.hex(),
        "chunks": [[chunk.tag, chunk.data.hex()] for chunk in found.chunks],
        "back": data.hex(),
    }


def check(probe, files: list[bytes]) -> list[str]:
    """Compare the answers; returns the names of all errors."""
    answers = probe("unpack", [data.hex() for data in files])
    for data, found in zip(files, answers, strict=True):
        message = found.pop("message", None)
        assert found == answer_of(data), data[:40].hex()
        assert message is None or len(message) > 20
    return [found.get("error", "") for found in answers]


def test_golden_files_and_their_prefixes(probe):
    files = [path.read_bytes() for path in GOLDEN]
    assert set(check(probe, files)) == {""}
    for data in files[:3]:
        names = check(probe, [data[:length] for length in range(len(data))])
        assert set(names) == {"TruncatedError"}


def test_damage_of_every_kind(probe):
    rng = random.Random(5)
    chunks = (Chunk("A", b"\0\1"), Chunk("g", b""), Chunk("q", b"\xff" * 9))
    whole = pack(Container(300, 200, 77, b"abc", b"payload", chunks, 12345))
    files = [whole, whole + b"\0"]
    for _ in range(2000):
        data = bytearray(whole)
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        files.append(bytes(data))
    names = check(probe, files)
    # Large sizes, unknown versions and chunks, and so on: all were met.
    expected = {"NotGlcError", "VersionError", "TruncatedError", "CorruptError", "LimitError"}
    assert expected < set(names)


def test_limits(probe):
    sizes = [(65_535, 1), (65_536, 1), (13_377, 13_377), (13_378, 13_378), (1 << 28, 1 << 28)]
    files = [pack(Container(*size, 0, b"abc", b"")) for size in sizes]
    assert check(probe, files) == ["", "LimitError", "", "LimitError", "LimitError"]
    huge = pack(Container(1, 1, 0, b"abc", b"", (Chunk("q", b"x"),)))
    # The chunk claims 128 MB.
    assert check(probe, [huge[:-7] + b"q\xff\xff\xff\x3f" + huge[-5:]]) == ["LimitError"]


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
        (b"\xff\xd8\xff\xe0", "a JPEG picture"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "a WebP picture"),
        (b"\0\0\0\x18ftypheic", "a HEIC picture"),
        (b"\0\0\0\x18ftypavif", "an AVIF picture"),
        (b"glca\x01", "a .glca archive"),
        (b"\x40\0\0\0\0\0\0\0{", "a safetensors file"),
        (b" <!DOCTYPE html>", "a web page"),
        (b"<?xml?><svg>", "an SVG drawing"),
        (b"hello there", "text"),
        (b"\x01\x02", ""),
    ],
)
def test_what_it_is_instead(head, kind, probe):
    (found,) = probe("unpack", [head.hex()])
    with pytest.raises(GlcError) as caught:
        unpack(head)
    assert found == {"error": "NotGlcError", "message": str(caught.value)}
    assert kind in found["message"]
