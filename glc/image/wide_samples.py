"""Samples of 16 bits in several channels, of which Pillow gives only the high bytes."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile

from glc.image.bands import Plane
from glc.image.tiff import native_rawmode

__all__ = ["Wide", "put_in_native_order", "rawmode_of", "read_wide"]


def rawmode_of(image: Image.Image) -> str:
    """Return how the samples lie in the file, or nothing for an image that is loaded already."""
    tiles = getattr(image, "tile", None)
    if not tiles:
        return ""
    args = tiles[0][3]
    rawmode = args[0] if isinstance(args, tuple) and args else args
    return rawmode if isinstance(rawmode, str) else ""


@dataclass(frozen=True)
class Wide:
    """The samples of a 16-bit picture that Pillow gives only the high bytes of."""

    high: Image.Image | Plane | None
    """(H, W, C); None: the picture itself."""
    low: Plane
    """(H, W, C)."""
    is_premultiplied: bool = False


def read_wide(stream: BinaryIO, rawmode: str) -> Wide | None:
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
        return Wide(np.ascontiguousarray(pairs[..., ::2]), pairs[..., 1::2])
    is_big = order == "B" or (order == "N" and sys.byteorder == "big")
    other = "L" if is_big else "B"
    if samples == "RGBa":
        high = _reopened(stream, f"RGBA;16{order}")
        return Wide(high, np.asarray(_reopened(stream, f"RGBA;16{other}")), True)
    if samples not in ("RGB", "RGBA", "RGBX", "CMYK"):
        return None
    return Wide(None, np.asarray(_reopened(stream, f"{samples};16{other}")))


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


def put_in_native_order(image: Image.Image) -> None:
    """Have Pillow read the samples of a TIFF in the order of this machine, where it would not."""
    rawmode = native_rawmode(image)
    if rawmode is not None and isinstance(image, ImageFile.ImageFile):
        _set_rawmode(image, rawmode)
