"""Every kind of picture becomes upright 8-bit sRGB, and alpha survives bit by bit."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from glc.errors import CorruptError, GlcError, ImageError
from glc.image import bands, decode_alpha, encode_alpha, from_array, load, to_pil
from tests.picture_files import png, tiff

RNG = np.random.default_rng(7)
COLOUR = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
PLANE = RNG.integers(0, 255, (5, 7), dtype=np.uint8)


def file_of(image: Image.Image, kind: str = "PNG", **parameters) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **parameters)
    return stream.getvalue()


def png16(values: np.ndarray, transparent: bytes | None = None) -> bytes:
    height, width, channels = values.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))]
    chunks += [(b"tRNS", transparent)] if transparent else []
    chunks += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))
        for tag, data in chunks
    )


def rounded(values: np.ndarray) -> np.ndarray:
    return np.rint(values / 257).astype(np.uint8)


def other_profile() -> bytes:
    """An RGB profile that is not sRGB: primaries exchanged by way of its header bytes."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = profile.index(b"rXYZ"), profile.index(b"gXYZ")
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    name = profile.index("sRGB".encode("utf-16-be"))
    profile[name : name + 8] = "test".encode("utf-16-be")
    return bytes(profile)


class TestModes:
    def test_rgb_is_taken_as_it_is(self):
        picture = load(Image.fromarray(COLOUR))
        np.testing.assert_array_equal(picture.rgb, COLOUR)
        assert picture.alpha is None
        assert not picture.grey
        assert picture.notices == ()

    @pytest.mark.parametrize("mode", ["L", "1"])
    def test_grey_comes_back_grey(self, mode):
        image = Image.fromarray(PLANE).convert(mode)
        picture = load(file_of(image))
        assert picture.grey
        np.testing.assert_array_equal(np.asarray(to_pil(picture)), np.asarray(image.convert("L")))
        assert to_pil(picture).mode == "L"

    @pytest.mark.parametrize("mode", ["LA", "RGBA"])
    def test_alpha_is_kept(self, mode):
        image = Image.fromarray(np.dstack((COLOUR, PLANE))).convert(mode)
        picture = load(file_of(image))
        np.testing.assert_array_equal(picture.alpha, PLANE)
        assert picture.grey == (mode == "LA")
        assert to_pil(picture).mode == mode
        np.testing.assert_array_equal(np.asarray(to_pil(picture)), np.asarray(image))

    @pytest.mark.parametrize("mode", ["LA", "RGBA"])
    def test_opaque_alpha_is_dropped(self, mode):
        image = Image.fromarray(COLOUR).convert(mode)
        assert load(image).alpha is None

    def test_palette(self):
        image = Image.fromarray(COLOUR).quantize(16)
        picture = load(file_of(image))
        np.testing.assert_array_equal(picture.rgb, np.asarray(image.convert("RGB")))
        assert picture.alpha is None
        assert not picture.grey

    def test_palette_with_transparency(self):
        image = Image.fromarray(COLOUR).quantize(16)
        data = file_of(image, transparency=3)
        picture = load(data)
        np.testing.assert_array_equal(picture.alpha == 0, np.asarray(image) == 3)

    @pytest.mark.parametrize("mode", ["RGB", "L"])
    def test_transparent_colour(self, mode):
        image = Image.fromarray(COLOUR).convert(mode)
        picture = load(file_of(image, transparency=image.getpixel((2, 1))))
        assert picture.alpha is not None
        assert picture.alpha[1, 2] == 0
        assert (picture.alpha == 0).sum() == 1
        assert picture.grey == (mode == "L")

    @pytest.mark.parametrize("mode", ["RGBa", "La", "PA", "HSV", "YCbCr", "CMYK", "RGBX"])
    def test_other_modes_are_those_of_pillow(self, mode):
        solid = Image.new("RGBA", (3, 2), (200, 100, 50, 255))
        first = {"La": "LA", "RGBa": "RGBA", "PA": "P"}.get(mode, "RGB")
        image = solid.convert(first).convert(mode)
        picture = load(image)
        expected = image.convert("RGBA") if mode == "RGBa" else image
        expected = image.convert("LA") if mode == "La" else expected
        np.testing.assert_array_equal(picture.rgb, np.asarray(expected.convert("RGB")))
        assert picture.grey == (mode == "La")

    def test_lab(self):
        solid = Image.new("RGB", (2, 2), (200, 100, 50))
        to_lab = ImageCms.buildTransform(
            ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
        )
        picture = load(ImageCms.applyTransform(solid, to_lab))
        assert np.abs(picture.rgb.astype(int) - np.asarray(solid)).max() <= 3

    def test_cmyk_jpeg(self):
        image = Image.new("RGB", (16, 16), (200, 100, 50)).convert("CMYK")
        picture = load(file_of(image, "JPEG", quality=100))
        assert np.abs(picture.rgb.astype(int) - (200, 100, 50)).max() <= 3


