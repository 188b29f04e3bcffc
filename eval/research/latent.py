"""``python -m eval.research.latent``: the figures and the table of parts in docs/latent.md."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from eval.pictures import RGB, find, load, pixels
from glc import Codec
from glc.bitstream import FORMAT_VERSION, FORMAT_VERSIONS
from glc.errors import TruncatedError

SHARES = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
"""Of the bytes of a file."""

_COLOURS = 192
"""Of the palette of each figure, which makes it a third as large."""


def parts(
    codec: Codec, pictures: Sequence[RGB], quality: int, version: int = FORMAT_VERSION
) -> list[dict[str, float]]:
    """Decode beginnings of files; returns means over the pictures, one record per share.

    Each record has the share (0 for a preview), bytes, the steps that were whole, and the PSNR to
    the original and to the picture of the whole file.
    """
    records = []
    files = codec.encode_batch(pictures, quality, version=version)
    wholes = [pixels(codec.decode(data)) for data in files]
    for share in (0.0, *SHARES):
        rows = []
        for x, data, whole in zip(pictures, files, wholes, strict=True):
            if share:
                partial = codec.decode_partial(data[: round(share * len(data))])
                shown, steps = pixels(partial.image), partial.steps
            else:
                shown, steps = pixels(codec.preview(data)), 0
            arrived = round(share * len(data)) if share else needed_for_preview(codec, data)
            rows.append((arrived, steps, psnr_db(x, shown), psnr_db(whole, shown)))
        means = np.mean(rows, axis=0)
        names = ("bytes", "steps", "psnr_original", "psnr_whole")
        records.append({"share": share, **dict(zip(names, means.tolist(), strict=True))})
    return records


def needed_for_preview(codec: Codec, data: bytes) -> int:
    """Return the least number of bytes of a file that ``Codec.preview`` takes."""
    low, high = 0, len(data)
    while low < high:
        middle = (low + high) // 2
        try:
            codec.preview(data[:middle])
            high = middle
        except TruncatedError:
            low = middle + 1
    return low


def psnr_db(x: RGB, x_hat: RGB) -> float:
    """Return the peak signal-to-noise ratio; infinite for equal pictures."""
    error = np.square(x.astype(np.float64) - x_hat).mean()
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def table(records: Sequence[dict[str, float]]) -> str:
    """Return what ``parts`` found as Markdown."""
    lines = [
        "| arrived | bytes | whole steps | PSNR to the original, dB | to the whole file's, dB |",
        "|---|---|---|---|---|",
    ]
    for record in records:
        name = f"{record['share']:.0%}" if record["share"] else "z only (preview)"
        whole = f"{record['psnr_whole']:.1f}" if record["share"] < 1 else "the same"
        lines.append(
            f"| {name} | {record['bytes']:.0f} | {record['steps']:.1f} | "
            f"{record['psnr_original']:.2f} | {whole} |"
        )
    return "\n".join(lines)


def strip(pictures: Sequence[Image.Image], captions: Sequence[str], columns: int) -> Image.Image:
    """Put pictures of one size into rows, each with a caption below it."""
    width, height = pictures[0].size
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * width, rows * (height + 16)), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        left, top = number % columns * width, number // columns * (height + 16)
        sheet.paste(picture.convert("RGB"), (left, top))
        pen.text((left + 3, top + height + 1), caption, fill="black")
    return sheet.quantize(_COLOURS)


def main(argv: Sequence[str] | None = None) -> int:
    """Write the figures and print the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m eval.research.latent", description=__doc__)
    parser.add_argument("--images", type=Path, default=Path("examples"), metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--quality", type=int, default=50)
    parser.add_argument(
        "--file-version", type=int, choices=FORMAT_VERSIONS, default=FORMAT_VERSION,
        help="of the files in the table; the figures are of the newest",
    )  # fmt: skip
    parser.add_argument("--model", metavar="NAME|PATH")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args(argv)
    codec = Codec.from_pretrained(options.model, device=options.device)
    images = [load(source.path) for source in find(options.images)]
    options.out.mkdir(parents=True, exist_ok=True)

    data = codec.encode(images[0], options.quality)
    shown = [codec.preview(data)]
    shown += [codec.decode_partial(data[: round(s * len(data))]).image for s in SHARES]
    names = ["z only", *(f"{share:.0%}, {share * len(data):.0f} bytes" for share in SHARES)]
    half = [image.resize((image.width // 2, image.height // 2)) for image in shown]
    strip(half, names, 4).save(options.out / "partial.png", optimize=True)

    temperatures = (1.0, 0.8, 0.6)
    drawn = [codec.sample(2, (192, 192), options.quality, 1, t) for t in temperatures]
    names = [f"seed 1, temperature {t:g}" for t in temperatures for _ in range(2)]
    flat = [image for pair in drawn for image in pair]
    strip(flat, names, 6).save(options.out / "samples.png", optimize=True)

    ends = [_middle(image, 192) for image in images[:2]]
    way = codec.interpolate(ends[0], ends[1], 6)
    names = [f"{step / 5:.1f}" for step in range(6)]
    strip(way, names, 6).save(options.out / "interpolation.png", optimize=True)

    originals = [pixels(image) for image in images]
    print(table(parts(codec, originals, options.quality, options.file_version)))
    return 0


def _middle(image: Image.Image, side: int) -> Image.Image:
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


if __name__ == "__main__":
    sys.exit(main())
