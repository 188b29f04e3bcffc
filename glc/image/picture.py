"""Pictures of every kind to 8-bit sRGB arrays and back: modes, depth, orientation, colour, alpha.

Knows nothing of tensors, of the .glc container or of where files belong.

One rule for each kind of input:

    1, L, LA, La        grey; black and white become 0 and 255
    P, PA               the colours of the palette, transparency included
    RGB, RGBA, RGBa     as they are; premultiplied colours are divided by their alpha
    CMYK, YCbCr, HSV    converted to RGB, through the embedded profile if there is one
    LAB                 converted to sRGB
    12 and 16 bits      value * 255 / 4095 or 65535, rounded, with a notice; I counts as 16 bits
    F                   0 .. 1 if nothing is larger, else 0 .. 255, rounded, with a notice
    planes apart        put together (TIFF)
    several frames      the first one (of an opened image: the current one), with a notice
    EXIF orientation    applied once, and reset to 1 in the metadata that is kept
    ICC profile         converted to sRGB, perceptual intent; an unusable one gives a notice
    other colours       as the file says (gAMA, cHRM, cICP, Adobe RGB in EXIF), or a notice
    gain map, video     left out, with a notice
    cut off             an error, whatever PIL.ImageFile.LOAD_TRUNCATED_IMAGES says
    alpha               kept; dropped if it is opaque everywhere
"""

from __future__ import annotations

import io
import os
import re
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, ImageFile, UnidentifiedImageError

from glc.errors import ImageError
from glc.image.color import Encoding, encoding_of
from glc.image.depth import WIDEST, narrow, narrow_float, undo_premultiplying
from glc.image.metadata import depth_notices, gain_map_notices, metadata_notices
from glc.image.sniff import HEAD_BYTES, describe
from glc.image.strict import refusing_cut_files
from glc.image.tiff import Planes, has_12_bits, has_white_at_zero, native_rawmode, planes_of

__all__ = ["Picture", "from_array", "load", "to_pil"]

Plane: TypeAlias = NDArray[np.uint8]
Source: TypeAlias = "Image.Image | str | os.PathLike[str] | bytes | BinaryIO"

