"""``--skip-existing`` tells an output of another source from its own, and says so."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pytest
from PIL import Image


def encode(glc, *arguments):
    return glc("encode", *arguments, "--skip-existing")


class TestEncode:
    @pytest.mark.parametrize("first", ["x.jpg", "x.webp", "x.bmp", "X.JPG"])
    def test_another_size(self, first, glc, picture):
        picture("first.png", width=8, height=6)
        with Image.open("first.png") as image:
            image.save(first)
        assert encode(glc, first, "-o", "x.glc").code == 0
        before = Path("x.glc").read_bytes()
        Path(first).unlink()
        picture("x.png", width=10, height=6)
        result = encode(glc, "x.png", "-o", "x.glc")
        assert result.code == 1
        assert "x.glc exists, but: it is of another picture: 8 x 6, not 10 x 6" in result.err
        assert Path("x.glc").read_bytes() == before
        assert glc("encode", "x.png", "-f").code == 0

    @pytest.mark.parametrize("other", ["x.jpg", "x.JPEG", "x.tif"])
    def test_the_same_size_and_name(self, other, glc, picture):
        picture("x.png", width=8, height=6)
        with Image.open("x.png") as image:
            image.save(other)
        assert encode(glc, other).code == 0
        result = encode(glc, "x.png")
        assert result.code == 1
        assert f"it may be that of {other}, which has the same name; use -o" in result.err
        assert encode(glc, "x.png", "-o", "y.glc").code == 0

    def test_another_folder(self, glc, picture):
        picture("a/x.png", width=8, height=6)
        picture("b/x.png", width=8, height=7)
        assert encode(glc, "a", "-o", "out/").code == 0
        result = encode(glc, "b", "-o", "out/")
        assert result.code == 1
        assert "8 x 6, not 8 x 7" in result.err

    def test_its_own_is_skipped(self, glc, picture):
        picture("a/x.png", width=8, height=6)
        picture("a/y.png", width=7, height=5)
        (Path("a") / "x.txt").write_text("no picture")
        (Path("a") / "x.tar.png").write_bytes((Path("a") / "y.png").read_bytes())
        for line in ("->", "skipped: exists"):
            result = encode(glc, "a")
            assert result.code == 0
            assert result.err.count(line) == 3

    def test_its_own_that_is_turned_is_skipped(self, glc, picture):
        exif = Image.Exif()
        exif[0x0112] = 6
        for kind in ("JPEG", "TIFF", "PNG"):
            stream = io.BytesIO()
            Image.new("RGB", (20, 10)).save(stream, kind, exif=exif)
            Path(f"{kind}.png").write_bytes(stream.getvalue())
            assert encode(glc, f"{kind}.png").code == 0
            assert "skipped" in encode(glc, f"{kind}.png").err

    def test_a_source_that_cannot_be_read_is_skipped_as_ever(self, glc, picture):
        picture("x.png")
        assert encode(glc, "x.png").code == 0
        Path("x.png").write_bytes(b"no picture")
        assert encode(glc, "x.png").code == 0

    def test_a_link_to_its_own_is_its_own(self, glc, picture):
        picture("x.png")
        Path("x.jpg").symlink_to("x.png")
        assert encode(glc, "x.png").code == 0
        assert "skipped" in encode(glc, "x.png").err

    def test_what_a_crash_left_is_made_again_whoever_made_it(self, glc, picture):
        picture("x.png", width=8, height=6)
        assert encode(glc, "x.png").code == 0
        data = Path("x.glc").read_bytes()
        Path("x.glc").write_bytes(data[:-9])
        shutil.copy("x.png", "x.bmp")
        assert encode(glc, "x.png").code == 0
        assert Path("x.glc").read_bytes() == data


class TestDecode:
    def test_another_size(self, glc, picture):
        for name, width in (("a/x.png", 8), ("b/x.png", 9)):
            picture(name, width=width, height=6)
        assert glc("encode", "a/x.png", "b/x.png").code == 0 or Path("a/x.glc").exists()
        assert glc("decode", "a/x.glc", "-o", "x.png").code == 0
        result = glc("decode", "b/x.glc", "-o", "x.png", "--skip-existing")
        assert result.code == 1
        assert "it is of another picture: 8 x 6, not 9 x 6" in result.err
        assert glc("decode", "a/x.glc", "-o", "x.png", "--skip-existing").code == 0
