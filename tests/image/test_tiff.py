"""TIFF of every layout is shown right or refused by name: never garbage, never a negative."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from glc.errors import ImageError
from glc.image import load
from tests.picture_files import tiff

RNG = np.random.default_rng(11)
WIDE = RNG.integers(0, 65_536, (37, 45, 4)).astype(np.uint16)
BYTES = RNG.integers(0, 256, (37, 45, 4), dtype=np.uint8)
SIXTEEN = "16 bits per channel, reduced to 8"


def rounded(values: np.ndarray) -> np.ndarray:
    return np.rint(values / 257).astype(np.uint8)


def shown(data: bytes) -> np.ndarray:
    picture = load(data)
    return picture.rgb if picture.alpha is None else np.dstack((picture.rgb, picture.alpha))


LAYOUTS = {
    "strips": {"rows": 7},
    "one strip": {},
    "a strip per row": {"rows": 1},
    "big-endian": {"order": ">", "rows": 16},
    "tiles": {"tile": (16, 32)},
    "tiles, big-endian, lzw": {"tile": (32, 16), "order": ">", "compression": "lzw"},
    "lzw": {"compression": "lzw", "rows": 10},
    "deflate": {"compression": "deflate"},
    "packbits": {"compression": "packbits", "rows": 5},
    "predictor": {"compression": "lzw", "predictor": True, "rows": 9},
    "BigTIFF": {"big": True, "rows": 8},
    "directory first": {"first": True, "rows": 6, "compression": "packbits"},
}


@pytest.mark.filterwarnings("ignore:Truncated File", "ignore:Corrupt EXIF")
class TestPlanesApart:
    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_of_16_bits(self, layout):
        data = tiff(WIDE[..., :3].copy(), planar=True, **LAYOUTS[layout])
        np.testing.assert_array_equal(shown(data), rounded(WIDE[..., :3]))
        assert load(data).notices == (SIXTEEN,)

    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_of_8_bits(self, layout):
        data = tiff(BYTES[..., :3].copy(), planar=True, **LAYOUTS[layout])
        np.testing.assert_array_equal(shown(data), BYTES[..., :3])

    @pytest.mark.parametrize("values", [WIDE, BYTES], ids=["16", "8"])
    @pytest.mark.parametrize("compression", ["none", "lzw"])
    def test_with_alpha(self, values, compression):
        narrow = values if values.dtype == np.uint8 else rounded(values)
        for extra in ((2,), ()):
            data = tiff(values, planar=True, extra=extra, compression=compression)
            np.testing.assert_array_equal(shown(data), narrow)

    @pytest.mark.parametrize("photometric", [0, 1])
    @pytest.mark.parametrize("compression", ["none", "lzw"])
    def test_grey_with_alpha(self, photometric, compression):
        options = {"planar": True, "extra": (2,), "photometric": photometric}
        data = tiff(BYTES[..., :2].copy(), compression=compression, **options)
        if photometric == 0:
            with pytest.raises(ImageError, match="TIFF"):
                load(data)
        else:
            np.testing.assert_array_equal(shown(data)[..., [1, 3]], BYTES[..., :2])
            assert load(data).grey
        # Pillow has no mode for it.
        with pytest.raises(ImageError, match="TIFF"):
            load(tiff(WIDE[..., :2].copy(), compression=compression, **options))

    @pytest.mark.parametrize("planar", [False, True])
    @pytest.mark.parametrize("order", ["<", ">"])
    def test_premultiplied_colours_are_divided_before_they_are_reduced(self, planar, order):
        alpha = np.maximum(WIDE[..., 3:], 1)
        colours = (WIDE[..., :3].astype(np.uint64) * alpha // 65_535).astype(np.uint16)
        data = tiff(
            np.concatenate((colours, alpha), axis=2), planar=planar, order=order, extra=(1,)
        )
        expected = np.minimum(colours.astype(float) / alpha, 1) * 255
        assert np.abs(shown(data)[..., :3] - expected).max() <= 0.51
        np.testing.assert_array_equal(shown(data)[..., 3], rounded(alpha[..., 0]))

    @pytest.mark.parametrize("compression", ["none", "deflate"])
    def test_of_inks(self, compression):
        data = tiff(WIDE, planar=True, photometric=5, compression=compression)
        expected = Image.fromarray(rounded(WIDE), "CMYK").convert("RGB")
        np.testing.assert_array_equal(shown(data), np.asarray(expected))

    def test_more_samples_than_colours_are_left_out(self):
        for compression in ("none", "deflate"):
            data = tiff(WIDE, planar=True, extra=(0,), compression=compression)
            np.testing.assert_array_equal(shown(data), rounded(WIDE[..., :3]))
        # Pillow counts the planes of this one wrongly, and refuses it.
        with pytest.raises(ImageError, match="TIFF"):
            load(tiff(BYTES, planar=True, extra=(0,)))

    def test_orientation_is_applied_once(self):
        data = tiff(WIDE[..., :3].copy(), planar=True, tags={274: (3, b"\x06\0")})
        np.testing.assert_array_equal(shown(data), np.rot90(rounded(WIDE[..., :3]), -1))

    def test_an_opened_image_is_read_like_its_file(self, tmp_path):
        data = tiff(WIDE[..., :3].copy(), planar=True, rows=4)
        (tmp_path / "a.tif").write_bytes(data)
        with Image.open(io.BytesIO(data)) as memory, Image.open(tmp_path / "a.tif") as disk:
            for image in (memory, disk):
                np.testing.assert_array_equal(load(image).rgb, rounded(WIDE[..., :3]))

    def test_what_pillow_has_loaded_wrongly_is_refused(self):
        image = Image.open(io.BytesIO(tiff(WIDE[..., :3].copy(), planar=True)))
        image.load()
        with pytest.raises(ImageError, match="give the file"):
            load(image)

    @pytest.mark.parametrize(
        ("values", "options"),
        [
            (WIDE[..., :3].astype(np.float32), {}),
            (WIDE[..., :3].astype(np.uint32), {}),
            (WIDE[..., :3].astype(np.int16), {}),
            (WIDE[..., :3].copy(), {"photometric": 6}),
            (WIDE[..., :3].copy(), {"photometric": 8}),
            (WIDE[..., :2].copy(), {"photometric": 2}),
        ],
        ids=["float", "32 bits", "signed", "YCbCr", "LAB", "too few"],
    )
    @pytest.mark.parametrize("compression", ["none", "lzw"])
    def test_other_kinds_are_refused_by_name(self, values, options, compression):
        data = tiff(values, planar=True, compression=compression, **options)
        with pytest.raises(ImageError, match="TIFF"):
            load(data)

    @pytest.mark.parametrize("compression", ["none", "lzw", "deflate"])
    def test_cut_files_are_errors(self, compression):
        for first in (True, False):
            data = tiff(
                WIDE[..., :3].copy(), planar=True, compression=compression, rows=5, first=first
            )
            for lost in (100, 500, 5000):
                with pytest.raises(ImageError):
                    load(data[:-lost])

    def test_a_piece_too_few_is_an_error(self):
        data = bytearray(tiff(WIDE[..., :3].copy(), planar=True, rows=37))
        at = data.index((273).to_bytes(2, "little") + b"\x04\0\x03\0\0\0")
        data[at + 4] = 2
        with pytest.raises(ImageError):
            load(bytes(data))


NEGATIVES = {
    "16 bits": (np.uint16, {}),
    "16 bits, lzw": (np.uint16, {"compression": "lzw"}),
    "16 bits, tiles": (np.uint16, {"tile": (16, 16)}),
    "16 bits, BigTIFF": (np.uint16, {"big": True}),
    "16 bits, predictor": (np.uint16, {"compression": "deflate", "predictor": True}),
    "8 bits": (np.uint8, {}),
    "8 bits, big-endian, lzw": (np.uint8, {"order": ">", "compression": "lzw"}),
    "float": (np.float32, {}),
    "float, big-endian": (np.float32, {"order": ">"}),
    "float, big-endian, lzw": (np.float32, {"order": ">", "compression": "lzw"}),
}


class TestWhiteIsZero:
    @pytest.mark.parametrize("name", NEGATIVES)
    def test_is_no_negative(self, name):
        kind, options = NEGATIVES[name]
        expected = rounded(WIDE[..., :1])
        given = {
            np.uint8: expected,
            np.uint16: WIDE[..., :1],
            np.float32: (WIDE[..., :1] / 65_535).astype(np.float32),
        }[kind]
        positive = load(tiff(given, photometric=1, **options))
        negative = load(tiff(given, photometric=0, **options))
        np.testing.assert_array_equal(positive.rgb[..., :1], expected)
        np.testing.assert_array_equal(negative.rgb[..., :1], 255 - expected)
        assert negative.grey
        if (kind, options.get("order"), options.get("compression")) != (np.float32, ">", "lzw"):
            # Loaded by the program itself, it is the same negative.
            image = Image.open(io.BytesIO(tiff(given, photometric=0, **options)))
            image.load()
            np.testing.assert_array_equal(load(image).rgb, negative.rgb)

    @pytest.mark.parametrize("kind", [np.uint32, np.int16, np.int32])
    @pytest.mark.parametrize("order", ["<", ">"])
    def test_of_other_kinds_is_refused_by_name(self, kind, order):
        with pytest.raises(ImageError, match="TIFF"):
            load(tiff(WIDE[..., :1].astype(kind), photometric=0, order=order))

    @pytest.mark.parametrize("compression", ["none", "packbits"])
    def test_of_16_bits_and_big_endian_is_refused_by_name(self, compression):
        data = tiff(WIDE[..., :1].copy(), photometric=0, order=">", compression=compression)
        with pytest.raises(ImageError, match="TIFF"):
            load(data)


class TestOtherSamples:
    @pytest.mark.parametrize("order", ["<", ">"])
    @pytest.mark.parametrize("compression", ["none", "lzw"])
    def test_floats_and_signed_integers_in_either_order(self, order, compression):
        options = {"order": order, "compression": compression, "photometric": 1}
        floats = (WIDE[..., :1] / 65_535).astype(np.float32)
        np.testing.assert_array_equal(
            load(tiff(floats, **options)).rgb[..., 0], rounded(WIDE[..., 0])
        )
        signed = (WIDE[..., :1] >> 1).astype(np.int16)
        np.testing.assert_array_equal(
            load(tiff(signed, **options)).rgb[..., 0], rounded(signed[..., 0])
        )

    def test_unsigned_32_bits_are_clipped(self):
        values = np.array([[[0], [257], [65_535], [70_000], [2**31], [2**32 - 1]]], np.uint32)
        picture = load(tiff(values, photometric=1))
        assert picture.rgb[0, :, 0].tolist() == [0, 1, 255, 255, 255, 255]

    def test_12_bits_reach_white(self):
        values = np.array([0, 8, 2048, 4095])
        bits = "".join(f"{value:012b}" for value in values)
        packed = int(bits, 2).to_bytes(6, "big")
        data = bytearray(tiff(np.frombuffer(packed, np.uint8).reshape(1, 6, 1), photometric=1))
        for tag, old, new in ((256, 6, 4), (258, 8, 12)):
            at = data.index(tag.to_bytes(2, "little") + b"\x03\0\x01\0\0\0" + bytes((old, 0)))
            data[at + 8] = new
        loaded = Image.open(io.BytesIO(data))
        loaded.load()
        for source in (bytes(data), loaded):
            picture = load(source)
            assert picture.rgb[0, :, 0].tolist() == [0, 0, 128, 255]
            assert picture.notices == ("12 bits per channel, reduced to 8",)

    @pytest.mark.parametrize("order", ["<", ">"])
    @pytest.mark.parametrize("compression", ["none", "lzw"])
    def test_16_bits_of_several_samples_are_rounded(self, order, compression):
        options = {"order": order, "compression": compression}
        unknown = tiff(WIDE, extra=(0,), **options)
        np.testing.assert_array_equal(shown(unknown), rounded(WIDE[..., :3]))
        inks = tiff(WIDE, photometric=5, **options)
        expected = Image.fromarray(rounded(WIDE), "CMYK").convert("RGB")
        np.testing.assert_array_equal(shown(inks), np.asarray(expected))
        four = tiff(WIDE, extra=(2,), **options)
        np.testing.assert_array_equal(shown(four), rounded(WIDE))