class TestTransparentColours:
    """A colour that is transparent, in a picture without alpha of its own."""

    @pytest.mark.parametrize("bits", [1, 2, 4, 8])
    @pytest.mark.parametrize("place", ["first", "last", "between"])
    def test_of_grey_pictures_of_few_bits(self, bits, place):
        largest = (1 << bits) - 1
        values = RNG.integers(0, largest + 1, (9, 13, 1)).astype(np.uint8)
        key = {"first": 0, "last": largest, "between": largest // 2}[place]
        values[2, 3] = key
        picture = load(png(values, bits=bits, chunks=[(b"tRNS", struct.pack(">H", key))]))
        np.testing.assert_array_equal(picture.alpha == 0, values[..., 0] == key)
        np.testing.assert_array_equal(picture.rgb[..., 0], values[..., 0] * (255 // largest))
        assert picture.grey

    @pytest.mark.parametrize(("bits", "key"), [(2, 0xFF01), (4, 0x0105), (8, 0x0140)])
    def test_only_so_many_bits_count_as_a_sample_has(self, bits, key):
        values = np.arange(1 << bits, dtype=np.uint8).reshape(1, -1, 1)
        picture = load(png(values, bits=bits, chunks=[(b"tRNS", struct.pack(">H", key))]))
        assert np.flatnonzero(picture.alpha == 0).tolist() == [key & ((1 << bits) - 1)]

    def test_of_colour_pictures_bits_beyond_count_neither(self):
        key = struct.pack(">3H", *(0xFF00 | int(value) for value in COLOUR[1, 2]))
        picture = load(png(COLOUR, chunks=[(b"tRNS", key)]))
        assert picture.alpha[1, 2] == 0
        assert (picture.alpha == 0).sum() == 1
        np.testing.assert_array_equal(picture.rgb, COLOUR)

    def test_that_no_pixel_has_leaves_no_alpha(self):
        values = np.zeros((3, 4, 1), np.uint8)
        picture = load(png(values, bits=4, chunks=[(b"tRNS", struct.pack(">H", 7))]))
        assert picture.alpha is None

    @pytest.mark.parametrize("bits", [2, 4])
    def test_of_an_opened_image(self, bits):
        values = np.arange(1 << bits, dtype=np.uint8).reshape(1, -1, 1)
        data = png(values, bits=bits, chunks=[(b"tRNS", struct.pack(">H", 1))])
        with Image.open(io.BytesIO(data)) as image:
            picture = load(image)
            assert image.info["transparency"] == 1
        assert np.flatnonzero(picture.alpha == 0).tolist() == [1]


class TestDepth:
    VALUES = RNG.integers(0, 65_536, (6, 5, 4))

    @pytest.mark.parametrize("channels", [1, 3, 4])
    def test_16_bit_png_is_rounded(self, channels):
        values = self.VALUES[..., :channels]
        picture = load(png16(values))
        np.testing.assert_array_equal(picture.rgb[..., 0], rounded(values[..., 0]))
        np.testing.assert_array_equal(picture.rgb[..., 2], rounded(values[..., 2 % channels]))
        if channels == 4:
            np.testing.assert_array_equal(picture.alpha, rounded(values[..., 3]))
        assert picture.grey == (channels == 1)
        assert any("16 bits" in notice for notice in picture.notices)

    def test_16_bit_grey_with_alpha(self):
        values = self.VALUES[..., :2]
        picture = load(png16(values))
        assert picture.grey
        np.testing.assert_array_equal(picture.rgb, np.repeat(rounded(values[..., :1]), 3, axis=2))
        np.testing.assert_array_equal(picture.alpha, rounded(values[..., 1]))
        assert picture.notices == ("16 bits per channel, reduced to 8",)

    @pytest.mark.parametrize("order", ["<", ">"])
    def test_16_bit_tiff_is_rounded(self, order):
        values = self.VALUES[..., :3]
        tags = {256: 5, 257: 6, 258: 0, 259: 1, 262: 2, 273: 8, 277: 3, 278: 6, 279: 180}
        start = 8 + values.size * 2
        tags[258] = start + 2 + 12 * len(tags) + 4
        mark = b"II*\0" if order == "<" else b"MM\0*"
        entries = (
            struct.pack(f"{order}HHII", tag, 3 if tag == 258 else 4, 3 if tag == 258 else 1, value)
            for tag, value in tags.items()
        )
        data = mark + struct.pack(f"{order}I", start) + values.astype(f"{order}u2").tobytes()
        data += struct.pack(f"{order}H", len(tags)) + b"".join(entries) + bytes(4)
        picture = load(data + struct.pack(f"{order}3H", 16, 16, 16))
        np.testing.assert_array_equal(picture.rgb, rounded(values))

    @pytest.mark.parametrize("channels", [1, 3])
    def test_16_bit_transparent_colour(self, channels):
        values = self.VALUES[..., :channels]
        picture = load(png16(values, values[2, 1].astype(">u2").tobytes()))
        assert picture.alpha is not None
        assert picture.alpha[2, 1] == 0
        assert (picture.alpha == 0).sum() == 1

    @pytest.mark.parametrize("mode", ["I;16", "I;16B", "I;16L"])
    def test_16_bit_images_in_memory(self, mode):
        values = self.VALUES[..., 0]
        order = ">u2" if mode == "I;16B" else "<u2"
        image = Image.frombytes(mode, (5, 6), values.astype(order).tobytes())
        np.testing.assert_array_equal(load(image).rgb[..., 1], rounded(values))

    def test_32_bit_integers_count_as_16_bits(self):
        image = Image.fromarray(np.array([[0, 257, 65_535, 70_000, -4]], np.int32))
        picture = load(image)
        assert picture.rgb[0, :, 0].tolist() == [0, 1, 255, 255, 0]
        assert picture.notices

    @pytest.mark.parametrize(
        ("values", "expected"),
        [([0.0, 0.5, 1.0], [0, 128, 255]), ([0.0, 99.6, 300.0], [0, 100, 255])],
    )
    def test_floats(self, values, expected):
        picture = load(Image.fromarray(np.array([values], np.float32)))
        assert picture.rgb[0, :, 0].tolist() == expected
        assert picture.notices

    def test_floats_that_are_not_finite_are_refused(self):
        with pytest.raises(ImageError, match="finite"):
            load(Image.fromarray(np.array([[0.0, np.nan]], np.float32)))


class TestOrientation:
    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
    def test_is_applied_once(self, orientation, kind):
        image = Image.fromarray(np.dstack((COLOUR, PLANE)))
        exif = Image.Exif()
        exif[0x0112] = orientation
        parameters = {"lossless": True, "exact": True} if kind == "WEBP" else {}
        data = file_of(image, kind, exif=exif, **parameters)
        picture = load(data)
        tagged = Image.fromarray(np.dstack((COLOUR, PLANE)))
        tagged.getexif()[0x0112] = orientation
        upright = np.asarray(ImageOps.exif_transpose(tagged))
        np.testing.assert_array_equal(picture.rgb, upright[..., :3])
        np.testing.assert_array_equal(picture.alpha, upright[..., 3])
        if picture.exif is not None:
            assert to_pil(picture).getexif()[0x0112] == 1

    def test_kept_exif_changes_in_the_orientation_only(self):
        exif = Image.Exif()
        exif[0x0112], exif[0x010F] = 6, "Maker"
        exif.get_ifd(0x8769)[0x927C] = b"maker note"
        original = exif.tobytes()
        picture = load(file_of(Image.fromarray(COLOUR), "JPEG", exif=original))
        kept = Image.Exif()
        kept.load(picture.exif)
        assert kept[0x0112] == 1
        assert kept[0x010F] == "Maker"
        assert len(picture.exif) == len(original.removeprefix(b"Exif\0\0"))
        assert b"maker note" in picture.exif

    def test_kept_exif_of_a_tiff_is_what_describes_it(self):
        exif = Image.Exif()
        exif[0x0112], exif[0x010F] = 6, "Maker"
        exif[0x8769] = {0x829A: 0.5}
        # Pillow writes directories into a TIFF only if it has read them from somewhere.
        read = Image.Exif()
        read.load(exif.tobytes())
        picture = load(file_of(Image.fromarray(COLOUR), "TIFF", exif=read))
        assert picture.rgb.shape == (7, 5, 3)
        kept = Image.Exif()
        kept.load(picture.exif)
        assert kept[0x010F] == "Maker"
        assert kept.get_ifd(0x8769)[0x829A] == 0.5
        assert 0x0100 not in kept
        assert kept.get(0x0112, 1) == 1

    @pytest.mark.parametrize(
        "form", [b'<x tiff:Orientation="6"/>', b"<tiff:Orientation>6</tiff:Orientation>"]
    )
    def test_xmp_orientation_is_applied_and_reset(self, form):
        xmp = b"<x:xmpmeta>" + form + b"</x:xmpmeta>"
        picture = load(file_of(Image.fromarray(COLOUR), "WEBP", xmp=xmp, lossless=True))
        assert picture.rgb.shape == (7, 5, 3)
        assert picture.xmp == xmp.replace(b"6", b"1")

    @pytest.mark.filterwarnings("ignore:Corrupt EXIF")
    @pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b""])
    def test_damaged_exif_is_no_reason_to_refuse(self, exif):
        picture = load(file_of(Image.fromarray(COLOUR), "JPEG", exif=exif))
        assert picture.exif is None


class TestColour:
    def test_profile_is_converted(self):
        data = file_of(Image.fromarray(COLOUR), icc_profile=other_profile())
        picture = load(data)
        assert picture.notices == ()
        assert np.abs(picture.rgb.astype(int) - COLOUR).max() > 20

    def test_srgb_profile_changes_nothing(self):
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        picture = load(file_of(Image.fromarray(COLOUR), icc_profile=profile))
        np.testing.assert_array_equal(picture.rgb, COLOUR)

    def test_alpha_survives_the_conversion(self):
        image = Image.fromarray(np.dstack((COLOUR, PLANE)))
        picture = load(file_of(image, icc_profile=other_profile()))
        np.testing.assert_array_equal(picture.alpha, PLANE)

    def test_grey_with_a_colour_profile_stays_grey(self):
        picture = load(file_of(Image.fromarray(PLANE), icc_profile=other_profile()))
        assert picture.grey
        assert picture.notices == ()
        assert (picture.rgb == picture.rgb[..., :1]).all()

    @pytest.mark.parametrize("profile", [b"no profile at all", other_profile()[:200]])
    def test_broken_profile_is_a_notice(self, profile):
        picture = load(file_of(Image.fromarray(COLOUR), icc_profile=profile))
        np.testing.assert_array_equal(picture.rgb, COLOUR)
        assert "profile" in picture.notices[0]

    def test_profile_of_another_kind_of_pixels_is_a_notice(self):
        image = Image.fromarray(COLOUR).convert("CMYK")
        picture = load(file_of(image, "TIFF", icc_profile=other_profile()))
        assert "profile" in picture.notices[0]


class TestShapes:
    @pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1)])
    def test_extreme_sizes(self, size):
        picture = load(file_of(Image.new("RGB", size, (1, 2, 3))))
        assert (picture.width, picture.height) == size

    def test_animation_gives_the_first_frame(self):
        frames = [Image.new("RGB", (4, 3), c) for c in ("red", "green", "blue")]
        picture = load(file_of(frames[0], "GIF", save_all=True, append_images=frames[1:]))
        assert picture.rgb[0, 0].tolist() == [255, 0, 0]
        assert picture.notices == ("3 frames; only number 1 is kept",)

    def test_damaged_later_frames_do_not_matter(self):
        frames = [Image.fromarray(np.roll(COLOUR, k, 0)).resize((64, 64)) for k in range(3)]
        data = file_of(frames[0], "TIFF", save_all=True, append_images=frames[1:])
        picture = load(data[: -64 * 64 * 3])
        assert "frames" in picture.notices[0]
        np.testing.assert_array_equal(picture.rgb, np.asarray(frames[0]))


