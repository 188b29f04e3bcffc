"""Draws figures over a picture: a colour per square, and a legend that says what it stands for.

Knows nothing of codecs; a map of any unit will do.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

__all__ = ["colours", "draw"]

_ANCHORS = np.array(
    [(10, 10, 40), (66, 22, 112), (150, 40, 110), (222, 82, 60), (250, 160, 40), (253, 244, 160)],
    np.float64,
)
"""sRGB from dark to light. Lightness rises by about the same amount from each to the next, so that
more looks like more also in grey and to the colour-blind."""

_OPACITY = 0.6
_BAR_HEIGHT = 14
_MARGIN = 6


def colours(shares: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return the colours of ``shares``, in [0, 1]: any shape -> (..., 3) uint8 sRGB."""
    position = np.clip(shares, 0.0, 1.0) * (len(_ANCHORS) - 1)
    steps = np.arange(len(_ANCHORS))
    channels = [np.interp(position, steps, _ANCHORS[:, channel]) for channel in range(3)]
    colour: NDArray[np.uint8] = np.stack(channels, axis=-1).round().astype(np.uint8)
    return colour


def draw(
    picture: Image.Image, values: NDArray[np.float64], stride: int, caption: str
) -> Image.Image:
    """Lay values over a picture, and a legend below it.

    The scale is linear, from 0 to the largest value rounded up to two digits.

    Args:
        picture: any mode; its colours are taken away, so that those of the map can be read.
        values: (rows, columns) >= 0, one for each square of ``stride`` pixels, row by row from the
            upper left.
        stride: pixels.
        caption: what the numbers are, at the end of the legend.

    Returns:
        An RGB image, as wide as the picture and somewhat higher.
    """
    top = _rounded_up(float(values.max()))
    grey = np.asarray(picture.convert("L"), np.float64)[..., None]
    squares = colours(values / top).repeat(stride, axis=0).repeat(stride, axis=1)
    mixed = _OPACITY * squares[: picture.height, : picture.width] + (1.0 - _OPACITY) * grey
    legend = _legend(picture.width, top, caption)
    canvas = Image.new("RGB", (picture.width, picture.height + legend.height), "white")
    canvas.paste(Image.fromarray(mixed.round().astype(np.uint8)), (0, 0))
    canvas.paste(legend, (0, picture.height))
    return canvas


def _legend(width: int, top: float, caption: str) -> Image.Image:
    font = ImageFont.load_default()
    left, above, right, below = font.getbbox("0123456789")
    line = math.ceil(below - above) + 4
    image = Image.new("RGB", (width, 2 * _MARGIN + _BAR_HEIGHT + 2 * line), "white")
    pen = ImageDraw.Draw(image)
    bar = max(width - 2 * _MARGIN, 1)
    strip = colours(np.linspace(0.0, 1.0, bar))[None].repeat(_BAR_HEIGHT, axis=0)
    image.paste(Image.fromarray(strip), (_MARGIN, _MARGIN))
    marks = 5 if width >= 160 else 2
    for mark in range(marks):
        share = mark / (marks - 1)
        text = f"{share * top:g}"
        spot = _MARGIN + share * (bar - font.getlength(text))
        pen.text((spot, _MARGIN + _BAR_HEIGHT), text, fill="black", font=font)
    pen.text((_MARGIN, _MARGIN + _BAR_HEIGHT + line), caption, fill="black", font=font)
    return image


def _rounded_up(value: float) -> float:
    """Return the least number of two digits that is not below a value; 1 for 0."""
    if value <= 0.0:
        return 1.0
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.ceil(value / unit - 1e-9) * unit
