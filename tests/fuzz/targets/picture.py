"""``glc.image.load``: any bytes give an upright 8-bit picture, or an ImageError of one line."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from random import Random

import numpy as np
from PIL import Image, ImageCms

from glc.errors import ImageError
from glc.image import load
from tests.fuzz.mutate import mutate_bytes

_PIXELS = 1 << 19
"""Pillow's limit while fuzzing; it refuses twice as many."""


class PictureTarget:
    name = "picture"
    max_bytes = 8192

    def __init__(self) -> None:
        Image.MAX_IMAGE_PIXELS = _PIXELS
        warnings.simplefilter("ignore")

    def seeds(self) -> list[bytes]:
        rng = np.random.default_rng(1)
        four = Image.fromarray(rng.integers(0, 255, (9, 13, 4), dtype=np.uint8))
        frames = [Image.new("RGB", (13, 9), colour) for colour in ("red", "blue")]
        exif = Image.Exif()
        exif[0x0112] = 6
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        several = {"save_all": True, "append_images": frames[1:]}
        made = [
            *(_file(four.convert(mode), "PNG") for mode in ("1", "L", "LA", "P", "RGB", "RGBA")),
            _file(four.convert("I;16"), "PNG"),
            _file(four.convert("RGB"), "PNG", exif=exif, icc_profile=profile),
            *(_file(four.convert(mode), "JPEG", exif=exif) for mode in ("L", "RGB", "CMYK")),
            *(_file(four, "WEBP", lossless=lossless, exif=exif) for lossless in (False, True)),
            *(_file(frames[0], kind, **several) for kind in ("GIF", "PNG", "WEBP", "TIFF", "MPO")),
            *(_file(four.convert(mode), "TIFF") for mode in ("F", "I", "LAB", "CMYK", "RGBA")),
            *(_file(four.convert("RGB"), kind) for kind in ("BMP", "PPM", "TGA", "ICO", "DDS")),
        ]
        return [data for data in made if len(data) <= self.max_bytes]

    def mutate(self, data: bytes, rng: Random) -> bytes:
        if data.startswith(b"\x89PNG") and rng.random() < 0.7:
            return _mutate_png(data, rng)
        # Headers are where readers decide; pixels are mostly just other pixels.
        if rng.random() < 0.5:
            edge = min(len(data), 64)
            return mutate_bytes(data[:edge], rng) + data[edge:]
        return mutate_bytes(data, rng)

    def run(self, data: bytes) -> str:
        try:
            picture = load(data, "name.png")
        except ImageError as error:
            if not str(error).startswith("name.png: ") or "\n" in str(error):
                raise AssertionError(f"not one line that names the file: {error!r}") from error
            raise
        assert picture.rgb.dtype == np.uint8
        assert picture.rgb.ndim == 3
        assert picture.rgb.shape[2] == 3
        assert min(picture.rgb.shape) > 0
        assert picture.alpha is None or picture.alpha.shape == picture.rgb.shape[:2]
        assert all(notice.isprintable() for notice in picture.notices)
        kind = "grey" if picture.grey else "colour"
        return f"{kind}{' with alpha' if picture.alpha is not None else ''}, {picture.notices}"

    def allowance(self, data: bytes) -> int:
        # Pillow's own pixels are not seen here; arrays of the largest picture allowed are.
        return 40 * 2 * _PIXELS + 64 * len(data) + (16 << 20)


def _file(image: Image.Image, kind: str, **parameters: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **parameters)
    return stream.getvalue()


def _mutate_png(data: bytes, rng: Random) -> bytes:
    """Change the data of one chunk, or its place, and put its checksum right."""
    chunks, at = [], 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    if not chunks:
        return mutate_bytes(data, rng)
    place = rng.randrange(len(chunks))
    tag, body = chunks[place]
    kind = rng.randrange(6)
    if kind == 0:
        chunks.insert(rng.randrange(len(chunks)), chunks.pop(place))
    elif kind == 1:
        chunks.append(chunks[place])
    elif kind == 2:
        tag = rng.choice((b"tRNS", b"PLTE", b"iCCP", b"eXIf", b"acTL", b"zTXt", b"gAMA"))
        chunks.insert(
            1, (tag, rng.choice((body, rng.randbytes(6), b"a\0\0" + zlib.compress(body))))
        )
    else:
        chunks[place] = (tag, mutate_bytes(body, rng))
    return data[:8] + b"".join(
        struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))
        for tag, body in chunks
    )


def make() -> PictureTarget:
    return PictureTarget()
