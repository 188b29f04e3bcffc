"""The pictures an evaluation reads: found under a folder, as 8-bit RGB.

Knows nothing of codecs and metrics.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".ppm", ".tif", ".tiff", ".avif", ".jp2"}
)

RGB = NDArray[np.uint8]
"""(H, W, 3), uint8: what every codec is given and every metric compares."""


@dataclass(frozen=True)
class Source:
    """One picture of the test set.

    `name` is the path below the folder, with `/`, so that `a/1.png` and `b/1.png` stay apart;
    `digest` is the start of the file's SHA-256, so that a changed picture is measured again.
    """

    name: str
    path: Path
    digest: str


def find(folder: Path, limit: int | None = None) -> list[Source]:
    """Return the pictures under `folder` in order of their names, at most `limit` of them.

    Raises:
        ValueError: `folder` is no folder or holds no picture.

    Example:
        >>> from eval.pictures import find
        >>> [picture.name for picture in find(Path("pictures"))]
        ['one.jpg', 'two.jpg']
    """
    if not folder.is_dir():
        raise ValueError(f"--images: expected a folder of pictures, found {folder}")
    paths = [path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES]
    paths = sorted(path for path in paths if path.is_file())
    if not paths:
        known = ", ".join(sorted(SUFFIXES))
        raise ValueError(f"--images: {folder} holds no picture with one of the endings {known}")
    return [
        Source(
            name=path.relative_to(folder).as_posix(),
            path=path,
            digest=hashlib.sha256(path.read_bytes()).hexdigest()[:12],
        )
        for path in paths[:limit]
    ]


def load(path: Path) -> Image.Image:
    """Read the picture at `path` as RGB, upright; transparency is laid over white.

    Profile and metadata are left behind: codecs that store them would pay for bytes that others
    drop.

    Raises:
        OSError: it cannot be read, or is no picture that Pillow knows.

    Example:
        >>> from eval.pictures import load, pixels
        >>> pixels(load(Path("photo.jpg"))).shape
        (64, 96, 3)
    """
    with Image.open(path) as opened:
        upright = ImageOps.exif_transpose(opened)
        if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
            layer = upright.convert("RGBA")
            paper = Image.new("RGBA", layer.size, (255, 255, 255, 255))
            upright = Image.alpha_composite(paper, layer)
        return Image.fromarray(pixels(upright))


def pixels(image: Image.Image) -> RGB:
    """Return `image` as RGB in a new, contiguous (H, W, 3) uint8 array."""
    return np.array(image.convert("RGB"), dtype=np.uint8, order="C")


def patches(picture: RGB, side: int, offset: int = 0) -> Sequence[RGB]:
    """Cut non-overlapping squares of `side` pixels, the first at (offset, offset).

    What is left of `picture` at the right and below is in none; the squares are views of it.
    """
    height, width = picture.shape[:2]
    return [
        picture[top : top + side, left : left + side]
        for top in range(offset, height - side + 1, side)
        for left in range(offset, width - side + 1, side)
    ]
