"""The page: what it shows, by keyboard alone, in both themes, on narrow screens, and offline."""

from __future__ import annotations

import base64
import dataclasses
import io
import re

import numpy as np
import pytest
from PIL import Image

from glc.weights import registry

pytestmark = pytest.mark.system

NARROW, WIDE = 400, 1400


@pytest.fixture
def photo(make_picture, tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(make_picture(150, 220)).save(path)
    return path


@pytest.fixture
def coded(micro, make_picture, tmp_path):
    path = tmp_path / "coded.glc"
    path.write_bytes(micro.encode(make_picture(90, 120), 30))
    return path


def test_a_file_and_a_photo(browse, serve, micro_path, linear_path, coded, photo, tmp_path):
    url, _ = serve(linear_path, micro_path)
    shots = [
        [str(tmp_path / f"{width}-{theme}.png"), width, theme]
        for width in (NARROW, WIDE)
        for theme in ("light", "dark")
    ]
    found = browse("page", url, files=[str(coded), str(photo)], shots=shots)
    opened, compared = found["cards"]
    size = coded.stat().st_size
    assert opened["canvases"] == [[120, 90]]
    assert opened["facts"] == {
        "Size": "120 x 90",
        "File": f"{size} bytes",
        "Bits per pixel": f"{8 * size / (120 * 90):.4f}",
        "Quality": "30",
        "Model": f"micro ({coded.read_bytes()[2:5].hex()})",
    }
    assert compared["canvases"] == [[220, 150], [220, 150]]
    glc, *others = compared["kinds"]
    most = int(re.match(r"([\d,]+) bytes", glc)[1].replace(",", ""))
    for text in others:
        # Random weights spend so few bytes that a JPEG may not be so small.
        said = re.match(r"([\d,]+) bytes", text)
        assert (int(said[1].replace(",", "")) <= most) if said else "cannot" in text
    for key, shown in found["sizes"].items():
        assert f"{shown['width']} " in f"{key} ", "the page is wider than the screen"
    assert len({shown["back"] for shown in found["sizes"].values()}) == 2


def test_files_can_be_dropped(browse, serve, micro_path, coded, photo):
    url, _ = serve(micro_path)
    found = browse("drop", url, files=[str(coded), str(photo)])
    assert found["names"] == ["photo.png", "coded.glc"]
    assert found["prevented"] == [True] * 3, "else the browser opens the file itself"


def test_the_keyboard_is_enough(browse, serve, micro_path, photo):
    url, _ = serve(micro_path)
    found = browse("keyboard", url, photo=str(photo))
    assert found["first"] == "files"
    assert found["moves"] == ["50%", "45%", "100%", "0%"]
    assert found["second"] in ("JPEG", "WebP", "GLC")
    assert found["kinds"][0] != found["before"][0]
    assert found["nameless"] == 0


def test_the_quality_chooses_the_model(
    browse, serve, micro, micro_path, two_decoders, two_decoders_path, photo
):
    finer = dataclasses.replace(registry.describe(two_decoders_path), from_quality=60)
    url, _ = serve(registry.describe(micro_path), finer)
    qualities = [59, 60, 100, 20]
    found = browse("qualities", url, file=str(photo), model="", qualities=qualities)
    assert found["options"][0] == "by quality"
    assert len(found["options"]) == 3
    with Image.open(photo) as image:
        for quality, seen in zip(qualities, found["seen"], strict=True):
            codec = micro if quality < 60 else two_decoders
            assert seen["model"] == codec.name
            assert seen["realism"] == codec.takes_realism
            size = len(codec.encode(image, quality))
            assert seen["bytes"].startswith(f"{size:,} bytes")
    # Who names a model gets it at all qualities.
    found = browse("qualities", url, file=str(photo), model="micro", qualities=[100])
    assert found["seen"][0]["model"] == "micro"


def test_downloads(browse, serve, micro, micro_path, photo):
    url, _ = serve(micro_path)
    buttons = ["Download .glc", "Download PNG"]
    (first, data), (second, png) = browse("downloads", url, file=str(photo), buttons=buttons)
    assert (first, second) == ("photo.glc", "photo.png")
    with Image.open(photo) as image:
        assert base64.b64decode(data) == micro.encode(image, 50)
    with Image.open(io.BytesIO(base64.b64decode(png))) as image:
        shown = np.asarray(image.convert("RGB"), np.int16)
    expected = np.asarray(micro.decode(base64.b64decode(data)), np.int16)
    assert np.abs(shown - expected).max() <= 1


def test_offline_after_the_first_visit(browse, serve, micro_path, coded):
    url, _ = serve(micro_path)
    found = browse("offline", url, file=str(coded))
    assert found["card"]["message"] == ""
    assert found["card"]["canvases"] == [[120, 90]]
    assert found["isolated"]
    assert sum(name.startswith("glc-site-") for name in found["caches"]) == 1
    assert "glc-models" in found["caches"]