_DESCRIPTIVE_TAGS = frozenset(
    (
        *(ExifTags.Base.ImageDescription, ExifTags.Base.Make, ExifTags.Base.Model),
        *(ExifTags.Base.Software, ExifTags.Base.DateTime, ExifTags.Base.Artist),
        ExifTags.Base.Copyright,
    )
)
_EXIF_PREFIX = b"Exif\x00\x00"
_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation(?:=[\"']|>)\s*)[2-8](?=\s*[\"'<])")
_SRGB_TOLERANCE = 2
"""Levels that a profile may change colours by and still be sRGB; a curve of 2.2 changes 7."""
_TIFF_MARKS = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")

_BAND_PIXELS = 1 << 20


@dataclass(frozen=True)
class Picture:
    """A picture that is ready to be coded: upright, 8 bits, sRGB."""

    rgb: Plane
    """(H, W, 3), uint8, sRGB."""
    alpha: Plane | None = None
    """(H, W), uint8, 0 transparent; None if everything is opaque."""
    grey: bool = False
    """The source had a single colour channel."""
    notices: tuple[str, ...] = ()
    """What the conversion lost, one sentence each, for the user's eyes."""
    exif: bytes | None = None
    """EXIF as a TIFF structure, without the "Exif" prefix, orientation 1."""
    xmp: bytes | None = None
    """An XMP packet, orientation 1."""
    metadata_notices: tuple[str, ...] = ()
    """What of EXIF and XMP cannot be kept: of interest to those who keep it."""

    @property
    def width(self) -> int:
        """Pixels."""
        return int(self.rgb.shape[1])

    @property
    def height(self) -> int:
        """Pixels."""
        return int(self.rgb.shape[0])


def load(source: Source, name: str | None = None) -> Picture:
    """Read a picture of any kind that Pillow knows, by the rules at the top of this module.

    Args:
        source: an image, a path, the bytes of a file, or a binary file.
        name: what error messages call it; the path, or "picture", when omitted.

    Raises:
        ImageError: it cannot be read; the message is one line that begins with the name.
        TypeError: ``source`` is of another type.

    Example:
        >>> from glc import image
        >>> image.load("photo.jpg").rgb.shape
        (64, 96, 3)
    """
    if isinstance(source, Image.Image):
        name = name or os.fspath(getattr(source, "filename", "")) or "picture"
        with _readable(name):
            return _upright(*_convert(source, _stream_of(source)))
    if isinstance(source, (str, os.PathLike)):
        name = name or os.fspath(source)
        with _readable(name), Path(source).open("rb") as stream:
            return _decode(stream)
    if isinstance(source, bytes):
        with _readable(name or "picture"):
            return _decode(io.BytesIO(source))
    if not callable(getattr(source, "read", None)):
        raise TypeError(
            f"expected an image, a path, bytes or a binary file, found {type(source).__name__}"
        )
    with _readable(name or "picture"):
        # Not everything that can be read says whether it can be rewound.
        rewinds = callable(getattr(source, "seekable", None)) and source.seekable()
        return _decode(source if rewinds else io.BytesIO(source.read()))


def from_array(array: NDArray[Any]) -> Picture:
    """Wrap pixels that are already upright sRGB.

    Args:
        array: uint8, (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA.

    Raises:
        ValueError: another shape or type, or no pixels.

    Example:
        >>> from glc import image
        >>> image.from_array(np.zeros((2, 3), np.uint8)).grey
        True
    """
    if array.dtype != np.uint8:
        raise ValueError(
            f"expected uint8 pixels in 0 .. 255, found {array.dtype}; scale, round and convert"
        )
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise ValueError(f"expected shape (H, W), (H, W, 3) or (H, W, 4), found {array.shape}")
    if array.size == 0:
        raise ValueError(f"expected at least one pixel, found shape {array.shape}")
    if array.ndim == 2:
        return Picture(_as_rgb(array), grey=True)
    alpha = _unless_opaque(array[..., 3]) if array.shape[2] == 4 else None
    return Picture(np.ascontiguousarray(array[..., :3]), alpha)


def to_pil(picture: Picture) -> Image.Image:
    """Return an image of mode L, LA, RGB or RGBA; metadata is in its ``info``.

    Example:
        >>> from glc import image
        >>> image.to_pil(image.from_array(np.zeros((2, 3, 4), np.uint8))).mode
        'RGBA'
    """
    image = Image.fromarray(picture.rgb)
    if picture.grey:
        image = image.convert("L")
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(picture.alpha))
    if picture.exif is not None:
        image.info["exif"] = _EXIF_PREFIX + picture.exif
    if picture.xmp is not None:
        image.info["xmp"] = picture.xmp
    return image


@contextmanager
def _readable(name: str) -> Iterator[None]:
    """Turn whatever Pillow raises on bad data into an ImageError of one line."""
    try:
        with refusing_cut_files():
            yield
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(
            f"{name}: too many pixels; raise PIL.Image.MAX_IMAGE_PIXELS (glc encode "
            "--max-pixels) if you trust it"
        ) from error
    except MemoryError as error:
        raise ImageError(f"{name}: not enough memory for this picture") from error
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{name}: cannot be read: {reason}") from error
    except Exception as error:
        # Pillow's readers let many types through when a file is damaged: SyntaxError, EOFError,
        # struct.error, KeyError, and others.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{name}: damaged or not supported: {reason}") from error


def _decode(stream: BinaryIO) -> Picture:
    start = stream.tell()
    try:
        image = Image.open(stream)
    except UnidentifiedImageError as error:
        stream.seek(start)
        head = stream.read(HEAD_BYTES)
        if head.startswith(_TIFF_MARKS):
            raise ImageError(
                "a TIFF that is damaged, or of a layout that Pillow cannot read"
            ) from error
        raise ImageError(describe(head)) from error
    with image:
        picture, orientation = _convert(image, stream)
    # Turning copies, so it waits until Pillow's own copy is gone.
    return _upright(picture, orientation)


