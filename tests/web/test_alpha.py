"""Alpha planes: JavaScript reads what Python writes, and Python what JavaScript writes."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from glc.image import decode_alpha, encode_alpha

pytestmark = pytest.mark.system


def planes() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:90, :130]
    smooth = 128 + 100 * np.sin(x / 9) * np.cos(y / 13)
    return {
        "constant": np.full((7, 9), 3, np.uint8),
        "radial": (np.hypot(x - 60, y - 40) * 3).clip(0, 255).astype(np.uint8),
        "checks": ((x // 7 + y // 5) % 2 * 255).astype(np.uint8),
        "noise": rng.integers(0, 256, (64, 72), np.uint8),
        "4 values": (rng.integers(0, 4, (33, 47)) * 80).astype(np.uint8),
        "16 values": (rng.integers(0, 16, (33, 47)) * 16).astype(np.uint8),
        "grain": (smooth + rng.normal(0, 2, x.shape)).clip(0, 255).astype(np.uint8),
        "one row": np.arange(9, dtype=np.uint8)[None],
    }


def vp8l_of(picture: np.ndarray, **options: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "WEBP", lossless=True, **options)
    riff = stream.getvalue()
    assert riff[12:16] == b"VP8L"
    return b"\1" + riff[20 : 20 + int.from_bytes(riff[16:20], "little")]


def read(probe, chunks: list[bytes], width: int, height: int) -> list:
    return probe("alpha", [[chunk.hex(), width, height] for chunk in chunks])


@pytest.mark.parametrize("name", planes())
def test_every_method(name, probe):
    plane = planes()[name]
    height, width = plane.shape
    chunks = [encode_alpha(plane), vp8l_of(plane, quality=100, method=6)]
    for found, again in read(probe, chunks, width, height):
        assert found == plane.tobytes().hex()
        assert np.array_equal(decode_alpha(bytes.fromhex(again), width, height), plane)


def test_transforms_of_colour_pictures(probe):
    """The rest of VP8L has no meaning, but may be there: predictions and colours of all kinds."""
    all_planes = planes()
    grain, radial = all_planes["grain"], all_planes["radial"]
    picture = np.dstack((grain, radial, np.roll(grain, 9, 1)))
    chunks = [vp8l_of(picture, quality=q, method=m) for q in (0, 50, 100) for m in (0, 4, 6)]
    for found, _ in read(probe, chunks, 130, 90):
        assert found == radial.tobytes().hex()


def test_damage(probe):
    plane = planes()["radial"]
    vp8l, deflated = vp8l_of(plane), b"\2" + bytes.fromhex("4b4c4a06")
    chunks = [b"", b"\0", b"\0\1\2", b"\3\0", vp8l[:50], b"\1" + b"\0" * 20, deflated]
    assert set(read(probe, chunks, 130, 90)) == {"CorruptError"}
    assert read(probe, [vp8l], 90, 130) == ["CorruptError"]
    whole = encode_alpha(planes()["noise"])
    assert whole[0] == 2
    damaged = [whole[:-5], whole + b"\0", whole]
    assert read(probe, damaged, 71, 64) == ["CorruptError"] * 3
    assert read(probe, damaged[:2], 72, 64) == ["CorruptError"] * 2
