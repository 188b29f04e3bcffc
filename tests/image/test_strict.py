"""Files that are cut off are errors, and no setting of a program for itself changes that."""

from __future__ import annotations

import io
import threading

import numpy as np
import pytest
from PIL import Image, ImageFile

from glc.errors import ImageError
from glc.image import load
from glc.image.strict import refusing_cut_files
from tests.picture_files import png, tiff

RNG = np.random.default_rng(9)
COLOUR = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
WIDE = RNG.integers(0, 65_536, (64, 64, 3)).astype(np.uint16)


def file_of(kind: str, **parameters) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(COLOUR).save(stream, kind, **parameters)
    return stream.getvalue()


FILES = {
    "JPEG": file_of("JPEG"),
    "JPEG, progressive": file_of("JPEG", progressive=True),
    "PNG": file_of("PNG"),
    "PNG, 16 bits": png(WIDE),
    "GIF": file_of("GIF"),
    "WebP": file_of("WEBP"),
    "WebP, lossless": file_of("WEBP", lossless=True),
    "TIFF": tiff(COLOUR, first=True, rows=8),
    "TIFF, LZW": tiff(COLOUR, first=True, rows=8, compression="lzw"),
    "TIFF, planes apart": tiff(WIDE, first=True, rows=8, planar=True),
    "BMP": file_of("BMP"),
    "PPM": file_of("PPM"),
    "TGA": file_of("TGA"),
    "AVIF": file_of("AVIF"),
    "JPEG 2000": file_of("JPEG2000"),
    "SGI": file_of("SGI"),
    "PCX": file_of("PCX"),
    "QOI": file_of("QOI"),
}


@pytest.fixture
def lenient(monkeypatch):
    """A program that wants cut files."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)


def damaged_png() -> bytes:
    data = bytearray(FILES["PNG"])
    data[len(data) // 2] ^= 0x55
    return bytes(data)


@pytest.mark.filterwarnings("ignore:Truncated File", "ignore:Corrupt EXIF")
class TestCutFiles:
    @pytest.mark.parametrize("name", FILES)
    @pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
    def test_are_refused_whatever_the_program_has_set(self, name, share, lenient):
        data = FILES[name]
        with pytest.raises(ImageError):
            load(data[: int(len(data) * share)])
        with (
            pytest.raises((ImageError, OSError)),
            Image.open(io.BytesIO(data[: int(len(data) * share)])) as image,
        ):
            load(image)
        assert ImageFile.LOAD_TRUNCATED_IMAGES is True
        assert load(data).rgb.shape == (64, 64, 3)

    @pytest.mark.parametrize("name", FILES)
    def test_are_refused_as_they_are_without_it(self, name):
        data = FILES[name]
        for share in (0.3, 0.6, 0.95):
            with pytest.raises(ImageError):
                load(data[: int(len(data) * share)])

    def test_so_are_damaged_ones(self, lenient):
        with pytest.raises(ImageError):
            load(damaged_png())

    def test_a_path_and_a_stream(self, lenient, tmp_path):
        path = tmp_path / "a.jpg"
        path.write_bytes(FILES["JPEG"][:900])
        with pytest.raises(ImageError):
            load(path)
        with path.open("rb") as stream, pytest.raises(ImageError):
            load(stream)


class TestTheSettingOfTheProgram:
    @pytest.mark.parametrize("value", [True, False, 1, 0])
    def test_is_there_again_afterwards(self, monkeypatch, value):
        monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", value)
        with refusing_cut_files(), refusing_cut_files():
            assert not ImageFile.LOAD_TRUNCATED_IMAGES
        assert bool(value) is ImageFile.LOAD_TRUNCATED_IMAGES

    def test_holds_in_its_other_threads_meanwhile(self, lenient):
        inside, leave = threading.Event(), threading.Event()

        def strict() -> None:
            with refusing_cut_files():
                inside.set()
                leave.wait(10)

        thread = threading.Thread(target=strict)
        thread.start()
        inside.wait(10)
        try:
            assert ImageFile.LOAD_TRUNCATED_IMAGES
            with Image.open(io.BytesIO(FILES["JPEG"][:900])) as image:
                image.load()
        finally:
            leave.set()
            thread.join()
        assert ImageFile.LOAD_TRUNCATED_IMAGES is True

    def test_that_it_makes_meanwhile_stays(self, monkeypatch):
        monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", False)
        with refusing_cut_files():
            ImageFile.LOAD_TRUNCATED_IMAGES = True
        assert ImageFile.LOAD_TRUNCATED_IMAGES is True

    def test_survives_an_error(self, lenient):
        with pytest.raises(KeyError), refusing_cut_files():
            raise KeyError
        assert ImageFile.LOAD_TRUNCATED_IMAGES is True

    def test_many_threads_at_once(self, lenient):
        cut, whole = FILES["JPEG"][:900], FILES["JPEG"]
        wrong: list[str] = []

        def ours() -> None:
            for _ in range(30):
                try:
                    load(cut)
                except ImageError:
                    continue
                wrong.append("a cut file was taken")

        def theirs() -> None:
            for data in [cut, whole] * 30:
                try:
                    with Image.open(io.BytesIO(data)) as image:
                        image.load()
                except OSError as error:
                    wrong.append(f"the program's own loading failed: {error}")

        threads = [threading.Thread(target=run) for run in (ours, theirs, ours, theirs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert ImageFile.LOAD_TRUNCATED_IMAGES is True
