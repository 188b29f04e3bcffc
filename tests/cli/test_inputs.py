"""Every rule of docs/inputs.md, from a file through ``glc encode`` to ``glc decode``.

The codec here keeps all pixels, so what comes back is what the rule made of the picture.
"""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile, ImageOps
from PIL.PngImagePlugin import PngInfo

from tests.picture_files import jpeg_with, png, tiff

RNG = np.random.default_rng(3)
COLOUR = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
PLANE = RNG.integers(0, 255, (6, 9), dtype=np.uint8)
MAKER = Image.Exif()
MAKER[0x010F] = "Maker"


@pytest.fixture
def through(glc):
    """Return a function that sends a file through the codec: the picture, and standard error."""

    def send(data: bytes, *options: str) -> tuple[Image.Image, str]:
        Path("in.pic").write_bytes(data)
        result = glc("encode", "in.pic", "-f", "-o", "x.glc", *options)
        assert result.code == 0, result.err
        assert glc("decode", "x.glc", "-f", "-o", "out.png").code == 0
        with Image.open("out.png") as image:
            image.load()
        return image, result.err

    return send


@pytest.fixture
def refused(glc):
    """Return a function that encodes a file which must fail, and gives the one line it got."""

    def send(data: bytes, name: str = "bad.png", *options: str) -> str:
        Path(name).write_bytes(data)
        result = glc("encode", name, "-o", "x.glc", *options)
        assert result.code == 1
        assert len(result.err_lines) == 1
        assert result.err.startswith(f"glc encode: {name}: ")
        assert not Path("x.glc").exists()
        return result.err

    return send


def file_of(image: Image.Image, kind: str = "PNG", **parameters) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **parameters)
    return stream.getvalue()


def same(image: Image.Image, expected: Image.Image) -> None:
    assert image.mode == expected.mode
    np.testing.assert_array_equal(np.asarray(image), np.asarray(expected))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
def test_colour_grey_and_alpha_come_back_as_they_were(through, mode):
    image = Image.fromarray(np.dstack((COLOUR, PLANE))).convert(mode)
    decoded, err = through(file_of(image))
    same(decoded, image)
    assert "note" not in err


def test_one_bit_comes_back_as_grey(through):
    image = Image.fromarray(PLANE).convert("1")
    same(through(file_of(image))[0], image.convert("L"))


@pytest.mark.parametrize("transparency", [None, 3, bytes(range(0, 160, 10))])
def test_palettes(through, transparency):
    image = Image.fromarray(COLOUR).quantize(16)
    parameters = {} if transparency is None else {"transparency": transparency}
    data = file_of(image, **parameters)
    with Image.open(io.BytesIO(data)) as reread:
        expected = reread.convert("RGB" if transparency is None else "RGBA")
    same(through(data)[0], expected)


def test_palettes_with_alpha():
    # No file format of Pillow's keeps mode PA, so it can only come from memory.
    from glc.image import load, to_pil

    image = Image.fromarray(np.dstack((COLOUR, PLANE))).quantize(16).convert("PA")
    image.putalpha(Image.fromarray(PLANE))
    assert image.mode == "PA"
    same(to_pil(load(image)), image.convert("RGBA"))


