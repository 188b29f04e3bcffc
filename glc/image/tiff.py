"""TIFF files whose samples lie apart, plane by plane, which Pillow shows wrongly or not at all.

Every plane is read by Pillow as the grey picture that it is: a directory that describes that plane
alone is put behind the bytes of the file (TIFF 6.0, section 2).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import NamedTuple, TypeGuard

from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from glc.errors import ImageError

__all__ = ["Planes", "has_12_bits", "has_white_at_zero", "native_rawmode", "planes_of"]

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 256, 257, 258, 259, 262, 266
_STRIP_OFFSETS, _SAMPLES, _ROWS, _STRIP_BYTES, _PLANAR, _PREDICTOR = 273, 277, 278, 279, 284, 317
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES = 322, 323, 324, 325
_EXTRA, _FORMAT = 338, 339
_APART = 2
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _INKS = 0, 1, 2, 5
_COLOURS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _INKS: 4}
_PREMULTIPLIED, _ALPHA = 1, 2
_LONG = 4
_CLASSIC_MAX_BYTES = 1 << 32

# Samples that libtiff gives in the order of this machine, and Pillow takes for that of the file.
_NATIVE = {
    "F;32F": "F;32NF",
    "F;32BF": "F;32NF",
    "I;16S": "I;16NS",
    "I;16BS": "I;16NS",
    "I;32S": "I;32NS",
    "I;32BS": "I;32NS",
}


class Planes(NamedTuple):
    """A picture whose samples lie apart."""

    colours: int
    """1 grey, 3 RGB, 4 inks; so many of the images come first."""
    has_alpha: bool
    """One more image is the alpha plane."""
    is_premultiplied: bool
    images: Iterator[Image.Image]
    """Of mode L or I;16, as the file has them."""


def planes_of(image: Image.Image) -> Planes | None:
    """Return the planes of a picture that has them apart; None for what Pillow reads rightly.

    Raises:
        ImageError: planes apart of a kind that is not known.
    """
    if not _is_tiff(image) or image.tag_v2.get(_PLANAR, 1) != _APART:
        return None
    tags = image.tag_v2
    count = int(tags.get(_SAMPLES, 1))
    bits, extra = set(tags.get(_BITS, (1,))), tuple(tags.get(_EXTRA, ()))
    photometric = int(tags.get(_PHOTOMETRIC, 0))
    colours = _COLOURS.get(photometric, 0)
    if count == 1 or (bits == {8} and count == colours > 1):
        return None
    if image.fp is None or not image.tile:
        # Whoever loaded it has what Pillow made of it.
        raise ImageError("a TIFF with its samples in planes apart; give the file, not the image")
    formats = set(tags.get(_FORMAT, (1,)))
    if not colours or count < colours or formats != {1} or bits not in ({8}, {16}):
        raise ImageError(
            f"a TIFF with its samples in planes apart: {count} of {sorted(bits)} bits, photometric "
            f"{photometric}, formats {sorted(formats)} cannot be read"
        )
    if not extra and (photometric, count) == (_RGB, 4):
        # As Pillow has it where the samples lie together.
        extra = (_ALPHA,)
    kind = extra[0] if extra and count > colours else 0
    has_alpha = kind in (_ALPHA, _PREMULTIPLIED)
    wanted = colours + has_alpha
    return Planes(colours, has_alpha, kind == _PREMULTIPLIED, _read(image, count, wanted))


def has_white_at_zero(image: Image.Image) -> bool:
    """Tell whether a picture is still a negative as Pillow reads it: up to 8 bits it is none."""
    is_wide = image.mode.startswith(("I", "F"))
    return is_wide and _is_tiff(image) and image.tag_v2.get(_PHOTOMETRIC, 0) == _WHITE_IS_ZERO


def has_12_bits(image: Image.Image) -> bool:
    """Tell whether the samples of a picture that Pillow shows as 16 bits have 12."""
    return _is_tiff(image) and tuple(image.tag_v2.get(_BITS, ())) == (12,)


def native_rawmode(image: Image.Image) -> str | None:
    """Return how samples come out of libtiff where Pillow takes them for another order of bytes."""
    if not _is_tiff(image) or not image.tile or image.tile[0].codec_name != "libtiff":
        return None
    args = image.tile[0].args
    return _NATIVE.get(args[0]) if isinstance(args, tuple) else None


def _is_tiff(image: Image.Image) -> TypeGuard[TiffImageFile]:
    return isinstance(image, TiffImageFile)


def _read(image: TiffImageFile, count: int, wanted: int) -> Iterator[Image.Image]:
    """Yield the first planes of a file, each decoded when its turn comes."""
    tags, stream = image.tag_v2, image.fp
    if stream is None:
        raise ImageError("the file is closed")
    position = stream.tell()
    stream.seek(0)
    data = bytearray(stream.read())
    stream.seek(position)
    if len(data) >= _CLASSIC_MAX_BYTES:
        raise ImageError("a TIFF of 4 GiB with its samples in planes apart cannot be read")
    order = "<" if tags.prefix == b"II" else ">"
    is_tiled = _TILE_OFFSETS in tags
    places = (_TILE_OFFSETS, _TILE_BYTES) if is_tiled else (_STRIP_OFFSETS, _STRIP_BYTES)
    offsets, lengths = (tuple(tags.get(tag, ())) for tag in places)
    if not offsets or len(offsets) % count or len(lengths) != len(offsets):
        raise ImageError(f"a TIFF of {count} planes in {len(offsets)} pieces; damaged")
    each, end = len(offsets) // count, len(data)
    least = _least_bytes(tags, each, is_tiled) if tags.get(_COMPRESSION, 1) == 1 else [1] * each
    for offset, length, needed in zip(offsets, lengths, least * count, strict=True):
        # What lies behind the end would be read as samples.
        if length < needed or offset + length > end:
            raise ImageError("a TIFF that ends inside its samples; cut off")
    sides = (_TILE_WIDTH, _TILE_HEIGHT) if is_tiled else (_ROWS,)
    kept = (_WIDTH, _HEIGHT, _COMPRESSION, _FILL_ORDER, _PREDICTOR, *sides)
    shared = {tag: (int(tags[tag]),) for tag in kept if tag in tags}
    shared |= {_PHOTOMETRIC: (_BLACK_IS_ZERO,), _BITS: (int(tags[_BITS][0]),)}
    for plane in range(wanted):
        span = slice(plane * each, (plane + 1) * each)
        entries = {**shared, places[0]: offsets[span], places[1]: lengths[span]}
        # The file's own header, of BigTIFF perhaps, is not needed any more.
        data[:8] = tags.prefix + struct.pack(f"{order}HI", 42, end)
        data[end:] = _directory(entries, end, order)
        with Image.open(io.BytesIO(data), formats=("TIFF",)) as single:
            single.load()
            yield single


def _least_bytes(tags: ImageFileDirectory_v2, each: int, is_tiled: bool) -> list[int]:
    """Return how many bytes the pieces of a plane have that is not compressed."""
    width, height, size = int(tags[_WIDTH]), int(tags[_HEIGHT]), int(tags[_BITS][0]) // 8
    if is_tiled:
        return [int(tags[_TILE_WIDTH]) * int(tags[_TILE_HEIGHT]) * size] * each
    rows = int(tags.get(_ROWS, height))
    return [max(0, min(rows, height - top)) * width * size for top in range(0, each * rows, rows)]


def _directory(entries: dict[int, tuple[int, ...]], at: int, order: str) -> bytes:
    """Return a directory of numbers, to be written at an offset."""
    beyond = at + 2 + 12 * len(entries) + 4
    table, rest = b"", b""
    for tag, values in sorted(entries.items()):
        content = struct.pack(f"{order}{len(values)}I", *values)
        if len(values) > 1:
            content, rest = struct.pack(f"{order}I", beyond + len(rest)), rest + content
        table += struct.pack(f"{order}HHI", tag, _LONG, len(values)) + content
    return struct.pack(f"{order}H", len(entries)) + table + bytes(4) + rest