def _convert(image: Image.Image, stream: BinaryIO | None) -> tuple[Picture, int]:
    """Apply the rules of this module, in the order in which they depend on each other.

    Returns:
        The picture as it lies in the file, and its orientation.
    """
    if 0 in image.size:
        raise ImageError(f"no pixels: {image.width} x {image.height}")
    rawmode = _rawmode(image)
    finding = encoding_of(image, stream)
    notices = [*finding.notices, *depth_notices(image, stream), *gain_map_notices(image, stream)]
    profile = image.info.get("icc_profile") or finding.profile
    encoding = finding.encoding if finding.is_first or not profile else Encoding()
    if finding.is_first:
        profile = None
    planes = planes_of(image)
    if planes is not None:
        grey = planes.colours == 1
        flat, alpha, is_curved = _join(planes, encoding, notices)
    else:
        grey = image.mode in ("1", "L", "LA", "La", "F") or image.mode.startswith("I")
        grey = grey or rawmode.startswith("LA")
        wide = None if stream is None else _wide(stream, rawmode)
        _put_in_native_order(image)
        # Pillow turns TIFF and AVIF upright itself while loading, and then removes the tag.
        image.load()
        flat, alpha, is_curved = _flatten(image, wide, rawmode, encoding, notices)
    if has_white_at_zero(image):
        flat = _to_plane(flat, lambda band: band.point(lambda value: 255 - value))
    orientation, exif, xmp, lost = _metadata(image)
    rgb = _to_srgb(flat, profile, grey, notices)
    if not (isinstance(flat, Image.Image) and flat.mode in ("CMYK", "LAB")):
        _undo(encoding, rgb, grey, is_curved)
    if alpha is not None:
        alpha = _unless_opaque(alpha)
    notices += _frame_notice(image)
    return Picture(rgb, alpha, grey, tuple(notices), exif, xmp, lost), orientation


def _stream_of(image: Image.Image) -> BinaryIO | None:
    """Return the file of an image that is not loaded yet and stands at its first frame."""
    stream: BinaryIO | None = getattr(image, "fp", None)
    is_waiting = bool(getattr(image, "tile", None)) and image.tell() == 0
    return stream if is_waiting and stream is not None and stream.seekable() else None


def _upright(picture: Picture, orientation: int) -> Picture:
    alpha = None if picture.alpha is None else _turn(picture.alpha, orientation)
    return replace(picture, rgb=_turn(picture.rgb, orientation), alpha=alpha)


def _frame_notice(image: Image.Image) -> list[str]:
    """Say which frame was kept; counting moves through the file, so the pixels must be out."""
    number = image.tell() + 1
    try:
        frames = getattr(image, "n_frames", 1)
    except Exception:
        return [f"several frames, some damaged; only number {number} is kept"]
    return [f"{frames} frames; only number {number} is kept"] if frames > 1 else []


def _flatten(
    image: Image.Image, wide: _Wide | None, rawmode: str, encoding: Encoding, notices: list[str]
) -> tuple[Image.Image | Plane, Plane | None, bool]:
    """Return 8-bit colours without alpha, (H, W) or (H, W, 3) or an image, and the alpha plane.

    The last value tells whether the colours are on the curve of sRGB, since more than 8 bits are
    brought there before they are reduced.
    """
    key = _key(image, rawmode)
    if wide is not None or image.mode.startswith("I;16"):
        bits = 12 if has_12_bits(image) else 16
        notices.append(f"{bits} bits per channel, reduced to 8")
        largest = (1 << bits) - 1
        return *_reduce(image, wide, key, largest, encoding.curve(largest)), True
    if image.mode == "I":
        notices.append("32-bit integers taken as 16 bits per channel, reduced to 8")
        is_unsigned = rawmode == "I;32N"
        return *_reduce(image, None, None, WIDEST, encoding.curve(WIDEST), is_unsigned), True
    if image.mode == "F":
        notices.append("floating-point values, reduced to 8 bits")
        return narrow_float(np.asarray(image)), None, False
    if ";16" in rawmode:
        notices.append("16 bits per channel, reduced to 8")
    if key is not None:
        return *_keyed(image, key), False
    if image.mode in ("1", "L", "LA", "La"):
        if image.mode in ("1", "L") and not image.has_transparency_data:
            return (image if image.mode == "L" else image.convert("L")), None, False
        return *_split(image, "LA"), False
    if image.has_transparency_data:
        return *_split(image, "RGBA"), False
    if image.mode in ("RGB", "CMYK", "LAB"):
        return image, None, False
    return _to_plane(image, lambda band: band.convert("RGB"), 3), None, False