def cmyk_profile() -> bytes:
    """A profile after which inks are grey: Lab lightness 90 - 20 C - 15 M - 10 Y - 40 K."""
    nodes = bytearray()
    for number in range(16):
        inks = [number >> 3 & 1, number >> 2 & 1, number >> 1 & 1, number & 1]
        lightness = 90 - sum(ink * n for ink, n in zip(inks, (20, 15, 10, 40), strict=True))
        nodes += bytes((round(lightness * 255 / 100), 128, 128))
    identity = struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    ramp = bytes(range(256))
    table = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + identity + 4 * ramp + bytes(nodes) + 3 * ramp
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"inks\0" + bytes(78)
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    tags, body, at = b"", b"", 128 + 4 + 3 * 12
    for name, data in ((b"desc", text), (b"wtpt", white), (b"A2B0", table)):
        tags += name + struct.pack(">II", at + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    size = at + len(body)
    header = struct.pack(">II", size, 0) + b"\x02\x40\0\0prtrCMYKLab " + bytes(12) + b"acsp"
    header += bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + struct.pack(">I", 3) + tags + body


@pytest.mark.parametrize("kind", ["TIFF", "JPEG"])
@pytest.mark.parametrize("ink", range(4))
def test_cmyk(through, kind, ink):
    inks = [0, 0, 0, 0]
    inks[ink] = 255
    image = Image.new("CMYK", (16, 16), tuple(inks))
    # JPEG holds inks inverted, as Adobe writes them.
    parameters = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    decoded, err = through(file_of(image, kind, **parameters))
    assert "note" not in err
    plain = np.asarray(image.convert("RGB")).astype(int)
    assert np.abs(np.asarray(decoded).astype(int) - plain).max() <= 3

    decoded, err = through(file_of(image, kind, icc_profile=cmyk_profile(), **parameters))
    assert "note" not in err
    lightness = 90 - (20, 15, 10, 40)[ink]
    linear = ((lightness + 16) / 116) ** 3
    grey = 255 * (1.055 * linear ** (1 / 2.4) - 0.055)
    # The black of the inks is brought to that of the screen, which darkens a little.
    assert np.abs(np.asarray(decoded).astype(int) - grey).max() <= 12
    assert np.ptp(np.asarray(decoded)[0, 0].astype(int)) <= 2


def test_sixteen_bits_are_rounded_with_a_notice(through):
    values = RNG.integers(0, 65_536, (6, 9)).astype(np.uint16)
    decoded, err = through(file_of(Image.fromarray(values)))
    same(decoded, Image.fromarray(np.rint(values / 257).astype(np.uint8)))
    assert "in.pic: note: 16 bits per channel, reduced to 8" in err


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 257, 65_535]], np.int32), [0, 1, 255]),
        (np.array([[0.0, 0.5, 1.0]], np.float32), [0, 128, 255]),
        (np.array([[0.0, 99.6, 300.0]], np.float32), [0, 100, 255]),
    ],
    ids=["integers", "floats to 1", "floats to 255"],
)
def test_other_depths_are_reduced_with_a_notice(through, values, expected):
    decoded, err = through(file_of(Image.fromarray(values), "TIFF"))
    assert np.asarray(decoded).tolist() == [expected]
    assert err.count("note: ") == 1


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "MPO"])
def test_of_several_frames_the_first_is_taken_and_said(through, kind):
    frames = [Image.new("RGB", (16, 8), colour) for colour in ("red", "lime", "blue")]
    more = {"lossless": True} if kind == "WEBP" else {}
    data = file_of(frames[0], kind, save_all=True, append_images=frames[1:], **more)
    decoded, err = through(data)
    assert np.abs(np.asarray(decoded.convert("RGB")).astype(int) - (255, 0, 0)).max() <= 2
    assert "in.pic: note: 3 frames; only number 1 is kept" in err


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_orientation_is_applied_once(through, kind, orientation):
    # Flat quarters of four colours, wider than high: no turn looks like another.
    quarters = np.array([[(250, 0, 0), (0, 250, 0)], [(0, 0, 250), (250, 250, 0)]], np.uint8)
    image = Image.fromarray(quarters.repeat(16, axis=0).repeat(32, axis=1))
    exif = Image.Exif()
    exif[0x0112] = orientation
    exact = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}
    data = file_of(image, kind, exif=exif, **exact.get(kind, {}))
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    for options in ((), ("--keep-metadata",)):
        decoded, _ = through(data, *options)
        assert decoded.size == ((64, 32) if orientation < 5 else (32, 64))
        # A viewer that looks at what is left of the EXIF must not turn it again.
        shown = ImageOps.exif_transpose(decoded)
        difference = np.asarray(shown).astype(int) - np.asarray(upright.convert("RGB"))
        assert np.abs(difference).max() <= 3


