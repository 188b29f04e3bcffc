"""The library in a real browser: golden files, pictures, damage, and nothing that is forbidden."""

from __future__ import annotations

import base64
import io
import json
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glc import Codec
from glc.errors import GlcError
from glc.weights import registry

pytestmark = pytest.mark.system

GOLDEN = Path(__file__).parents[1] / "golden"
SIZES = ((64, 64), (45, 130), (200, 150), (129, 257), (96, 320))
QUALITIES = (15, 60, 95)


def levels(image) -> np.ndarray:
    return np.asarray(image.convert("RGBA"), np.int16)


def pixels_of(path: str, size: list[int]) -> np.ndarray:
    return np.fromfile(path, np.uint8).reshape(size[1], size[0], 4).astype(np.int16)


def model_of(path: Path) -> str:
    return f"models/{registry.describe(path).identity.hex()[:16]}.safetensors"


@pytest.mark.parametrize("fixture", ["browse", "browse_firefox"])
@pytest.mark.parametrize("folder", ["v1", "v2"])
def test_golden_files(folder, fixture, request, serve, tmp_path):
    browse = request.getfixturevalue(fixture)
    weights = GOLDEN / folder / "golden.safetensors"
    url, _ = serve(weights)
    expected = json.loads((GOLDEN / folder / "expected.json").read_text())["files"]
    paths = sorted((GOLDEN / folder).glob("*.glc"))
    outputs = [str(tmp_path / f"{path.stem}.rgba") for path in paths]
    decode = [[str(path), None, out] for path, out in zip(paths, outputs, strict=True)]
    verify = [path.read_bytes().hex() for path in paths]
    found = browse("library", url, model=model_of(weights), decode=decode, verify=verify)
    assert found["verified"] == [expected[path.stem]["symbols"] for path in paths]
    assert found["isolated"]
    for path, output, decoded in zip(paths, outputs, found["decoded"], strict=True):
        with Image.open(path.with_suffix(".png")) as image:
            shown = pixels_of(output, decoded["size"])
            assert np.abs(shown - levels(image)).max() <= 1
            # A canvas multiplies colours by alpha, and may lose some.
            assert decoded["canvas"] or image.mode == "RGBA"
        assert decoded["told"] == sorted(decoded["told"])
        assert decoded["told"][-1] == pytest.approx(1.0)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kind", ["micro", "linear", "two_decoders"])
def test_pictures(kind, threads, request, browse, serve, make_picture, tmp_path):
    """Five pictures at three qualities, both ways; what is encoded is byte for byte Python's."""
    weights = request.getfixturevalue(f"{kind}_path")
    codec = request.getfixturevalue(kind)
    url, _ = serve(weights)
    decode, encode, files = [], [], []
    for number, size in enumerate(SIZES):
        pixels = make_picture(*size, number)
        source = tmp_path / f"{number}.png"
        Image.fromarray(pixels).save(source)
        for quality in QUALITIES:
            data = codec.encode(pixels, quality)
            path = tmp_path / f"{number}-{quality}.glc"
            path.write_bytes(data)
            files.append(data)
            decode.append([str(path), None, str(path.with_suffix(".rgba"))])
            encode.append([str(source), quality])
    arguments = {"model": model_of(weights), "threads": threads}
    found = browse("library", url, decode=decode, encode=encode, **arguments)
    assert found["takesRealism"] == (kind != "micro")
    for data, job, decoded in zip(files, decode, found["decoded"], strict=True):
        shown = pixels_of(job[2], decoded["size"])
        assert np.abs(shown - levels(codec.decode(data))).max() <= 1
    assert [base64.b64decode(text) for text in found["encoded"]] == files


def test_pictures_of_every_kind(micro, micro_path, browse, serve, make_picture, tmp_path):
    """Grey comes back grey, a mask without loss, a photo turned upright; text is an error."""
    url, _ = serve(micro_path)
    rgb, grey = make_picture(48, 80), make_picture(48, 80, channels=1)
    masked = np.dstack((rgb, np.where(rgb[..., 0] > 128, 255, 90).astype(np.uint8)))
    for name, pixels in (("grey.png", grey), ("masked.png", masked)):
        Image.fromarray(pixels).save(tmp_path / name)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(rgb).save(tmp_path / "turned.jpg", quality=95, exif=exif)
    Image.fromarray(grey).save(tmp_path / "grey.jpg", quality=95)
    (tmp_path / "text.png").write_bytes(b"no picture")
    names = ["grey.png", "masked.png", "turned.jpg", "grey.jpg", "text.png"]
    encode = [[str(tmp_path / name), 50] for name in names]
    found = browse("library", url, model=model_of(micro_path), encode=encode)["encoded"]
    assert found.pop()["error"] == "ImageError"
    files = [base64.b64decode(text) for text in found]
    assert files[0] == micro.encode(grey, 50)
    images = [micro.decode(data) for data in files]
    assert [image.mode for image in images] == ["L", "RGBA", "RGB", "L"]
    assert np.array_equal(np.asarray(images[1])[..., 3], masked[..., 3])
    assert images[2].size == (48, 80)


def test_prefixes_and_bit_flips(browse, serve):
    path = GOLDEN / "v2" / "colour.glc"
    weights = path.parent / "golden.safetensors"
    data, rng = path.read_bytes(), random.Random(3)
    damaged = [data[:length] for length in range(len(data))]
    for place in rng.sample(range(8 * len(data)), 500):
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << place % 8
        damaged.append(bytes(flipped))
    url, _ = serve(weights)
    verify = [item.hex() for item in damaged]
    found = browse("library", url, model=model_of(weights), verify=verify)["verified"]
    codec = Codec.from_pretrained(weights, device="cpu")
    expected = []
    for item in damaged:
        try:
            codec.verify(item)
            expected.append("")
        except GlcError as error:
            expected.append(type(error).__name__)
    assert ["" if len(answer) == 64 else answer for answer in found] == expected


def test_changed_weights_are_refused_by_the_page(browse, serve, micro, micro_path, tmp_path):
    url, folder = serve(micro_path)
    weights = folder / model_of(micro_path)
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    coded = tmp_path / "picture.glc"
    coded.write_bytes(micro.encode(np.zeros((16, 16, 3), np.uint8)))
    (card,) = browse("page", url, files=[str(coded)])["cards"]
    assert card["message"].startswith("WeightsError: model micro: what came is not the model")


def test_a_file_that_ends_early_is_named_on_the_page(browse, serve, micro, micro_path, tmp_path):
    url, _ = serve(micro_path)
    whole = micro.encode(np.zeros((16, 16, 3), np.uint8))
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "BMP")
    names = {
        "short.glc": (whole[:-1], "TruncatedError"),
        "renamed.glc": (stream.getvalue(), "NotGlcError"),
        "other.glc": (whole[:2] + b"abc" + whole[5:], "WeightsError"),
        "text.jpg": (b"text", "ImageError"),
    }
    for name, (data, _) in names.items():
        (tmp_path / name).write_bytes(data)
    cards = browse("page", url, files=[str(tmp_path / name) for name in names])["cards"]
    for card, (name, (_, error)) in zip(cards, names.items(), strict=True):
        assert card["name"] == name
        assert card["message"].startswith(f"{error}: ")