class TestSources:
    def test_all_kinds_agree(self, tmp_path):
        path = tmp_path / "a.png"
        data = file_of(Image.fromarray(COLOUR))
        path.write_bytes(data)
        with path.open("rb") as stream:
            pictures = [load(path), load(str(path)), load(data), load(stream)]
        for picture in pictures:
            np.testing.assert_array_equal(picture.rgb, COLOUR)

    def test_the_callers_image_is_left_alone(self):
        image = Image.fromarray(COLOUR)
        image.getexif()[0x0112] = 6
        assert load(image).rgb.shape == (7, 5, 3)
        assert image.size == (7, 5)
        assert image.getexif()[0x0112] == 6

    def test_another_type_is_a_wrong_call(self):
        with pytest.raises(TypeError, match="found int"):
            load(5)

    @pytest.mark.parametrize("data", [b"", b"text", b"\x89PNG\r\n\x1a\n", b"GIF89a"])
    def test_other_data_is_named_in_one_line(self, data, tmp_path):
        path = tmp_path / "odd.png"
        path.write_bytes(data)
        with pytest.raises(ImageError) as caught:
            load(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)

    @pytest.mark.filterwarnings("ignore:Corrupt EXIF", "ignore:Truncated File")
    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF"])
    def test_truncated_files_are_errors(self, kind):
        data = file_of(Image.fromarray(COLOUR).resize((64, 64)), kind)
        for length in range(0, len(data) // 2, 7):
            with pytest.raises(ImageError):
                load(data[:length])

    def test_missing_file_and_folder(self, tmp_path):
        with pytest.raises(ImageError, match="No such file"):
            load(tmp_path / "none.png")
        with pytest.raises(ImageError, match="directory"):
            load(tmp_path)

    def test_bomb_is_refused(self, monkeypatch):
        data = file_of(Image.new("1", (100, 100)))
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
        with pytest.raises(ImageError, match="too many pixels"):
            load(data, "bomb.png")


class TestArrays:
    def test_shapes(self):
        assert from_array(PLANE).grey
        np.testing.assert_array_equal(from_array(PLANE).rgb[..., 2], PLANE)
        np.testing.assert_array_equal(from_array(COLOUR).rgb, COLOUR)
        np.testing.assert_array_equal(from_array(np.dstack((COLOUR, PLANE))).alpha, PLANE)
        opaque = np.dstack((COLOUR, np.full_like(PLANE, 255)))
        assert from_array(opaque).alpha is None

    @pytest.mark.parametrize(
        "array",
        [
            np.zeros((4, 4, 3), np.float32),
            np.zeros((4, 4), np.uint16),
            np.zeros((4, 4), bool),
            np.zeros((4, 4, 2), np.uint8),
            np.zeros((3, 4, 4, 3), np.uint8),
            np.zeros((0, 4, 3), np.uint8),
        ],
    )
    def test_others_are_wrong_calls(self, array):
        with pytest.raises(ValueError, match="expected"):
            from_array(array)


def masks() -> Iterator[np.ndarray]:
    y, x = np.mgrid[:60, :90]
    yield np.full((60, 90), 77, np.uint8)
    yield ((np.hypot(x - 45, y - 30) < 20) * 255).astype(np.uint8)
    yield np.clip(255 - np.hypot(x - 45, y - 30) * 6, 0, 255).astype(np.uint8)
    yield RNG.integers(0, 256, (60, 90), dtype=np.uint8)
    yield RNG.integers(0, 256, (1, 17_000), dtype=np.uint8)
    yield RNG.integers(0, 256, (17_000, 1), dtype=np.uint8)
    yield np.array([[3, 4]], np.uint8)
    yield np.array([[9]], np.uint8)


class TestAlpha:
    @pytest.mark.parametrize("mask", [*masks()])
    def test_is_lossless(self, mask):
        height, width = mask.shape
        np.testing.assert_array_equal(decode_alpha(encode_alpha(mask), width, height), mask)

    def test_is_compact(self):
        y, x = np.mgrid[:256, :256]
        disc = ((np.hypot(x - 128, y - 128) < 90) * 255).astype(np.uint8)
        assert len(encode_alpha(disc)) < 350
        assert len(encode_alpha(np.full((256, 256), 9, np.uint8))) == 2

    @pytest.mark.parametrize("mask", [*masks()][1:6])
    def test_another_size_is_refused(self, mask):
        height, width = mask.shape
        data = encode_alpha(mask)
        for size in [(width + 1, height), (width, height + 1), (width + 1, max(1, height - 1))]:
            with pytest.raises(CorruptError):
                decode_alpha(data, *size)

    @pytest.mark.parametrize("mask", [*masks()][:4])
    def test_every_prefix_is_an_error_or_the_same(self, mask):
        data = encode_alpha(mask)
        for length in range(0, len(data), max(1, len(data) // 200)):
            try:
                np.testing.assert_array_equal(decode_alpha(data[:length], 90, 60), mask)
            except CorruptError:
                continue

    def test_a_deflate_bomb_stays_small(self):
        compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
        data = b"\x02" + compressor.compress(bytes(50_000_000)) + compressor.flush()
        tracemalloc.start()
        try:
            with pytest.raises(CorruptError):
                decode_alpha(data, 10, 10)
            assert tracemalloc.get_traced_memory()[1] < 1_000_000
        finally:
            tracemalloc.stop()

    @given(st.binary(max_size=200), st.integers(1, 300), st.integers(1, 300))
    @settings(max_examples=300)
    def test_any_bytes_decode_or_raise(self, data, width, height):
        try:
            assert decode_alpha(data, width, height).shape == (height, width)
        except CorruptError:
            return

    @given(st.data())
    @settings(max_examples=200)
    def test_damaged_vp8l_decodes_or_raises(self, data):
        mask = [*masks()][1]
        coded = bytearray(encode_alpha(mask))
        position = data.draw(st.integers(0, len(coded) - 1))
        coded[position] ^= data.draw(st.integers(1, 255))
        try:
            assert decode_alpha(bytes(coded), 90, 60).shape == (60, 90)
        except GlcError:
            return


class TestBands:
    """Large pictures are converted some rows at a time, which nobody must see."""

    def files(self) -> dict[str, bytes]:
        four = Image.fromarray(RNG.integers(0, 256, (9, 7, 4), dtype=np.uint8))
        colour, grey = four.convert("RGB"), four.convert("L")
        keyed = colour.quantize(8)
        wide = RNG.integers(0, 65_536, (9, 7, 4))
        turned = Image.Exif()
        turned[0x0112] = 6
        return {
            "RGB": file_of(colour),
            "RGBA": file_of(four),
            "turned": file_of(colour, "TIFF", exif=turned),
            "turned JPEG": file_of(colour, "JPEG", exif=turned),
            "grey": file_of(grey),
            "LA": file_of(four.convert("LA")),
            "1": file_of(grey.convert("1")),
            "palette": file_of(keyed),
            "palette with alpha": file_of(keyed, transparency=3),
            "CMYK": file_of(colour.convert("CMYK"), "TIFF"),
            "profile": file_of(colour, icc_profile=other_profile()),
            "grey with profile": file_of(grey, icc_profile=other_profile()),
            "RGBA with profile": file_of(four, icc_profile=other_profile()),
            "LAB": file_of(Image.merge("LAB", (grey, grey, grey)), "TIFF"),
            "16 bits": png16(wide[..., :3]),
            "16 bits with alpha": png16(wide),
            "16 bits grey": png16(wide[..., :1]),
            "16 bits keyed": png16(wide[..., :3], wide[2, 3, :3].astype(">u2").tobytes()),
            "integers": file_of(Image.fromarray(wide[..., 0].astype(np.int32)), "TIFF"),
            "floats": file_of(Image.fromarray(wide[..., 0].astype(np.float32) / 65_535), "TIFF"),
            "16 bits grey with alpha": png16(wide[..., :2]),
            "few bits keyed": png(
                wide[..., :1].astype(np.uint8) & 3, 2, [(b"tRNS", struct.pack(">H", 2))]
            ),
            "linear": png(np.asarray(colour), chunks=[(b"gAMA", struct.pack(">I", 100_000))]),
            "P3": png(np.asarray(colour), chunks=[(b"cICP", bytes((12, 13, 0, 1)))]),
            "planes apart": tiff(wide.astype(np.uint16), planar=True, extra=(1,)),
            "inks apart": tiff(wide.astype(np.uint16), planar=True, photometric=5),
            "16 bits premultiplied": tiff(wide.astype(np.uint16), extra=(1,)),
            "negative": tiff(wide[..., :1].astype(np.uint16), photometric=0),
        }

    @pytest.mark.parametrize("pixels", [1, 20])
    def test_the_height_of_a_band_changes_nothing(self, monkeypatch, pixels):
        for name, data in self.files().items():
            expected = load(data)
            with monkeypatch.context() as patch:
                patch.setattr(bands, "_BAND_PIXELS", pixels)
                found = load(data)
            assert np.array_equal(found.rgb, expected.rgb), name
            assert (found.alpha is None) == (expected.alpha is None), name
            if found.alpha is not None:
                assert np.array_equal(found.alpha, expected.alpha), name
            assert (found.grey, found.notices) == (expected.grey, expected.notices), name
            assert found.rgb.flags.c_contiguous


def test_what_can_only_be_read_is_read():
    class Pipe:
        def __init__(self, data: bytes) -> None:
            self._stream = io.BytesIO(data)

        def read(self, size: int = -1) -> bytes:
            return self._stream.read(size)

    stream = io.BytesIO()
    Image.new("RGB", (9, 7), (10, 20, 30)).save(stream, "PNG")
    assert load(Pipe(stream.getvalue())).rgb.shape == (7, 9, 3)
    with pytest.raises(ImageError):
        load(Pipe(b""))
