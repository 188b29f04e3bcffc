"""Pillow opens, loads, saves, verifies and closes .glc files as those of its own plugins."""

from __future__ import annotations

import copy
import gc
import io
import pickle
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageDraw, ImageFile, UnidentifiedImageError

import glc.pillow
from glc.bitstream import Chunk, Container, pack, unpack
from glc.errors import WeightsError
from glc.weights.model_cache import codec_for_files, codec_named
from glc.weights.registry import MODELS_VARIABLE

REGISTRIES = ("OPEN", "SAVE", "EXTENSION", "MIME")


@pytest.fixture(autouse=True)
def registered(micro_path: Path) -> Iterator[None]:
    """Register with the micro model, and leave Pillow as it was."""
    # All plugins first: those that Pillow finds later would be forgotten with what is undone here.
    Image.init()
    before = {name: dict(getattr(Image, name)) for name in REGISTRIES}
    order = list(Image.ID)
    glc.pillow.register(micro_path)
    yield
    glc.pillow.register()
    for name, entries in before.items():
        getattr(Image, name).clear()
        getattr(Image, name).update(entries)
    Image.ID[:] = order


@pytest.fixture(scope="module")
def files(micro, make_picture) -> dict[str, bytes]:
    """One file per mode, of 70 x 50 pixels."""
    alpha = make_picture(50, 70, 3, 1)
    modes = {"RGB": Image.fromarray(make_picture(50, 70)), "L": Image.fromarray(alpha)}
    modes["RGBA"] = Image.fromarray(np.dstack([make_picture(50, 70), alpha]))
    modes["LA"] = modes["L"].copy()
    modes["LA"].putalpha(Image.fromarray(alpha))
    return {mode: micro.encode(image, 40) for mode, image in modes.items()}


@pytest.fixture
def path(files, tmp_path) -> Path:
    path = tmp_path / "photo.glc"
    path.write_bytes(files["RGB"])
    return path


def saved(image: Image.Image, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "GLC", **options)
    return stream.getvalue()


