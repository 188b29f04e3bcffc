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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from glc.errors import ImageError
from glc.image.bands import Plane, to_plane
from glc.image.exif import EXIF_PREFIX, upright_metadata
from glc.image.flatten import flatten, join_planes
from glc.image.metadata import depth_notices, gain_map_notices
from glc.image.sniff import HEAD_BYTES, describe
from glc.image.srgb import to_srgb, undo_encoding
from glc.image.strict import refusing_cut_files
from glc.image.tiff import has_white_at_zero, planes_of
from glc.image.untagged_color import Encoding, encoding_of
from glc.image.wide_samples import put_in_native_order, rawmode_of, read_wide

__all__ = ["Picture", "from_array", "load", "to_pil"]

Source: TypeAlias = "Image.Image | str | os.PathLike[str] | bytes | BinaryIO"

_TIFF_MARKS = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")


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
    """Return ``picture`` as an image of mode L, LA, RGB or RGBA; metadata is in its ``info``.

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
        image.info["exif"] = EXIF_PREFIX + picture.exif
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
    rawmode = rawmode_of(image)
    finding = encoding_of(image, stream)
    notices = [*finding.notices, *depth_notices(image, stream), *gain_map_notices(image, stream)]
    profile = image.info.get("icc_profile") or finding.profile
    encoding = finding.encoding if finding.is_first or not profile else Encoding()
    if finding.is_first:
        profile = None
    planes = planes_of(image)
    if planes is not None:
        grey = planes.colours == 1
        flat, alpha, is_curved = join_planes(planes, encoding, notices)
    else:
        grey = image.mode in ("1", "L", "LA", "La", "F") or image.mode.startswith("I")
        grey = grey or rawmode.startswith("LA")
        wide = None if stream is None else read_wide(stream, rawmode)
        put_in_native_order(image)
        # Pillow turns TIFF and AVIF upright itself while loading, and then removes the tag.
        image.load()
        flat, alpha, is_curved = flatten(image, wide, rawmode, encoding, notices)
    if has_white_at_zero(image):
        flat = to_plane(flat, lambda band: band.point(lambda value: 255 - value))
    orientation, exif, xmp, lost = upright_metadata(image)
    rgb = to_srgb(flat, profile, grey, notices)
    if not (isinstance(flat, Image.Image) and flat.mode in ("CMYK", "LAB")):
        undo_encoding(encoding, rgb, grey, is_curved)
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
