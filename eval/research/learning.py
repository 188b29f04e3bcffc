"""Learning is compressing: bits for the same quality against pictures seen, and when it fails.

    python -m eval.research.learning --photographs DIR --out DIR [--figure docs/learning.png]

Trains three small codecs (`eval/research/learning.toml`) from nothing, alike but for what they are
shown: photographs, noise, and one texture. At several points each encodes photographs that none of
them was shown, and a correction, the same for all, brings what is decoded within ERROR grey levels
of the original. Whoever knows photographs needs fewer bits for file and correction together: the
curve of the first must fall below a correction alone, and the others must not follow it, or the
claim is wrong. Writes `learning.json`, `learning.md` and the plot; started again, it trains only
what is missing.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

import glc
from eval.metrics import pixels
from eval.pictures import RGB
from eval.research.split import is_held_out, read_all

SETTINGS = Path(__file__).with_name("learning.toml")
SHOWN = ("photographs", "noise", "one texture")
QUALITIES = (0, 40, 100)
SIDE = 192
"""Shorter side of all pictures: small ones hold more of the world in a crop."""
BATCH = 8
ERROR = 8
"""Grey levels by which no sample may be wrong after the correction: the equal quality."""
EQUAL_BPP = 0.17
EXAMPLE = "example-"
"""Beginning of the names of test pictures that may be shown."""
_COUNT, _TEST_COUNT = 400, 8


@dataclass(frozen=True)
class Measured:
    """One codec after so many crops, at one quality: means over the test pictures."""

    shown: str
    crops: int
    quality: int
    bpp: float
    psnr: float
    corrected_bpp: float
    """Bits per pixel of the file and of the correction."""


def main(argv: Sequence[str] | None = None) -> int:
    """Train, measure, plot; 0 when all went well."""
    arguments = _parser().parse_args(argv)
    out: Path = arguments.out
    prepare(arguments.photographs, arguments.examples, out)
    names = sorted((out / "test").glob("*.png"), key=lambda p: (EXAMPLE not in p.name, p.name))
    test = [_read(path) for path in names]
    found: list[Measured] = []
    for shown in SHOWN:
        for crops in arguments.crops:
            weights = train(shown, crops, out, arguments.training)
            found += measure(shown, crops, weights, test, out)
            print(f"{shown}, {crops} crops: done", file=sys.stderr, flush=True)
    alone = sum(correction_bits(x, np.full_like(x, 128)) for x in test) / _pixels(test)
    figures = {"correction_alone_bpp": alone, "measured": [asdict(m) for m in found]}
    text = json.dumps(figures, indent=1)
    (out / "learning.json").write_text(text + "\n", encoding="utf-8")
    text = table(found, alone)
    (out / "learning.md").write_text(text + "\n", encoding="utf-8")
    print(text)
    from eval.research import learning_plot

    learning_plot.write(arguments.figure or out / "learning.png", found, alone, out)
    return 0


def prepare(photographs: Path, examples: Path, out: Path) -> None:
    """Make the three sets to learn from, and the photographs to be tested on, once.

    The test pictures are the examples, which may be shown, and others held out by their names.
    """
    if (out / "data" / SHOWN[-1]).is_dir():
        return
    folders = [out / "data" / SHOWN[0], out / "test", out / "data" / SHOWN[1]]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    for name, data in read_all(examples):
        _save(_reduced(data), folders[1] / f"{EXAMPLE}{Path(name).stem}.png")
    counts = [0, 0]
    for name, data in read_all(photographs):
        held_out = is_held_out(name.rsplit("-", 1)[0], 0.1)
        if counts[held_out] < (_TEST_COUNT if held_out else _COUNT):
            counts[held_out] += 1
            _save(_reduced(data), folders[held_out] / f"{Path(name).stem}.png")
        if counts == [_COUNT, _TEST_COUNT]:
            break
    rng = np.random.default_rng(5)
    for index in range(100):
        noise = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        _save(noise, folders[2] / f"noise{index}-0.png")
    from skimage import data as skimage_data

    texture = np.repeat(skimage_data.brick()[:, :, None], 3, axis=2)
    folder = out / "data" / SHOWN[2]
    partial = folder.with_name("texture.partial")
    partial.mkdir(exist_ok=True)
    for index in range(100):
        top, left = rng.integers(0, 512 - SIDE, 2)
        piece = np.ascontiguousarray(texture[top : top + SIDE, left : left + SIDE])
        _save(piece, partial / f"texture{index}-0.png")
    partial.rename(folder)


def train(shown: str, crops: int, out: Path, more: Sequence[str]) -> Path:
    """Train one codec up to so many crops, going on from the point before; returns its weights.

    Raises:
        SystemExit: training failed.
    """
    name = shown.replace(" ", "-")
    weights = out / f"{name}-{crops:06d}.safetensors"
    if not weights.exists():
        told = ["--preset", str(SETTINGS), "--data", str(out / "data" / shown), "--phase", "3"]
        told += ["--out", str(out / f"{name}-run"), "--set", f"steps_3={crops // BATCH}"]
        told += ["--export", str(weights), "--device", "cpu", *more]
        from glc import training

        code = training.main(told)
        if code or not weights.exists():
            raise SystemExit(f"eval.research.learning: training on {shown} ended with {code}")
    return weights


def measure(
    shown: str, crops: int, weights: Path, test: Sequence[RGB], out: Path
) -> list[Measured]:
    """Encode the test pictures at all qualities; decoded examples go to `out/decoded`."""
    codec = glc.Codec.from_pretrained(weights, device="cpu")
    found = []
    for quality in QUALITIES:
        files = [codec.encode(x, quality=quality) for x in test]
        decoded = [np.array(codec.decode(data)) for data in files]
        bits = sum(8 * len(data) for data in files)
        pairs = list(zip(test, decoded, strict=True))
        more = sum(correction_bits(*pair) for pair in pairs)
        psnr = float(np.mean([pixels.psnr_db(*pair) for pair in pairs]))
        rates = (bits / _pixels(test), psnr, (bits + more) / _pixels(test))
        found.append(Measured(shown, crops, quality, *rates))
        name = f"{weights.stem}-q{quality}.png"
        # The examples come first.
        _save(decoded[0], _made(out / "decoded") / name)
    return found


def correction_bits(x: RGB, x_hat: RGB) -> float:
    """Return the bits of what brings every sample of x_hat within ERROR levels of x.

    The difference in steps of 2 * ERROR, by the empirical entropy of one sample: a coder that knows
    nothing of pictures, so that whatever is saved is known to the model. (A lossless picture codec
    in its place knows more than these small models do, and hides what they have learned.)
    """
    steps = np.rint((x.astype(np.int16) - x_hat.astype(np.int16)) / (2 * ERROR))
    counts = np.unique(steps, return_counts=True)[1]
    return float(-(counts * np.log2(counts / steps.size)).sum())


def corrected_at(found: Sequence[Measured], shown: str, crops: int) -> float:
    """Return the fewest bits per pixel, over all qualities, for file and correction."""
    return min(m.corrected_bpp for m in found if (m.shown, m.crops) == (shown, crops))


def psnr_at(found: Sequence[Measured], bpp: float) -> float:
    """Return the PSNR of a codec at a rate, by interpolation; that of its nearest end outside."""
    points = sorted(found, key=lambda m: m.bpp)
    rates = [math.log(m.bpp) for m in points]
    return float(np.interp(math.log(bpp), rates, [m.psnr for m in points]))


def table(found: Sequence[Measured], alone: float) -> str:
    """Return a Markdown table: crops seen, and for each set bits at equal quality and back."""
    head = [f"{shown}: {what}" for shown in SHOWN for what in ("bpp", "PSNR dB")]
    lines = ["| crops seen | " + " | ".join(head) + " |", "|---:" * (len(head) + 1) + "|"]
    for crops in sorted({m.crops for m in found}):
        cells = []
        for shown in SHOWN:
            mine = [m for m in found if (m.shown, m.crops) == (shown, crops)]
            cells += [f"{corrected_at(found, shown, crops):.3f}", f"{psnr_at(mine, EQUAL_BPP):.2f}"]
        lines.append(f"| {crops} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", f"Correction alone: {alone:.3f} bpp."])


def _pixels(pictures: Sequence[RGB]) -> int:
    return sum(x.shape[0] * x.shape[1] for x in pictures)


def _reduced(data: bytes) -> RGB:
    with Image.open(io.BytesIO(data)) as opened:
        image = opened.convert("RGB")
    scale = SIDE / min(image.size)
    size = (round(image.width * scale), round(image.height * scale))
    return np.array(image.resize(size, Image.Resampling.LANCZOS))


def _read(path: Path) -> RGB:
    with Image.open(path) as image:
        return np.array(image.convert("RGB"))


def _save(picture: RGB, path: Path) -> None:
    Image.fromarray(picture).save(path)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m eval.research.learning",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="what follows -- goes to glc train, e.g. -- --threads 1 --mobilenet FILE",
    )
    add = parser.add_argument
    add("--photographs", type=Path, required=True, metavar="DIR", help="folder or tars")
    add("--examples", type=Path, default=Path("examples"), metavar="DIR", help="also tested on")
    add("--out", type=Path, required=True, metavar="DIR", help="folder for runs and results")
    add("--crops", type=_numbers, default=[0, 200, 800, 2400, 7200], metavar="N,N")
    add("--figure", type=Path, metavar="FILE", help="the plot (default: OUT/learning.png)")
    add("training", nargs="*", metavar="-- OPTION", help="for glc train")
    return parser


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