class TestOpenAndLoad:
    @pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA"])
    def test_mode_and_size_are_known_before_and_after_decoding(self, files, micro, mode):
        with Image.open(io.BytesIO(files[mode])) as image:
            assert (image.format, image.mode, image.size) == ("GLC", mode, (70, 50))
            assert image.get_format_mimetype() == "image/x-glc"
            image.load()
            assert (image.format, image.mode, image.size) == ("GLC", mode, (70, 50))
            np.testing.assert_array_equal(np.asarray(image), np.asarray(micro.decode(files[mode])))

    @pytest.mark.system
    def test_opening_costs_neither_torch_nor_weights(self, path):
        code = """
import sys
import glc.pillow
from PIL import Image
glc.pillow.register()
with Image.open(sys.argv[1]) as image:
    print(image.format, image.mode, image.size)
print(sorted({"torch", "numpy", "safetensors", "constriction"} & set(sys.modules)))
"""
        done = subprocess.run(
            [sys.executable, "-c", code, str(path)],
            cwd=Path(__file__).parent.parent,
            env={"GLC_MODELS": "/nowhere", "PATH": "/usr/bin"},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert done.stdout.splitlines() == ["GLC RGB (70, 50)", "[]"]

    def test_extension_and_mime_type_are_registered(self):
        assert Image.registered_extensions()[".glc"] == "GLC"
        assert Image.MIME["GLC"] == "image/x-glc"
        assert "GLC" in Image.OPEN
        assert "GLC" in Image.SAVE

    def test_registering_twice_changes_the_options_only(self, path):
        glc.pillow.register()
        assert Image.ID.count("GLC") == 1
        # The model of this file is loaded for the CPU only, and installed nowhere.
        glc.pillow.register(device="meta")
        with Image.open(path) as image, pytest.raises(OSError, match="not installed"):
            image.load()

    def test_the_format_can_be_asked_for_by_name(self, files):
        with Image.open(io.BytesIO(files["L"]), formats=["GLC"]) as image:
            assert image.mode == "L"
        with pytest.raises(UnidentifiedImageError):
            Image.open(io.BytesIO(files["L"]), formats=["PNG"])

    def test_incremental_parser(self, files):
        parser = ImageFile.Parser()
        parser.feed(files["RGB"])
        assert parser.close().size == (70, 50)

    def test_metadata_is_there_at_once(self, micro, make_picture):
        picture = Image.fromarray(make_picture(20, 30))
        exif = picture.getexif()
        exif[ExifTags.Base.Artist] = "somebody"
        data = saved(picture, exif=exif, xmp=b"<x:xmpmeta/>")
        with Image.open(io.BytesIO(data)) as image:
            assert image.getexif()[ExifTags.Base.Artist] == "somebody"
            assert image.info["xmp"] == b"<x:xmpmeta/>"

    def test_a_colour_profile_is_handed_on(self):
        data = pack(Container(8, 8, 1, b"abc", b"", (Chunk("i", b"profile"),)))
        with Image.open(io.BytesIO(data)) as image:
            assert image.info["icc_profile"] == b"profile"

    def test_the_model_is_found_by_what_the_file_says(self, path, micro_path, monkeypatch):
        glc.pillow.register()
        monkeypatch.setenv(MODELS_VARIABLE, str(micro_path.parent))
        with Image.open(path) as image:
            image.load()

    def test_a_model_of_another_file_does_not_get_in_the_way(self, files, monkeypatch):
        prefix = unpack(files["RGB"]).model
        other = type("Other", (), {"identity": b"\0" * 32})
        monkeypatch.setattr(glc.pillow, "codec_named", lambda *_: other)
        with Image.open(io.BytesIO(files["RGB"])) as image:
            image.load()
        assert codec_for_files(prefix, "cpu").identity.startswith(prefix)


class TestSave:
    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
    def test_every_mode_that_the_codec_takes(self, mode, tmp_path, make_picture):
        original = Image.fromarray(make_picture(40, 30)).convert(mode if mode != "I;16" else "I")
        if "A" in mode:
            original.putalpha(100)
        out = tmp_path / "out.glc"
        original.convert(mode).save(out)
        with Image.open(out) as image:
            assert image.size == original.size
            assert image.mode == {"1": "L", "P": "RGB", "CMYK": "RGB", "I;16": "L"}.get(mode, mode)

    def test_quality_is_what_the_codec_is_told(self, micro, make_picture):
        picture = Image.fromarray(make_picture(64, 64))
        assert saved(picture, quality=7) == micro.encode(picture, 7)
        assert saved(picture) == micro.encode(picture, 50)
        assert unpack(saved(picture, quality=93)).quality == 93

    @pytest.mark.parametrize("quality", [-1, 101, "high", 4.5])
    def test_a_wrong_quality_is_a_wrong_call_and_leaves_no_file(self, quality, tmp_path):
        out = tmp_path / "out.glc"
        with pytest.raises(ValueError, match="quality"):
            Image.new("RGB", (9, 9)).save(out, quality=quality)
        assert not out.exists()

    def test_the_model_is_an_option(self, tmp_path, make_model, export_model, make_picture):
        other = tmp_path / "other.safetensors"
        identity = export_model(other, make_model(5), "other")
        data = saved(Image.fromarray(make_picture(32, 32)), model=other)
        assert unpack(data).model == identity[:3]
        with Image.open(io.BytesIO(data)) as image:
            image.load()

    def test_a_missing_model_is_an_oserror_that_names_it(self, tmp_path):
        with pytest.raises(OSError, match="no weights file") as caught:
            Image.new("RGB", (9, 9)).save(tmp_path / "a.glc", model="gone.safetensors")
        assert isinstance(caught.value.__cause__, WeightsError)
        assert not (tmp_path / "a.glc").exists()

    def test_metadata_is_stored_when_asked_for(self, make_picture):
        exif = Image.Exif()
        exif[ExifTags.Base.Artist] = "somebody"
        exif[ExifTags.Base.Orientation] = 6
        stream = io.BytesIO()
        Image.fromarray(make_picture(20, 30)).save(stream, "JPEG", exif=exif)
        with Image.open(stream) as photo:
            plain, kept = saved(photo), saved(photo, keep_metadata=True)
            given, dropped = saved(photo, exif=exif.tobytes()), saved(photo, exif=b"")
        assert unpack(plain).chunks == ()
        # Turned upright each time but the last, which says that there is no orientation.
        assert [Image.open(io.BytesIO(data)).size for data in (plain, kept, given, dropped)] == [
            (20, 30),
            (20, 30),
            (20, 30),
            (30, 20),
        ]
        for data in (kept, given):
            stored = Image.open(io.BytesIO(data)).getexif()
            assert stored[ExifTags.Base.Artist] == "somebody"
            assert stored[ExifTags.Base.Orientation] == 1

    def test_convert_to_another_format(self, path, tmp_path, micro):
        with Image.open(path) as image:
            image.save(tmp_path / "photo.png")
        with Image.open(tmp_path / "photo.png") as image:
            expected = np.asarray(micro.decode(path.read_bytes()))
            np.testing.assert_array_equal(np.asarray(image), expected)


class TestUnchanged:
    def test_is_written_as_it_was_read(self, path, tmp_path):
        with Image.open(path) as image:
            image.save(tmp_path / "again.glc")
        assert (tmp_path / "again.glc").read_bytes() == path.read_bytes()

    def test_even_over_itself(self, path):
        before = path.read_bytes()
        with Image.open(path) as image:
            image.save(path)
        assert path.read_bytes() == before

    @pytest.mark.parametrize("move", [lambda i: pickle.loads(pickle.dumps(i)), copy.deepcopy])
    def test_also_after_a_journey(self, path, move):
        with Image.open(path) as image:
            moved = move(image)
        assert moved.format == "GLC"
        assert saved(moved) == path.read_bytes()

    @pytest.mark.parametrize(
        "change",
        [
            lambda image: image.putpixel((3, 3), (1, 2, 3)),
            lambda image: image.load().__setitem__((3, 3), (1, 2, 3)),
            lambda image: ImageDraw.Draw(image).line((0, 0, 9, 9), (250, 0, 0)),
            lambda image: image.paste((0, 0, 0), (0, 0, 8, 8)),
            lambda image: image.thumbnail((20, 20)),
            lambda image: image.putalpha(3),
        ],
    )
    def test_a_changed_picture_is_encoded(self, path, change):
        with Image.open(path) as image:
            image.load()
            change(image)
            data = saved(image)
        assert data != path.read_bytes()
        assert Image.open(io.BytesIO(data)).size == image.size

    def test_options_ask_for_encoding(self, path):
        with Image.open(path) as image:
            assert unpack(saved(image, quality=3)).quality == 3

    def test_derived_pictures_have_no_format(self, path):
        with Image.open(path) as image:
            assert image.copy().format is None
            assert image.resize((10, 10)).format is None


class TestStreams:
    def test_file_handle_stays_open_and_belongs_to_the_caller(self, path):
        with path.open("rb") as stream:
            image = Image.open(stream)
            image.load()
            assert not stream.closed
            stream.seek(0)
            assert stream.read(2) == b"g\xc2"

    def test_a_handle_is_read_from_its_start(self, path):
        with path.open("rb") as stream:
            stream.seek(5)
            assert Image.open(stream).size == (70, 50)

    def test_a_stream_that_cannot_seek(self, files):
        class Pipe(io.RawIOBase):
            def __init__(self, data: bytes) -> None:
                self.source = io.BytesIO(data)

            def read(self, size: int = -1) -> bytes:
                return self.source.read(size)

            def seekable(self) -> bool:
                return False

            def seek(self, *_: object) -> int:
                raise io.UnsupportedOperation

        with Image.open(Pipe(files["RGB"])) as image:
            image.load()
            assert image.size == (70, 50)

    def test_saving_goes_on_where_the_stream_is(self, make_picture):
        stream = io.BytesIO(b"before")
        stream.seek(6)
        Image.fromarray(make_picture(20, 20)).save(stream, "GLC")
        assert stream.getvalue()[:8] == b"beforeg\xc2"


class TestBroken:
    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"g",
            b"g\xc2",
            b"g\xc2abc\x7f" + bytes(30),
            b"not a picture at all",
            pack(Container(9, 9, 1, b"abc", b"")) + b"trailing",
        ],
    )
    def test_what_is_no_glc_file_is_not_identified(self, data):
        with pytest.raises(UnidentifiedImageError):
            Image.open(io.BytesIO(data))

    def test_every_prefix_is_not_identified(self, files):
        data = files["RGBA"]
        for length in range(0, len(data), 7):
            with pytest.raises(UnidentifiedImageError):
                Image.open(io.BytesIO(data[:length]))

    def test_the_class_itself_raises_a_syntaxerror(self):
        with pytest.raises(SyntaxError):
            glc.pillow.GlcImageFile(io.BytesIO(b"g\xc2"))

    def test_a_newer_version_is_named_in_a_warning(self):
        with (
            pytest.warns(UserWarning, match="version 3; this release of glc reads 1 and 2"),
            pytest.raises(UnidentifiedImageError),
        ):
            Image.open(io.BytesIO(b"g\xc3" + bytes(40)))

    def test_damage_shows_when_the_pixels_are_needed(self, files):
        data = bytearray(files["RGB"])
        data[-1] ^= 1
        image = Image.open(io.BytesIO(bytes(data)))
        for _ in range(2):
            with pytest.raises(OSError, match="checksum"):
                image.load()

    def test_a_missing_model_shows_when_the_pixels_are_needed(self):
        image = Image.open(io.BytesIO(pack(Container(9, 9, 1, b"abc", b"x"))))
        with pytest.raises(OSError, match="616263"):
            image.load()

    def test_bombs_are_refused_by_the_limit_of_pillow(self, monkeypatch):
        data = pack(Container(60_000, 60_000, 1, b"abc", b""))
        with pytest.raises(Image.DecompressionBombError):
            Image.open(io.BytesIO(data))
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
        assert Image.open(io.BytesIO(data)).size == (60_000, 60_000)

    def test_verify_accepts_a_good_file_without_pixels(self, path, micro, monkeypatch):
        codec = codec_named(glc.pillow._model, "cpu")
        monkeypatch.setattr(codec, "decode", None)
        image = Image.open(path)
        stream = image.fp
        image.verify()
        assert stream.closed

    def test_verify_finds_damage(self, files):
        data = bytearray(files["RGB"])
        data[12] ^= 0x10
        image = Image.open(io.BytesIO(bytes(data)))
        with pytest.raises(OSError, match=r"checksum|damaged|payload"):
            image.verify()


