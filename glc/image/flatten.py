"""Samples of every depth and mode to 8-bit colours and an alpha plane.

Colours stay in the space they are in; ``glc.image.srgb`` converts them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glc.image.bands import Plane, bands, row_slices, to_plane
from glc.image.depth import WIDEST, narrow, narrow_float, undo_premultiplying
from glc.image.tiff import Planes, has_12_bits
from glc.image.untagged_color import Encoding
from glc.image.wide_samples import Wide

__all__ = ["flatten", "join_planes"]


def flatten(
    image: Image.Image, wide: Wide | None, rawmode: str, encoding: Encoding, notices: list[str]
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
    return to_plane(image, lambda band: band.convert("RGB"), 3), None, False


def join_planes(
    planes: Planes, encoding: Encoding, notices: list[str]
) -> tuple[Image.Image | Plane, Plane | None, bool]:
    """Put planes together and reduce them to 8 bits: as ``flatten``."""
    found = [np.asarray(image) for image in planes.images]
    largest = WIDEST if found[0].dtype.itemsize > 1 else 255
    if largest == WIDEST:
        notices.append("16 bits per channel, reduced to 8")
    is_ink = planes.colours == 4
    curve = None if is_ink else encoding.curve(largest)
    colours = np.empty((*found[0].shape, planes.colours), np.uint8)
    alpha = np.empty(found[0].shape, np.uint8) if planes.has_alpha else None
    for rows in row_slices(*found[0].shape):
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
    wide: Wide | None,
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
    for rows, band in bands(high):
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
    for rows, band in bands(image):
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
    for rows, band in bands(image):
        pixels = np.asarray(band.convert(mode))
        colours[rows] = pixels[..., 0] if mode == "LA" else pixels[..., :3]
        alpha[rows] = pixels[..., -1]
    return colours, alpha
