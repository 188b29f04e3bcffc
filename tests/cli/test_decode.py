"""``glc decode``: formats, names and damaged files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def coded(glc, picture):
    """Return a function that makes a .glc file."""

    def make(name="a", **parameters):
        path = picture(f"{name}.png", **parameters)
        assert glc("encode", path, "-o", f"{name}.glc").code == 0
        original = path.read_bytes()
        path.unlink()
        return original

    return make


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
def test_picture_comes_back(glc, coded, picture, mode):
    coded(mode=mode)
    assert glc("decode", "a.glc").code == 0
    with Image.open("a.png") as image, Image.open(picture("b.png", mode=mode)) as original:
        assert image.mode == mode
        np.testing.assert_array_equal(np.asarray(image), np.asarray(original))


@pytest.mark.parametrize(
    ("arguments", "name", "kind"),
    [
        (["--format", "jpg"], "a.jpg", "JPEG"),
        (["--format", "webp"], "a.webp", "WEBP"),
        (["-o", "x.JPEG"], "x.JPEG", "JPEG"),
        (["-o", "x.webp"], "x.webp", "WEBP"),
        (["-o", "x"], "x", "PNG"),
        (["-o", "x", "--format", "jpg"], "x", "JPEG"),
        (["-o", "x.jpeg", "--format", "jpg"], "x.jpeg", "JPEG"),
        (["-o", "new/"], "new/a.png", "PNG"),
    ],
)
def test_format_follows_option_and_name(glc, coded, arguments, name, kind):
    coded(mode="RGBA")
    result = glc("decode", "a.glc", *arguments)
    assert result.code == 0
    with Image.open(name) as image:
        assert image.format == kind
    assert ("on white" in result.err) == (kind == "JPEG")


@pytest.mark.parametrize(
    "arguments", [["-o", "x.bmp"], ["-o", "x.png", "--format", "jpg"], ["--format", "gif"]]
)
def test_contradicting_formats_are_wrong_usage(glc, coded, arguments):
    coded()
    result = glc("decode", "a.glc", *arguments)
    assert result.code == 2
    assert len(result.err_lines) == 1


def test_the_original_is_not_overwritten(glc, coded, picture):
    coded()
    path = picture("a.png", width=3)
    before = path.read_bytes()
    assert glc("decode", "a.glc").code == 1
    assert path.read_bytes() == before


def test_json(glc, coded):
    coded()
    record = json.loads(glc("decode", "a.glc", "--json").out)
    assert record["input"] == "a.glc"
    assert record["output"] == "a.png"
    assert (record["width"], record["height"], record["quality"]) == (8, 6, 50)
    assert record["bytes"] == Path("a.glc").stat().st_size
    assert record["output_bytes"] == Path("a.png").stat().st_size


def test_each_kind_of_damage_is_one_line(glc, coded, tmp_path):
    coded()
    data = bytearray((tmp_path / "a.glc").read_bytes())
    data[60] ^= 1
    (tmp_path / "flipped.glc").write_bytes(data)
    (tmp_path / "cut.glc").write_bytes(data[:20])
    (tmp_path / "other.glc").write_bytes(b"\x89PNG and so on")
    data[2] ^= 1
    (tmp_path / "model.glc").write_bytes(data)
    result = glc("decode", "flipped.glc", "cut.glc", "other.glc", "model.glc", "a.glc")
    assert result.code == 1
    assert len(result.err_lines) == 5
    assert [line.split(": ")[1] for line in result.err_lines[:4]] == [
        *("flipped.glc", "cut.glc", "other.glc", "model.glc")
    ]
    assert "is not installed" in result.err_lines[3]
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix != ".glc") == ["a.png"]


def test_the_model_of_each_file_is_loaded_once(glc, fake_codec, coded):
    coded("a")
    coded("b")
    fake_codec.opened.clear()
    assert glc("decode", "a.glc", "b.glc", "-j", "2").code == 0
    assert len(fake_codec.opened) == 1
    assert str(fake_codec.opened[0][0]) == "fake.safetensors"


def test_int8_is_asked_of_the_codec(glc, fake_codec, coded):
    coded()
    fake_codec.precisions.clear()
    assert glc("decode", "--int8", "a.glc", "-o", "out.png").code == 0
    assert glc("decode", "a.glc", "-o", "other.png").code == 0
    assert fake_codec.precisions == ["int8", "float32"]


def test_int8_on_a_gpu_is_an_error():
    from codec_cli.support import codecs

    with pytest.raises(ValueError, match="precision int8 is for a CPU"):
        codecs.open_codec(None, "cuda", "int8")


def test_missing_model_is_said_once(glc, coded):
    coded("a")
    coded("b")
    result = glc("decode", "a.glc", "b.glc", "--model", "missing")
    assert result.code == 1
    assert len(result.err_lines) == 1


def test_large_exif_is_left_out_of_jpeg():
    from codec_cli.commands.decode import encoded_as

    image = Image.new("RGB", (4, 4))
    image.info["exif"] = b"Exif\0\0" + bytes(70_000)
    data, notices = encoded_as(image, "jpg")
    assert data.startswith(b"\xff\xd8")
    assert "EXIF" in notices[0]


@pytest.mark.parametrize(
    ("arguments", "expected"), [((), None), (("--realism", 0), 0), (("--realism=40.0",), 40)]
)
def test_realism_reaches_the_codec(glc, coded, fake_codec, arguments, expected):
    coded()
    result = glc("decode", "a.glc", *arguments)
    assert (result.code, "realism" in result.err) == (0, False)
    assert fake_codec.realisms == [expected]


@pytest.mark.parametrize("wrong", ["-1", "101", "0.5", "high", ""])
def test_wrong_realisms(glc, coded, wrong):
    coded()
    result = glc("decode", "a.glc", f"--realism={wrong}")
    assert result.code == 2
    assert "expected a whole number 0 to 100" in result.err


def test_a_model_that_takes_no_realism_is_named_once(glc, coded, fake_codec, monkeypatch):
    coded("a")
    coded("b")
    monkeypatch.setattr(fake_codec, "takes_realism", False)
    result = glc("decode", "a.glc", "b.glc", "--realism", 0)
    assert result.code == 0
    assert result.err.count("takes no realism") == 1
    assert "realism" not in glc("decode", "a.glc", "b.glc", "-f").err
    assert "realism" not in glc("decode", "a.glc", "-f", "--realism=9", "--quiet").err