class TestClosing:
    def test_loading_closes_the_file_that_pillow_opened(self, path):
        image = Image.open(path)
        stream = image.fp
        assert not stream.closed
        image.load()
        assert stream.closed
        assert image.fp is None

    def test_context_manager_and_close(self, path):
        with Image.open(path) as image:
            stream = image.fp
        assert stream.closed
        image = Image.open(path)
        stream = image.fp
        image.close()
        assert stream.closed

    @pytest.mark.parametrize("use", ["load", "close", "verify"])
    def test_nothing_is_left_to_the_garbage_collector(self, path, use):
        with warnings.catch_warnings():
            warnings.simplefilter("error", ResourceWarning)
            image = Image.open(path)
            getattr(image, use)()
            del image
            gc.collect()

    def test_a_broken_file_is_closed(self, tmp_path):
        (tmp_path / "bad.glc").write_bytes(b"g\xc2abc")
        with warnings.catch_warnings():
            warnings.simplefilter("error", ResourceWarning)
            with pytest.raises(UnidentifiedImageError):
                Image.open(tmp_path / "bad.glc")
            gc.collect()


class TestOtherLibraries:
    def test_imageio(self, path, tmp_path, micro):
        iio = pytest.importorskip("imageio.v3")
        expected = np.asarray(micro.decode(path.read_bytes()))
        np.testing.assert_array_equal(iio.imread(path, plugin="pillow"), expected)
        np.testing.assert_array_equal(iio.imread(path.read_bytes(), plugin="pillow"), expected)
        assert iio.improps(path, plugin="pillow").shape == (50, 70, 3)
        iio.imwrite(tmp_path / "out.glc", expected, plugin="pillow", quality=40)
        assert unpack((tmp_path / "out.glc").read_bytes()).quality == 40

    def test_torchvision_folders(self, files, tmp_path):
        datasets = pytest.importorskip("torchvision.datasets")
        for name in ("cat", "dog"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "0.glc").write_bytes(files["RGB"])
        folder = datasets.DatasetFolder(
            str(tmp_path), datasets.folder.default_loader, extensions=(".glc",)
        )
        assert folder.classes == ["cat", "dog"]
        assert [(image.size, label) for image, label in folder] == [((70, 50), 0), ((70, 50), 1)]
        named = datasets.ImageFolder(str(tmp_path), is_valid_file=lambda p: p.endswith(".glc"))
        assert len(named) == 2

    def test_hugging_face_datasets_store_the_same_bytes_again(self, files):
        """Decoded from bytes and handed back, as ``Dataset.map`` does it."""
        datasets = pytest.importorskip("datasets")
        feature = datasets.Image()
        decoded = feature.decode_example({"path": None, "bytes": files["RGB"]})
        assert feature.encode_example(decoded) == {"path": None, "bytes": files["RGB"]}
        table = datasets.Dataset.from_dict(
            {"image": [files["RGB"]]}, features=datasets.Features({"image": feature})
        )
        mapped = table.map(lambda row: {"image": row["image"], "width": row["image"].width})
        stored = mapped.cast_column("image", datasets.Image(decode=False))[0]
        assert stored["image"]["bytes"] == files["RGB"]
        smaller = feature.encode_example(decoded.resize((10, 10)))
        assert smaller["bytes"].startswith(b"\x89PNG")

    def test_the_rule_of_hugging_face_datasets(self, files):
        """Its rule, for where it is not installed: formats that can be opened and saved stay."""
        image = Image.open(io.BytesIO(files["RGB"]))
        image.load()
        assert image.format in set(Image.OPEN) & set(Image.SAVE)
        stream = io.BytesIO()
        image.save(stream, format=image.format)
        assert stream.getvalue() == files["RGB"]
