"""What a file holds beside the picture that is kept is said, not dropped in silence."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from glc.image import load
from glc.image.metadata import depth_notices, gain_map_notices
from tests.picture_files import jpeg_with

RNG = np.random.default_rng(2)
COLOUR = RNG.integers(0, 256, (32, 48, 3), dtype=np.uint8)
XMP = b"http://ns.adobe.com/xap/1.0/\0"
ISO = b"urn:iso:std:iso:ts:21496:-1\0"
BASE = "the base picture is kept, not its"


def file_of(kind: str = "JPEG", **parameters) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(COLOUR).save(stream, kind, **parameters)
    return stream.getvalue()


JPEG = file_of()
SMALL = file_of(quality=20)


def xmp(inside: str) -> bytes:
    return b"<x:xmpmeta><rdf:RDF><rdf:Description " + inside.encode() + b"</x:xmpmeta>"


def mpf(count: int, length: int, offset: int) -> bytes:
    """Return a segment of CIPA DC-007 that names further pictures."""
    entries = struct.pack(">IIIHH", 0x030000, length, 0, 0, 0)
    entries += struct.pack(">IIIHH", 0, length, offset, 0, 0) * (count - 1)
    head = b"MM\0*" + struct.pack(">IH", 8, 3)
    head += struct.pack(">HHI4s", 0xB000, 7, 4, b"0100")
    head += struct.pack(">HHII", 0xB001, 4, 1, count)
    head += struct.pack(">HHII", 0xB002, 7, 16 * count, 50)
    return b"MPF\0" + head + bytes(4) + entries


HDRGM = 'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0">'
GAIN_MAPS = {
    "Ultra HDR": [(1, XMP + xmp(HDRGM)), (2, mpf(2, 900, 1000))],
    "Ultra HDR without MPF": [(1, XMP + xmp(HDRGM))],
    "Ultra HDR in single quotes": [(1, XMP + xmp("hdrgm:Version='1.0'/>"))],
    "Ultra HDR as an element": [(1, XMP + xmp("><hdrgm:Version>1.0</hdrgm:Version>"))],
    "ISO 21496-1": [(2, ISO + bytes(4))],
    "ISO 21496-1 with MPF": [(2, ISO + bytes(4)), (2, mpf(2, 900, 1000))],
    "Google container": [(1, XMP + xmp('><Container:Item Item:Semantic="GainMap"/>'))],
    "Google container, older": [(1, XMP + xmp("><Item:Semantic>RecoveryMap</Item:Semantic>"))],
    "Apple": [(1, XMP + xmp('xmlns:HDRGainMap="http://ns.apple.com/HDRGainMap/1.0/">'))],
    "Apple, auxiliary": [(1, XMP + xmp('a="urn:com:apple:photo:2020:aux:hdrgainmap">'))],
}


class TestGainMaps:
    @pytest.mark.parametrize("name", GAIN_MAPS)
    def test_are_a_notice(self, name):
        data = jpeg_with(JPEG, *GAIN_MAPS[name], tail=SMALL)
        picture = load(data)
        found = [notice for notice in picture.notices if "gain map (HDR)" in notice]
        assert len(found) == 1
        np.testing.assert_array_equal(picture.rgb, np.asarray(Image.open(io.BytesIO(JPEG))))
        with Image.open(io.BytesIO(data)) as image:
            assert load(image).notices == picture.notices

    def test_are_found_in_other_files(self):
        packet = xmp(HDRGM)
        for kind in ("WEBP", "AVIF"):
            assert f"{BASE} gain map (HDR)" in load(file_of(kind, xmp=packet)).notices
        data = bytearray(file_of("AVIF"))
        size = int.from_bytes(data[:4], "big")
        data[size - 4 : size] = b"tmap"
        # The map that this brand speaks of is not there, so the file itself would be refused.
        with Image.open(io.BytesIO(file_of("AVIF"))) as image:
            found = gain_map_notices(image, io.BytesIO(bytes(data)))
        assert found == [f"{BASE} gain map (HDR)"]

    @pytest.mark.parametrize(
        ("inside", "what"),
        [
            ('GCamera:MotionPhoto="1"/>', "video"),
            ('GCamera:MicroVideo="1"/>', "video"),
            ('><Container:Item Item:Semantic="MotionPhoto"/>', "video"),
            ('><Container:Item Item:Semantic="Depth"/>', "depth map"),
            ('xmlns:GDepth="http://ns.google.com/photos/1.0/depthmap/"/>', "depth map"),
        ],
    )
    def test_so_are_videos_and_depth_maps_of_phones(self, inside, what):
        picture = load(jpeg_with(JPEG, (1, XMP + xmp(inside)), tail=b"\0\0\0\x18ftypmp42"))
        assert picture.notices == (f"{BASE} {what}",)

    @pytest.mark.filterwarnings("ignore:Image appears to be a malformed MPO")
    def test_so_are_pictures_that_pillow_does_not_count(self):
        picture = load(jpeg_with(JPEG, (2, b"MPF\0" + b"MM\0*" + struct.pack(">IHI", 8, 0, 0))))
        assert picture.notices == (f"{BASE} further pictures (MPF)",)

    def test_so_are_those_that_it_counts(self):
        stream = io.BytesIO()
        frames = [Image.fromarray(COLOUR), Image.fromarray(255 - COLOUR)]
        frames[0].save(stream, "MPO", save_all=True, append_images=frames[1:])
        assert load(stream.getvalue()).notices == ("2 frames; only number 1 is kept",)

    @pytest.mark.parametrize(
        "segments",
        [
            [],
            [(1, XMP + xmp('xmp:CreatorTool="A gain map of hills">'))],
            [(1, XMP + xmp('GCamera:MotionPhoto="0"/>'))],
            [(1, XMP + xmp('><Container:Item Item:Semantic="Primary"/>'))],
            [(2, b"ICC_PROFILE\0\1\1")],
        ],
    )
    def test_plain_pictures_have_none(self, segments):
        found = load(jpeg_with(JPEG, *segments)).notices
        assert not any(notice.startswith(BASE) for notice in found)


class TestDepth:
    @pytest.mark.parametrize("largest", [256, 1023, 65_535])
    def test_of_ppm(self, largest):
        values = RNG.integers(0, largest + 1, (4, 5, 3)).astype(">u2")
        values[0, 0] = largest
        data = b"P6 5 4 %d\n" % largest + values.tobytes()
        picture = load(data)
        np.testing.assert_array_equal(picture.rgb, np.rint(values * 255.0 / largest))
        assert "bits per channel, reduced to 8" in picture.notices[0]
        assert load(b"P6 5 4 255\n" + bytes(60)).notices == ()

    @pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
    def test_of_sgi(self, mode):
        for depth, count in ((1, 0), (2, 1)):
            stream = io.BytesIO()
            Image.new(mode, (5, 4)).save(stream, "SGI", bpc=depth)
            notices = load(stream.getvalue()).notices
            assert notices == ("16 bits per channel, reduced to 8",) * count

    @pytest.mark.parametrize("kind", ["jp2", "j2k"])
    def test_of_jpeg_2000(self, kind):
        stream = io.BytesIO()
        Image.fromarray(COLOUR).save(stream, "JPEG2000", no_jp2=kind == "j2k")
        data = bytearray(stream.getvalue())
        assert load(bytes(data)).notices == ()
        at = data.index(b"\xff\x4f\xff\x51") + 42
        for component in range(3):
            data[at + 3 * component] = 15
        assert load(bytes(data)).notices == ("16 bits per channel, reduced to 8",)

    def test_of_avif(self):
        data = bytearray(file_of("AVIF"))
        assert load(bytes(data)).notices == ()
        at = data.index(b"av1C") + 6
        data[at] |= 0x40
        # The picture itself has 8 bits, so it is not decoded here.
        with Image.open(io.BytesIO(file_of("AVIF"))) as image:
            found = depth_notices(image, io.BytesIO(bytes(data)))
        assert found == ["10 bits per channel, reduced to 8"]


class TestMetadata:
    EXIF = Image.Exif()
    EXIF[0x010F], EXIF[0x0112] = "Maker", 6

    @pytest.mark.parametrize("count", [1, 2, 3])
    def test_a_prefix_that_is_doubled(self, count):
        body = self.EXIF.tobytes().removeprefix(b"Exif\0\0")
        picture = load(jpeg_with(JPEG, (1, b"Exif\0\0" * count + body)))
        kept = Image.Exif()
        kept.load(picture.exif)
        assert (kept[0x010F], kept[0x0112]) == ("Maker", 1)
        assert picture.metadata_notices == ()

    @pytest.mark.filterwarnings("ignore:Corrupt EXIF")
    @pytest.mark.parametrize(
        "exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0" * 2 + b"x"]
    )
    def test_that_cannot_be_kept_is_said_to_those_who_keep_it(self, exif):
        picture = load(jpeg_with(JPEG, (1, exif)))
        assert picture.exif is None
        assert picture.notices == ()
        assert picture.metadata_notices == ("EXIF is damaged and left out",)

    def test_extended_xmp(self):
        extension = b"http://ns.adobe.com/xmp/extension/\0" + bytes(40)
        picture = load(jpeg_with(JPEG, (1, XMP + xmp("a='b'/>")), (1, extension)))
        assert picture.xmp is not None
        assert "extended XMP" in picture.metadata_notices[0]