P3 = np.array(
    [[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]]
)
SRGB = np.array(
    [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]]
)


def wide_gamut() -> bytes:
    """Display P3 as a profile: the primaries of P3 and the curve of sRGB."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    (count,) = struct.unpack_from(">I", data, 128)
    for entry in range(132, 132 + 12 * count, 12):
        name, offset, _ = struct.unpack_from(">4sII", data, entry)
        if name in (b"rXYZ", b"gXYZ", b"bXYZ"):
            column = P3[:, b"rgb".index(name[:1])]
            struct.pack_into(">3i", data, offset + 8, *(round(65536 * v) for v in column))
    at = data.index("sRGB".encode("utf-16-be"))
    data[at : at + 8] = "Wide".encode("utf-16-be")
    return bytes(data)


def test_a_wide_gamut_is_converted_to_srgb(through):
    inside = RNG.integers(60, 190, (6, 9, 3), dtype=np.uint8)
    decoded, err = through(file_of(Image.fromarray(inside), icc_profile=wide_gamut()))
    v = inside / 255
    linear = np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)
    linear = (linear @ P3.T @ np.linalg.inv(SRGB).T).clip(0, 1)
    v = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(np.asarray(decoded) - 255 * v).max() <= 2
    assert np.abs(np.asarray(decoded).astype(int) - inside).max() > 5
    assert "note" not in err
    assert "icc_profile" not in decoded.info


@pytest.mark.parametrize("profile", [b"no profile", wide_gamut()[:300]])
def test_a_broken_profile_is_left_aside_with_a_notice(through, profile):
    decoded, err = through(file_of(Image.fromarray(COLOUR), icc_profile=profile))
    same(decoded, Image.fromarray(COLOUR))
    assert "in.pic: note: unusable colour profile" in err


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1), (63, 65), (17, 130)])
def test_any_size(through, size):
    pixels = RNG.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    same(through(file_of(Image.fromarray(pixels)))[0], Image.fromarray(pixels))


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_metadata_is_kept_on_demand_only(through, kind, keep):
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>words</x:xmpmeta>"
    text = PngInfo()
    text.add_itxt("XML:com.adobe.xmp", xmp.decode())
    more = {"pnginfo": text} if kind == "PNG" else {"xmp": xmp}
    data = file_of(Image.fromarray(COLOUR), kind, exif=exif, **more)
    decoded, _ = through(data, *(["--keep-metadata"] if keep else []))
    assert (decoded.getexif().get(0x010F) == "Maker") is keep
    assert (b"words" in decoded.info.get("xmp", b"")) is keep


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_metadata_that_cannot_be_kept_is_a_notice_for_those_who_keep_it(through):
    damaged = file_of(Image.fromarray(COLOUR), "JPEG", exif=b"Exif\0\0garbage")
    for options in ((), ("--keep-metadata",)):
        _, err = through(damaged, *options)
        assert ("in.pic: note: EXIF is damaged and left out" in err) is bool(options)
    doubled = jpeg_with(
        file_of(Image.fromarray(COLOUR), "JPEG"), (1, b"Exif\0\0" * 2 + MAKER.tobytes()[6:])
    )
    decoded, err = through(doubled, "--keep-metadata")
    assert decoded.getexif()[0x010F] == "Maker"
    assert "note" not in err


def test_colours_are_what_a_file_says_without_a_profile(through):
    decoded, err = through(png(COLOUR, chunks=[(b"gAMA", struct.pack(">I", 100_000))]))
    v = COLOUR / 255
    v = np.where(v <= 0.0031308, 12.92 * v, 1.055 * v ** (1 / 2.4) - 0.055)
    assert np.abs(np.asarray(decoded) - 255 * v).max() <= 0.51
    assert "note" not in err
    _, err = through(png(COLOUR, chunks=[(b"cICP", bytes((9, 16, 0, 1)))]))
    assert "in.pic: note: HDR (PQ)" in err


def test_grey_of_few_bits_keeps_its_transparent_colour(through):
    values = np.arange(16, dtype=np.uint8).reshape(4, 4, 1)
    decoded, _ = through(png(values, 4, [(b"tRNS", b"\0\5")]))
    assert decoded.mode == "LA"
    assert (np.asarray(decoded)[..., 1] == 0).ravel().tolist() == [n == 5 for n in range(16)]


@pytest.mark.parametrize("planar", [False, True])
def test_planes_of_a_tiff_are_put_together(through, planar):
    values = RNG.integers(0, 65_536, (6, 9, 3)).astype(np.uint16)
    decoded, err = through(tiff(values, planar=planar))
    same(decoded, Image.fromarray(np.rint(values / 257).astype(np.uint8)))
    assert "in.pic: note: 16 bits per channel, reduced to 8" in err


def test_a_negative_is_turned_round_or_refused(through, refused):
    values = RNG.integers(0, 65_536, (6, 9, 1)).astype(np.uint16)
    decoded, _ = through(tiff(values, photometric=0))
    same(decoded, Image.fromarray(255 - np.rint(values[..., 0] / 257).astype(np.uint8)))
    Path("x.glc").unlink()
    assert "TIFF" in refused(tiff(values, photometric=0, order=">"), "bad.tif")


def test_a_gain_map_is_a_notice(through):
    packet = (
        b'http://ns.adobe.com/xap/1.0/\0<x xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"/>'
    )
    _, err = through(jpeg_with(file_of(Image.fromarray(COLOUR), "JPEG"), (1, packet)))
    assert "in.pic: note: the base picture is kept, not its gain map (HDR)" in err


def test_a_cut_file_is_refused_whatever_the_program_has_set(refused, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for kind in ("JPEG", "PNG"):
        data = file_of(Image.fromarray(pixels), kind)
        refused(data[: len(data) // 2], f"cut.{kind.lower()}")


FOREIGN = {
    "text": (b"This is a letter, not a picture.\n", "text, not a picture"),
    "svg": (b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
    "heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64), "pillow-heif"),
    "jpeg xl": (b"\0\0\0\x0cJXL \x0d\x0a\x87\x0a" + bytes(64), "a JPEG XL picture"),
    "bare jpeg xl": (b"\xff\x0a" + bytes(64), "a JPEG XL picture"),
    "pdf": (b"%PDF-1.7\n\x80\x81", "a PDF document"),
    "glc": (bytes.fromhex("67c164b91c32ff05ff0303c0ffee40c41294"), "a .glc file already"),
    "nothing": (b"", "empty"),
    "noise": (b"\x80\x01\x02\xfe" * 20, "not a picture of a kind that can be read"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_is_no_picture_is_named(refused, kind):
    data, words = FOREIGN[kind]
    assert words in refused(data)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_truncated_pictures(refused, kind, share):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = file_of(Image.fromarray(pixels), kind)
    refused(data[: int(len(data) * share)], f"cut.{kind.lower()}")


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header claims a size, and that has hardly any data."""
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", b"x\x9c"))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))
        for tag, data in chunks
    )


def test_a_picture_above_the_limit_is_refused_by_its_header(refused):
    assert "too many pixels" in refused(bomb(60_000, 60_000))
    assert "too many pixels" in refused(bomb(13_378, 13_378))
    assert "--max-pixels" in refused(
        file_of(Image.new("1", (40, 40))), "a.png", "--max-pixels", "700"
    )


def test_the_limit_can_be_raised_and_lowered(glc, picture):
    before = Image.MAX_IMAGE_PIXELS
    picture("a.png", width=20, height=30)
    assert glc("encode", "a.png", "--max-pixels", "600").code == 0
    assert glc("encode", "a.png", "-f", "--max-pixels", "599").code == 1
    assert glc("encode", "a.png", "-f", "--max-side", "29").code == 1
    after = Image.MAX_IMAGE_PIXELS
    assert after == before