def _key(image: Image.Image, rawmode: str) -> tuple[int, ...] | None:
    """Return the transparent colour of a grey or an RGB picture, in the values of its samples.

    That of a PNG has 16 bits, of which those count that a sample has; Pillow stretches samples of 2
    and 4 bits to 8, and leaves the colour as it is.
    """
    found = image.info.get("transparency")
    if image.mode not in ("1", "L", "RGB", "I;16") or not isinstance(found, (int, tuple)):
        return None
    values = (found,) if isinstance(found, int) else found
    if len(values) != len(image.getbands()):
        return None
    if rawmode in ("L;2", "L;4"):
        largest = 3 if rawmode == "L;2" else 15
        return tuple((value & largest) * (255 // largest) for value in values)
    largest = WIDEST if ";16" in rawmode or image.mode == "I;16" else 255
    return tuple(value & largest for value in values)


def _keyed(image: Image.Image, key: tuple[int, ...]) -> tuple[Plane, Plane]:
    """Return the colours of an 8-bit picture, and where they are not its transparent one."""
    size = image.height, image.width
    colours = np.empty(size if len(key) == 1 else (*size, 3), np.uint8)
    alpha = np.empty(size, np.uint8)
    for rows, band in _bands(image):
        colours[rows] = np.asarray(band.convert("L") if len(key) == 1 else band)
        alpha[rows] = _opaque(colours[rows], key)
    return colours, alpha


def _opaque(values: NDArray[Any], key: tuple[int, ...]) -> Plane:
    """Return 0 where samples, (H, W) or (H, W, C), are the key, else 255."""
    matches = values == (key[0] if len(key) == 1 else np.asarray(key))
    matches = matches if values.ndim == 2 else matches.all(axis=-1)
    opaque: Plane = np.where(matches, np.uint8(0), np.uint8(255))
    return opaque


def _split(image: Image.Image, mode: str) -> tuple[Plane, Plane]:
    """Convert to LA or RGBA; return (H, W) or (H, W, 3), and alpha (H, W)."""
    size = image.height, image.width
    colours = np.empty(size if mode == "LA" else (*size, 3), np.uint8)
    alpha = np.empty(size, np.uint8)
    for rows, band in _bands(image):
        pixels = np.asarray(band.convert(mode))
        colours[rows] = pixels[..., 0] if mode == "LA" else pixels[..., :3]
        alpha[rows] = pixels[..., -1]
    return colours, alpha


def _bands(flat: Image.Image | Plane) -> Iterator[tuple[slice, Image.Image]]:
    """Yield a picture in pieces of some rows.

    Every conversion by Pillow, and every array of what it made, is a copy: let it be a small one.
    """
    height, width = flat.shape[:2] if isinstance(flat, np.ndarray) else (flat.height, flat.width)
    for rows in _rows(height, width):
        if isinstance(flat, np.ndarray):
            yield rows, Image.fromarray(flat[rows])
        else:
            yield rows, flat.crop((0, rows.start, width, rows.stop))


def _rows(height: int, width: int) -> Iterator[slice]:
    count = max(1, _BAND_PIXELS // width)
    for top in range(0, height, count):
        yield slice(top, min(top + count, height))


def _to_plane(
    flat: Image.Image | Plane, convert: Callable[[Image.Image], Image.Image], channels: int = 1
) -> Plane:
    """Convert a picture band by band to one of as many channels: (H, W, channels) or (H, W)."""
    size = flat.shape[:2] if isinstance(flat, np.ndarray) else (flat.height, flat.width)
    plane = np.empty(size if channels == 1 else (*size, channels), np.uint8)
    for rows, band in _bands(flat):
        plane[rows] = np.asarray(convert(band))
    return plane


def _rawmode(image: Image.Image) -> str:
    """Return how the samples lie in the file, or nothing for an image that is loaded already."""
    tiles = getattr(image, "tile", None)
    if not tiles:
        return ""
    args = tiles[0][3]
    rawmode = args[0] if isinstance(args, tuple) and args else args
    return rawmode if isinstance(rawmode, str) else ""


@dataclass(frozen=True)
class _Wide:
    """The samples of a 16-bit picture that Pillow gives only the high bytes of."""

    high: Image.Image | Plane | None
    """(H, W, C); None: the picture itself."""
    low: Plane
    """(H, W, C)."""
    is_premultiplied: bool = False


def _wide(stream: BinaryIO, rawmode: str) -> _Wide | None:
    """Return what Pillow leaves out of a picture of 16 bits and several channels.

    Read once more with the other byte order, the file gives the low bytes, and values can be
    rounded.
    """
    samples, _, order = rawmode.partition(";16")
    if order not in ("B", "L", "N"):
        return None
    if samples == "LA":
        # Pillow has no other order of it; but as many bytes are a pixel of RGBA.
        pairs = np.asarray(_reopened(stream, "RGBA"))
        return _Wide(np.ascontiguousarray(pairs[..., ::2]), pairs[..., 1::2])
    is_big = order == "B" or (order == "N" and sys.byteorder == "big")
    other = "L" if is_big else "B"
    if samples == "RGBa":
        high = _reopened(stream, f"RGBA;16{order}")
        return _Wide(high, np.asarray(_reopened(stream, f"RGBA;16{other}")), True)
    if samples not in ("RGB", "RGBA", "RGBX", "CMYK"):
        return None
    return _Wide(None, np.asarray(_reopened(stream, f"{samples};16{other}")))


def _reopened(stream: BinaryIO, rawmode: str) -> Image.Image:
    """Return the picture of a file as if its samples lay there in another way."""
    # The caller's own reading of the same stream has not begun yet and goes on from here.
    position = stream.tell()
    again = Image.open(stream)
    _set_rawmode(again, rawmode)
    again.load()
    stream.seek(position)
    return again


def _set_rawmode(image: ImageFile.ImageFile, rawmode: str) -> None:
    image.tile = [
        tile._replace(args=(rawmode, *tile.args[1:]) if isinstance(tile.args, tuple) else rawmode)
        for tile in image.tile
    ]


def _put_in_native_order(image: Image.Image) -> None:
    rawmode = native_rawmode(image)
    if rawmode is not None and isinstance(image, ImageFile.ImageFile):
        _set_rawmode(image, rawmode)


def _join(
    planes: Planes, encoding: Encoding, notices: list[str]
) -> tuple[Image.Image | Plane, Plane | None, bool]:
    """Put planes together and reduce them to 8 bits: as ``_flatten``."""
    found = [np.asarray(image) for image in planes.images]
    largest = WIDEST if found[0].dtype.itemsize > 1 else 255
    if largest == WIDEST:
        notices.append("16 bits per channel, reduced to 8")
    is_ink = planes.colours == 4
    curve = None if is_ink else encoding.curve(largest)
    colours = np.empty((*found[0].shape, planes.colours), np.uint8)
    alpha = np.empty(found[0].shape, np.uint8) if planes.has_alpha else None
    for rows in _rows(*found[0].shape):
        values = np.stack([plane[rows] for plane in found[: planes.colours]], axis=-1)
        if planes.is_premultiplied:
            values = undo_premultiplying(values, found[-1][rows], largest)
        colours[rows] = narrow(values, largest, curve)
        if alpha is not None:
            alpha[rows] = narrow(found[-1][rows], largest)
    if is_ink:
        return Image.fromarray(colours, "CMYK"), alpha, True
    return colours[..., 0] if planes.colours == 1 else colours, alpha, True


def _reduce(
    image: Image.Image,
    wide: _Wide | None,
    key: tuple[int, ...] | None,
    largest: int,
    curve: Plane | None,
    is_unsigned: bool = False,
) -> tuple[Image.Image | Plane, Plane | None]:
    """Reduce more than 8 bits to 8: (H, W), (H, W, 3) or inks, and alpha.

    Args:
        image: of integers, or the high bytes of a colour picture.
        wide: the rest of a colour picture.
        key: the colour that is transparent.
        largest: what is white.
        curve: brings samples to the curve of sRGB.
        is_unsigned: negative integers are large ones.
    """
    size, is_ink = (image.height, image.width), image.mode == "CMYK"
    high = image if wide is None or wide.high is None else wide.high
    channels = 1 if wide is None else wide.low.shape[-1]
    count = channels - (channels in (2, 4) and not is_ink)
    colours = np.empty(size if count == 1 else (*size, count), np.uint8)
    has_alpha = count < channels or key is not None
    alpha = np.empty(size, np.uint8) if has_alpha else None
    for rows, band in _bands(high):
        values = np.asarray(band)
        if is_unsigned:
            values = values.view(np.uint32)
        values = np.clip(values, 0, largest).astype(np.uint32)
        if wide is not None:
            values = values * 256 + wide.low[rows]
        if alpha is not None:
            opaque = _opaque(values, key) if key is not None else narrow(values[..., -1])
            alpha[rows] = opaque
        inner = values if channels == 1 else values[..., :count]
        if wide is not None and wide.is_premultiplied:
            inner = undo_premultiplying(inner, values[..., -1])
        reduced = narrow(inner, largest, None if is_ink else curve)
        colours[rows] = reduced.reshape(colours[rows].shape)
    return (Image.fromarray(colours, "CMYK") if is_ink else colours), alpha


def _undo(encoding: Encoding, rgb: Plane, grey: bool, is_curved: bool) -> None:
    """Bring (H, W, 3) samples to sRGB, in place."""
    curve = None if is_curved else encoding.curve(255)
    if curve is None and (grey or encoding.primaries is None):
        return
    for rows in _rows(*rgb.shape[:2]):
        samples = rgb[rows] if curve is None else curve[rgb[rows]]
        rgb[rows] = samples if grey else encoding.to_srgb(samples)


def _to_srgb(flat: Image.Image | Plane, profile: object, grey: bool, notices: list[str]) -> Plane:
    """Return (H, W, 3) sRGB values; all three are equal for a grey picture."""
    if not isinstance(flat, np.ndarray) and flat.mode == "LAB":
        return _transform(flat, "LAB", ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")))
    if isinstance(profile, bytes) and profile:
        try:
            rgb = _through_profile(flat, profile)
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
            reason = " ".join(str(error).split())
            notices.append(f"unusable colour profile ({reason}); colours taken as sRGB")
        else:
            if grey:
                rgb[..., ::2] = rgb[..., 1:2]
            return rgb
    return _as_srgb(flat)


def _as_srgb(flat: Image.Image | Plane) -> Plane:
    if isinstance(flat, np.ndarray) and flat.ndim == 3:
        return flat
    return _to_plane(flat, lambda band: band.convert("RGB"), 3)


def _through_profile(flat: Image.Image | Plane, data: bytes) -> Plane:
    profile = ImageCms.getOpenProfile(io.BytesIO(data))
    space = profile.profile.xcolor_space.strip()
    mode = next(band for _, band in _bands(flat)).mode
    if space == "RGB" and mode == "L":
        mode = "RGB"
    expected = {"RGB": "RGB", "CMYK": "CMYK", "GRAY": "L"}.get(space)
    if mode != expected:
        raise ValueError(f"it is for {space} pixels, and these are {mode}")
    if mode != "CMYK" and _is_srgb(profile, mode):
        return _as_srgb(flat)
    return _transform(flat, mode, profile)


def _is_srgb(profile: ImageCms.ImageCmsProfile, mode: str) -> bool:
    """Tell from what a profile does, and not from its name, whether it is that of sRGB."""
    ramp = np.arange(256, dtype=np.uint8)[None]
    if mode == "RGB":
        corners = np.array([*product(range(0, 256, 51), repeat=3)], np.uint8)[None]
        ramp = np.concatenate((np.stack((ramp,) * 3, axis=-1), corners), axis=1)
    converted = _transform(ramp, mode, profile).astype(int)
    expected = ramp if mode == "RGB" else ramp[..., None]
    return bool(np.abs(converted - expected).max() <= _SRGB_TOLERANCE)


def _transform(flat: Image.Image | Plane, mode: str, profile: ImageCms.ImageCmsProfile) -> Plane:
    """Convert pixels, taken as of this mode, from a profile to sRGB: (H, W, 3)."""
    transform = ImageCms.buildTransform(
        profile,
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        renderingIntent=ImageCms.Intent.PERCEPTUAL,
    )

    def convert(band: Image.Image) -> Image.Image:
        converted = ImageCms.applyTransform(
            band if band.mode == mode else band.convert(mode), transform
        )
        if converted is None:
            raise ImageCms.PyCMSError("no image came out of the transform")
        return converted

    return _to_plane(flat, convert, 3)


def _metadata(
    image: Image.Image,
) -> tuple[int, bytes | None, bytes | None, tuple[str, ...]]:
    """Return the orientation, 1 to 8, upright EXIF and XMP, and what cannot be kept of them."""
    lost = metadata_notices(image)
    exif: object = image.info.get("exif")
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        if image.format == "TIFF":
            exif = _tiff_exif(image)
    except Exception:
        # Damaged EXIF is common, and no reason to refuse a picture.
        orientation = 1
    xmp = image.info.get("xmp")
    kept = _upright_exif(exif) if isinstance(exif, bytes) else None
    if kept is None and exif:
        lost.append("EXIF is damaged and left out")
    if xmp and not isinstance(xmp, bytes):
        lost.append("XMP is damaged and left out")
    return (
        orientation if orientation in range(1, 9) else 1,
        kept,
        _XMP_ORIENTATION.sub(rb"\g<1>1", xmp) if isinstance(xmp, bytes) else None,
        tuple(lost),
    )


def _tiff_exif(image: Image.Image) -> bytes | None:
    """Return the tags of a TIFF that describe the picture, not those that lay out its pixels."""
    found, kept = image.getexif(), Image.Exif()
    for tag in _DESCRIPTIVE_TAGS.intersection(found):
        kept[tag] = found[tag]
    for directory in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        if entries := found.get_ifd(directory):
            kept[directory] = dict(entries)
    return kept.tobytes() if kept else None


def _upright_exif(exif: bytes) -> bytes | None:
    """Set the orientation to 1 in place, so that offsets inside maker notes stay valid.

    Returns:
        The TIFF structure without prefix; None if its first directory cannot be read.
    """
    while exif.startswith(_EXIF_PREFIX):
        # Some programs write it once more.
        exif = exif.removeprefix(_EXIF_PREFIX)
    data = bytearray(exif)
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(bytes(data[:4]))
    if order is None:
        return None
    try:
        (directory,) = struct.unpack_from(f"{order}I", data, 4)
        (count,) = struct.unpack_from(f"{order}H", data, directory)
        for entry in range(directory + 2, directory + 2 + 12 * count, 12):
            if struct.unpack_from(f"{order}H", data, entry) == (ExifTags.Base.Orientation,):
                struct.pack_into(f"{order}HIHH", data, entry + 2, 3, 1, 1, 0)
    except struct.error:
        return None
    return bytes(data)


def _turn(array: Plane, orientation: int) -> Plane:
    """Apply an EXIF orientation to (H, W) or (H, W, C); 5 to 8 exchange height and width."""
    if orientation >= 5:
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)


def _as_rgb(plane: Plane) -> Plane:
    return np.repeat(plane[..., None], 3, axis=2)


def _unless_opaque(alpha: Plane) -> Plane | None:
    return None if alpha.min() == 255 else np.ascontiguousarray(alpha)
