"""Pictures of kinds that are no photographs, made here: text, line drawings, charts, noise, flats.

The same number always makes the same picture. For ``eval.research.surprise``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from eval.pictures import RGB

_LETTERS = np.array(list("etaoinshrdlucmfwypvbgkjqxz"))


def make(kind: str, number: int, side: int) -> RGB:
    """Return picture ``number`` of a kind of ``KINDS``: (side, side, 3) uint8."""
    rng = np.random.default_rng([sorted(KINDS).index(kind), number])
    return KINDS[kind](rng, side)


def _text(rng: np.random.Generator, side: int) -> RGB:
    """A page of random words, dark on light or light on dark."""
    dark, light = rng.integers(0, 70, 3), rng.integers(190, 256, 3)
    paper, ink = (light, dark) if rng.random() < 0.7 else (dark, light)
    image = Image.new("RGB", (side, side), tuple(paper.tolist()))
    pen, size = ImageDraw.Draw(image), int(rng.integers(9, 22))
    font = ImageFont.load_default(size)
    for top in range(4, side, round(1.3 * size)):
        words = ["".join(rng.choice(_LETTERS, rng.integers(1, 10))) for _ in range(side // 12)]
        pen.text((4, top), " ".join(words), fill=tuple(ink.tolist()), font=font)
    return np.asarray(image)


def _lines(rng: np.random.Generator, side: int) -> RGB:
    """A drawing of thin strokes, ellipses and polygons on white."""
    image = Image.new("RGB", (side, side), "white")
    pen = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(8, 30))):
        points = [
            tuple(point) for point in rng.integers(0, side, (int(rng.integers(2, 6)), 2)).tolist()
        ]
        colour = tuple(rng.integers(0, 120, 3).tolist())
        width = int(rng.integers(1, 4))
        if rng.random() < 0.4:
            (a, b), (c, d) = points[0], points[1]
            box = (min(a, c), min(b, d), max(a, c), max(b, d))
            pen.ellipse(box, outline=colour, width=width)
        else:
            pen.line(points, fill=colour, width=width, joint="curve")
    return np.asarray(image)


def _charts(rng: np.random.Generator, side: int) -> RGB:
    """Bars of strong flat colours with axes, as in a screenshot."""
    image = Image.new("RGB", (side, side), tuple(rng.integers(200, 256, 3).tolist()))
    pen = ImageDraw.Draw(image)
    bars = int(rng.integers(4, 16))
    wide = side / (bars + 1)
    for bar in range(bars):
        height = int(rng.integers(side // 10, 9 * side // 10))
        left = int((bar + 0.6) * wide)
        box = (left, side - 16 - height, left + int(0.7 * wide), side - 16)
        pen.rectangle(box, fill=tuple(rng.integers(0, 256, 3).tolist()))
        pen.text((left, side - 14), str(int(height)), fill="black")
    pen.line(((8, 4), (8, side - 16), (side - 4, side - 16)), fill="black", width=2)
    return np.asarray(image)


def _noise(rng: np.random.Generator, side: int) -> RGB:
    """Independent noise around one colour, of a random strength."""
    values = rng.integers(60, 196, 3) + rng.normal(0.0, rng.uniform(10.0, 70.0), (side, side, 3))
    return np.clip(values, 0, 255).astype(np.uint8)


def _flat(rng: np.random.Generator, side: int) -> RGB:
    """A gradient between two colours: new to the model, and as simple as can be."""
    first, last = rng.uniform(0.0, 255.0, (2, 3))
    angle = rng.uniform(0.0, 2.0 * np.pi)
    y, x = np.mgrid[:side, :side] / side - 0.5
    share = np.clip(0.5 + np.cos(angle) * x + np.sin(angle) * y, 0.0, 1.0)[..., None]
    return np.round(first * (1.0 - share) + last * share).astype(np.uint8)


KINDS: dict[str, Callable[[np.random.Generator, int], RGB]] = {
    "charts": _charts,
    "flat": _flat,
    "lines": _lines,
    "noise": _noise,
    "text": _text,
}
"""Kinds by name."""
