"""A sheet of crops chosen beforehand: the original, a rival and models at the same rates, as PNG.

    python -m eval.report.sheet --images DIR --out sheet.png [--codecs heic,glc:A,glc:B]
                         [--rates 0.02,0.04,0.08 | --equal-to heic] [--crops FILE.csv|middle]

One row per crop and rate. Every codec encodes the whole picture at the quality that brings its file
nearest to the rate; the caption has what it took. With --equal-to there are no rates: every codec
gets as many bytes as the smallest file that this one can make.

The list of crops is a CSV with the columns picture, left, top; without one it is that of Kodak
which comes with the package, chosen before any model was looked at, so that nobody picks what
flatters. ``middle`` takes the middle of every picture of the folder.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from eval.codecs import adapters
from eval.codecs.adapters import Codec
from eval.metrics.backbones import Unavailable
from eval.pictures import find, load

CROP = 224
CAPTION = 24
RATES = (0.02, 0.04, 0.08)
_GAP = 4

Cell = tuple[str, Image.Image]
"""A caption and what is under it."""


@dataclass(frozen=True)
class Crop:
    """A square of CROP pixels of a picture."""

    picture: str
    left: int
    top: int

    def of(self, image: Image.Image) -> Image.Image:
        """Return the square at native size; what lies outside of the picture is black."""
        return image.crop((self.left, self.top, self.left + CROP, self.top + CROP))


def read(path: Path) -> list[Crop]:
    """Return a list of crops.

    Raises:
        ValueError: the file has not the columns, or is empty.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            found = [
                Crop(row["picture"], int(row["left"]), int(row["top"]))
                for row in csv.DictReader(file)
            ]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: expected the columns picture, left, top: {error}") from error
    if not found:
        raise ValueError(f"{path}: holds no crop")
    return found


def middles(folder: Path) -> list[Crop]:
    """Return the middle square of every picture below a folder."""
    found = []
    for source in find(folder):
        width, height = load(source.path).size
        found.append(Crop(source.name, (width - CROP) // 2, (height - CROP) // 2))
    return found


def same_size(codec: Codec, image: Image.Image, size_bytes: int) -> bytes:
    """Return the codec's file whose size is nearest to `size_bytes`, over all its qualities."""
    low, high = 0, 100
    files: dict[int, bytes] = {}

    def file(quality: int) -> bytes:
        if quality not in files:
            files[quality] = codec.encode(image, quality)
        return files[quality]

    while high - low > 1:
        middle = (low + high) // 2
        if len(file(middle)) <= size_bytes:
            low = middle
        else:
            high = middle
    file(low), file(high)
    return min(files.values(), key=lambda data: abs(math.log(len(data) / size_bytes)))


def draw(rows: Sequence[Sequence[Cell]]) -> Image.Image:
    """Return the sheet: squares of CROP pixels, each under its caption."""
    columns = max(len(row) for row in rows)
    size = (columns * (CROP + _GAP) - _GAP, len(rows) * (CROP + CAPTION))
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=14)
    for i, row in enumerate(rows):
        for j, (caption, crop) in enumerate(row):
            left, top = j * (CROP + _GAP), i * (CROP + CAPTION)
            pen.text((left, top + 4), caption, fill="black", font=font)
            sheet.paste(crop, (left, top + CAPTION))
    return sheet


def rows(
    folder: Path, crops: Sequence[Crop], built: Sequence[Codec], rates: Sequence[float]
) -> list[list[Cell]]:
    """Return a row per crop and rate: the original, then every codec.

    Raises:
        ValueError: a picture of the list is not in the folder.
    """
    found: list[list[Cell]] = []
    for crop in crops:
        image = load(_path_of(folder, crop))
        area = image.width * image.height
        for rate in rates:
            row: list[Cell] = [(f"{crop.picture}, {rate:g} bpp", crop.of(image))]
            for codec in built:
                data = same_size(codec, image, max(1, round(rate * area / 8)))
                bpp = 8 * len(data) / area
                row.append((f"{codec.name}, {bpp:.4f} bpp", crop.of(codec.decode(data))))
            found.append(row)
    return found


def equal_rows(
    folder: Path, crops: Sequence[Crop], built: Sequence[Codec], floor: Codec
) -> list[list[Cell]]:
    """Return a row per crop: the original, then every codec at the size of the smallest file that
    `floor` makes of the picture.

    Raises:
        ValueError: a picture of the list is not in the folder.
    """
    found = []
    for crop in crops:
        image = load(_path_of(folder, crop))
        size_bytes = len(floor.encode(image, min(floor.qualities)))
        row: list[Cell] = [(f"original, {image.width} x {image.height}", crop.of(image))]
        for codec in built:
            data = same_size(codec, image, size_bytes)
            row.append((f"{codec.name}, {len(data):,} bytes", crop.of(codec.decode(data))))
        found.append(row)
    return found


def _path_of(folder: Path, crop: Crop) -> Path:
    for source in find(folder):
        if source.name == crop.picture:
            return source.path
    raise ValueError(f"--images: {folder} has no {crop.picture}, which --crops names")


def main(argv: Sequence[str] | None = None) -> int:
    """Make the sheet; 0 when all went well, 2 on wrong usage or an absent codec."""
    arguments = _parser().parse_args(argv)
    try:
        built = [adapters.build(name) for name in arguments.codecs]
        is_middle = arguments.crops == Path("middle")
        crops = middles(arguments.images) if is_middle else read(arguments.crops)
        if arguments.equal_to:
            floor = adapters.build(arguments.equal_to)
            cells = equal_rows(arguments.images, crops, built, floor)
        else:
            cells = rows(arguments.images, crops, built, arguments.rates)
        draw(cells).save(arguments.out)
    except (OSError, ValueError, Unavailable) as error:
        print(f"eval.report.sheet: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m eval.report.sheet",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    kodak = Path(__file__).with_name("crops.csv")
    add("--images", type=Path, required=True, metavar="DIR", help="folder of the pictures")
    add("--out", type=Path, required=True, metavar="FILE.png")
    add("--codecs", type=lambda text: text.split(","), default=["heic", "glc"], metavar="A,B")
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--rates", type=_rates, default=RATES, metavar="B,B", help="bits per pixel")
    sizes.add_argument("--equal-to", metavar="CODEC", help="as many bytes as its smallest file")
    add("--crops", type=Path, default=kodak, metavar="FILE.csv", help="picture, left, top; middle")
    return parser


def _rates(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
