"""Colours are what the file says, by a profile or without one; what is not undone is a notice."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from glc.image import load
from tests.picture_files import icc, png, tiff

RNG = np.random.default_rng(5)
COLOUR = RNG.integers(60, 190, (6, 9, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (6, 9, 1), dtype=np.uint8)
SRGB_TO_XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
)
P3_TO_XYZ = np.array([[0.4866, 0.2657, 0.1982], [0.2290, 0.6917, 0.0793], [0.0, 0.0451, 1.0439]])
BT2020_TO_XYZ = np.array(
    [[0.6370, 0.1446, 0.1689], [0.2627, 0.6780, 0.0593], [0.0, 0.0281, 1.0610]]
)
ADOBE_TO_XYZ = np.array(
    [[0.5767, 0.1856, 0.1882], [0.2974, 0.6273, 0.0753], [0.0270, 0.0707, 0.9911]]
)
P3 = (0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
SRGB = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)


def linear(values: np.ndarray) -> np.ndarray:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def coded(values: np.ndarray) -> np.ndarray:
    values = np.clip(values, 0, 1)
    low = values <= 0.0031308
    return 255 * np.where(low, 12.92 * values, 1.055 * values ** (1 / 2.4) - 0.055)


def through(values: np.ndarray, to_xyz: np.ndarray) -> np.ndarray:
    """sRGB of linear values of other primaries."""
    return coded(values @ (np.linalg.inv(SRGB_TO_XYZ) @ to_xyz).T)


def gama(gamma: float) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", round(100_000 * gamma))


def chrm(points: tuple[float, ...]) -> tuple[bytes, bytes]:
    return b"cHRM", struct.pack(">8I", *(round(100_000 * value) for value in points))


def cicp(primaries: int, transfer: int, full: int = 1) -> tuple[bytes, bytes]:
    return b"cICP", bytes((primaries, transfer, 0, full))


class TestPngChunks:
    @pytest.mark.parametrize(
        ("chunks", "expected"),
        [
            ([gama(1.0)], coded(COLOUR / 255)),
            ([gama(1 / 1.8)], coded((COLOUR / 255) ** 1.8)),
            ([gama(1.0), chrm(P3)], through(COLOUR / 255, P3_TO_XYZ)),
            ([chrm(P3)], through(linear(COLOUR / 255), P3_TO_XYZ)),
            ([gama(0.45455), chrm(P3)], through(linear(COLOUR / 255), P3_TO_XYZ)),
            ([cicp(12, 13)], through(linear(COLOUR / 255), P3_TO_XYZ)),
            ([cicp(9, 8)], through(COLOUR / 255, BT2020_TO_XYZ)),
            ([cicp(1, 4)], coded((COLOUR / 255) ** 2.2)),
            ([cicp(1, 13, full=0)], 255 * (COLOUR / 255.0 * 255 - 16) / 219),
            ([gama(1.0), cicp(12, 13)], through(linear(COLOUR / 255), P3_TO_XYZ)),
        ],
        ids=[
            *("linear", "power", "linear P3", "primaries", "curve and primaries"),
            *("cICP P3", "cICP linear", "cICP power", "cICP narrow", "cICP comes first"),
        ],
    )
    def test_are_applied(self, chunks, expected):
        picture = load(png(COLOUR, chunks=chunks))
        # Curve and primaries are two steps, each of them rounded.
        assert np.abs(picture.rgb - expected).max() <= 3
        assert np.abs(picture.rgb - COLOUR.astype(float)).max() >= 3
        assert picture.notices == ()

    @pytest.mark.parametrize(
        "chunks",
        [
            [gama(0.45455)],
            [gama(0.4547), chrm(SRGB)],
            [(b"sRGB", b"\0"), gama(1.0)],
            [cicp(1, 13)],
            [cicp(1, 1)],
            [cicp(2, 2)],
            [],
        ],
    )
    def test_that_mean_srgb_change_nothing(self, chunks):
        picture = load(png(COLOUR, chunks=chunks))
        np.testing.assert_array_equal(picture.rgb, COLOUR)
        assert picture.notices == ()

    @pytest.mark.parametrize(
        ("chunk", "words"),
        [
            (cicp(9, 16), "PQ"),
            (cicp(9, 18), "HLG"),
            (cicp(1, 9), "transfer 9"),
            (cicp(10, 13), "primaries 10"),
            (gama(0), "gAMA"),
            (chrm((0.3, 0.3, *[0.4] * 6)), "cHRM"),
            (chrm((*[0.0] * 8,)), "cHRM"),
            (chrm((*P3[:2], 0.6, 0.0, *P3[4:])), "cHRM"),
        ],
    )
    def test_that_cannot_be_undone_are_a_notice(self, chunk, words):
        picture = load(png(COLOUR, chunks=[chunk]))
        (notice,) = picture.notices
        assert words in notice

    @pytest.mark.parametrize("channels", [1, 2, 3, 4])
    def test_more_than_8_bits_are_brought_to_srgb_before_they_are_reduced(self, channels):
        values = RNG.integers(0, 3000, (6, 9, channels)).astype(np.uint16)
        picture = load(png(values, chunks=[gama(1.0)]))
        colours = values[..., :1] if channels < 3 else values[..., :3]
        assert np.abs(picture.rgb - coded(colours / 65_535)).max() <= 0.51
        if channels in (2, 4):
            np.testing.assert_array_equal(
                picture.alpha, np.rint(values[..., -1] / 257).astype(np.uint8)
            )

    def test_grey_stays_grey_and_palettes_and_alpha_work(self):
        picture = load(png(GREY, chunks=[gama(1.0), chrm(P3)]))
        assert picture.grey
        assert np.abs(picture.rgb - coded(GREY / 255)).max() <= 0.51
        four = np.dstack((COLOUR, GREY))
        picture = load(png(four, chunks=[gama(1.0)]))
        np.testing.assert_array_equal(picture.alpha, GREY[..., 0])
        assert np.abs(picture.rgb - coded(COLOUR / 255)).max() <= 0.51
        palette = RNG.integers(0, 256, (4, 3), dtype=np.uint8)
        indices = RNG.integers(0, 4, (5, 8, 1), dtype=np.uint8)
        chunks = [gama(1.0), (b"PLTE", palette.tobytes())]
        picture = load(png(indices, bits=2, chunks=chunks, colour_type=3))
        assert np.abs(picture.rgb - coded(palette[indices[..., 0]] / 255)).max() <= 0.51

    def test_a_profile_comes_before_gamma_and_after_cicp(self):
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        stream = io.BytesIO()
        Image.fromarray(COLOUR).save(stream, "PNG", icc_profile=profile)
        data = stream.getvalue()
        for chunk, expected in ((gama(1.0), COLOUR), (cicp(1, 8), coded(COLOUR / 255))):
            inserted = png(COLOUR, chunks=[chunk])[33 : 33 + 12 + len(chunk[1])]
            picture = load(data[:33] + inserted + data[33:])
            assert np.abs(picture.rgb - expected).max() <= 1

    def test_an_opened_image_is_read_like_its_file(self):
        with Image.open(io.BytesIO(png(COLOUR, chunks=[cicp(12, 13)]))) as image:
            picture = load(image)
        assert np.abs(picture.rgb - through(linear(COLOUR / 255), P3_TO_XYZ)).max() <= 2


class TestOtherFiles:
    def test_adobe_rgb_of_a_camera(self):
        exif = Image.Exif()
        exif[0x8769] = {0xA001: 0xFFFF, 0xA005: {1: "R03"}}
        for quality in (0xFFFF, 1):
            exif[0x8769] = {0xA001: quality, 0xA005: {1: "R03"}}
            stream = io.BytesIO()
            flat = Image.new("RGB", (16, 16), (90, 160, 120))
            flat.save(stream, "JPEG", quality=100, exif=exif.tobytes())
            picture = load(stream.getvalue())
            adobe = through((np.array((90, 160, 120)) / 255) ** 2.2, ADOBE_TO_XYZ)
            expected = adobe if quality == 0xFFFF else np.array((90, 160, 120))
            assert np.abs(picture.rgb - expected).max() <= 3

    def test_primaries_of_a_tiff(self):
        def rationals(*values: float) -> tuple[int, bytes]:
            pairs = (n for value in values for n in (round(1e5 * value), 100_000))
            return 5, struct.pack(f"<{2 * len(values)}I", *pairs)

        tags = {318: rationals(*P3[:2]), 319: rationals(*P3[2:])}
        picture = load(tiff(COLOUR, tags=tags))
        assert np.abs(picture.rgb - through(linear(COLOUR / 255), P3_TO_XYZ)).max() <= 2
        usual = {318: rationals(*SRGB[:2]), 319: rationals(*SRGB[2:])}
        np.testing.assert_array_equal(load(tiff(COLOUR, tags=usual)).rgb, COLOUR)
        curve = {301: (3, bytes(512))}
        assert "transfer function" in load(tiff(COLOUR, tags=curve)).notices[0]

    def test_hdr_of_an_avif(self):
        stream = io.BytesIO()
        Image.fromarray(COLOUR).resize((64, 64)).save(stream, "AVIF", quality=95)
        data = bytearray(stream.getvalue())
        at = data.index(b"colrnclx") + 8
        assert load(bytes(data)).notices == ()
        data[at : at + 4] = struct.pack(">HH", 9, 16)
        assert "PQ" in load(bytes(data)).notices[0]

    def test_a_profile_inside_a_bmp(self):
        profile = icc("linear", colorants(), 1.0)
        rows = np.ascontiguousarray(COLOUR[::-1, :, ::-1])
        stride = -(-27 // 4) * 4
        pixels = b"".join(row.tobytes().ljust(stride, b"\0") for row in rows)
        fields = struct.pack("<IiiHHIIiiII", 124, 9, 6, 1, 24, 0, len(pixels), 0, 0, 0, 0)
        for kind, words in ((b"DEBM", None), (b"KNIL", "another file"), (bytes(4), None)):
            header = fields + bytes(16) + kind + bytes(48)
            header += struct.pack("<IIII", 0, 124 + len(pixels), len(profile), 0)
            head = b"BM" + struct.pack("<IHHI", 138 + len(pixels) + len(profile), 0, 0, 138)
            picture = load(head + header + pixels + profile)
            if kind == b"DEBM":
                assert np.abs(picture.rgb - coded(COLOUR / 255)).max() <= 2
            elif words:
                assert words in picture.notices[0]
            else:
                np.testing.assert_array_equal(picture.rgb, COLOUR)


def colorants(primaries: np.ndarray | None = None) -> dict[bytes, tuple[float, ...]]:
    """Those of sRGB under D50, or others."""
    under_d50 = np.array(
        [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]]
    )
    columns = (under_d50 if primaries is None else primaries).T
    return dict(zip((b"rXYZ", b"gXYZ", b"bXYZ"), map(tuple, columns), strict=True))


P3_UNDER_D50 = np.array(
    [[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]]
)
TABLE = linear(np.linspace(0, 1, 1024))


class TestProfiles:
    """Curves and primaries decide, not what a profile is called."""

    @pytest.mark.parametrize("name", ["sRGB", "sRGB IEC61966-2.1", "sRGB built-in"])
    @pytest.mark.parametrize("power", [1.0, 1.4, 1.8, 2.6])
    def test_another_curve_that_is_called_srgb(self, name, power):
        data = file_of(COLOUR, icc(name, colorants(), power))
        picture = load(data)
        # Profiles hold a power in 1 / 256.
        expected = coded((COLOUR / 255) ** (round(256 * power) / 256))
        assert np.abs(picture.rgb - expected).max() <= 2
        assert picture.notices == ()

    @pytest.mark.parametrize("name", ["sRGB", "sRGB IEC61966-2.1"])
    def test_other_primaries_that_are_called_srgb(self, name):
        picture = load(file_of(COLOUR, icc(name, colorants(P3_UNDER_D50), TABLE)))
        assert np.abs(picture.rgb - through(linear(COLOUR / 255), P3_TO_XYZ)).max() <= 2

    @pytest.mark.parametrize("name", ["sRGB", "Camera", "", "Display P3", "sRGB2014"])
    def test_what_is_srgb_changes_nothing_whatever_it_is_called(self, name):
        picture = load(file_of(COLOUR, icc(name, colorants(), TABLE)))
        np.testing.assert_array_equal(picture.rgb, COLOUR)

    def test_a_grey_profile_that_is_called_srgb(self):
        picture = load(file_of(GREY[..., 0], icc("sRGB", {}, 1.0, b"GRAY")))
        # Little CMS is coarse in the dark here.
        error = np.abs(picture.rgb[..., :1] - coded(GREY / 255))
        assert error.max() <= 10
        assert error[GREY > 20].max() <= 3
        assert picture.grey
        same = load(file_of(GREY[..., 0], icc("linear", {}, TABLE, b"GRAY")))
        np.testing.assert_array_equal(same.rgb[..., :1], GREY)

    def test_the_power_of_2_2_is_not_the_curve_of_srgb(self):
        dark = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
        picture = load(file_of(dark, icc("sRGB", colorants(), 2.2)))
        assert np.abs(picture.rgb.astype(int) - dark).max() >= 4


def file_of(pixels: np.ndarray, profile: bytes) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", icc_profile=profile)
    return stream.getvalue()
