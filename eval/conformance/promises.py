"""Does a file mean the same everywhere? What docs/architecture.md promises, tried on pictures.

    python -m eval.conformance --images DIR [--model NAME|PATH] [--qualities 0,25,50,75,100]

Every picture is encoded in every setting (threads, batch, memory format, oneDNN, bf16) of every
environment (processor instructions, compiler, device; each a process of its own), and every file
is decoded in all of them: the checksum in the file tells whether the symbols are the same, and the
pictures are compared with those of one thread. Also compares file sizes with the model's own
estimate, and damages files. Exit code 1 if a promise is broken.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np

from eval.conformance import environments
from eval.conformance.cross_decode import Crossing, cross, cross_golden, started
from eval.pictures import find
from glc import Codec, GlcError, image
from glc.bitstream import unpack
from glc.weights import registry

_SETTINGS = {"quick": environments.QUICK, "full": environments.FULL}
_USUAL = "as it is,oldest"


def main(argv: Sequence[str] | None = None) -> int:
    """Run all checks and print what they found; returns the exit code."""
    args = _arguments(argv)
    model = registry.locate(args.model)
    codec = Codec.from_pretrained(model, runtime="torch", device="cpu")
    pictures = [image.load(source.path) for source in find(args.images, args.limit)]
    if args.crop:
        pictures = [_middle(picture, args.crop) for picture in pictures]
    qualities = [int(quality) for quality in args.qualities.split(",")]
    settings = _SETTINGS[args.settings]
    failed = 0
    chosen = _environments(args.environments)
    with tempfile.TemporaryDirectory(prefix="glc-") as folder, started(chosen) as processes:
        scratch = Path(folder)
        crossings = cross(processes, codec, model, pictures, qualities, settings, scratch)
        failed += report(f"{len(pictures)} pictures, {len(qualities)} qualities", crossings)
        if args.golden is not None:
            crossings = cross_golden(processes, args.golden, settings, scratch)
            failed += report(f"golden files of {args.golden}", crossings)
    failed += check_sizes(codec, pictures, qualities)
    failed += check_damage(codec, pictures, args.damage)
    return 1 if failed else 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m eval.conformance", description=__doc__)
    parser.add_argument("--images", type=Path, required=True, help="folder of pictures")
    parser.add_argument("--model", help="name or path; default: the default model")
    parser.add_argument("--qualities", default="0,25,50,75,100")
    parser.add_argument("--limit", type=int, help="only the first N pictures")
    parser.add_argument("--crop", type=int, help="only N x N pixels from the middle of each")
    parser.add_argument(
        "--settings",
        choices=_SETTINGS,
        default="quick",
        help="every value of every setting once, or all combinations (default: quick)",
    )
    parser.add_argument(
        "--environments",
        default=_USUAL,
        help=f"all, or names with commas between them (default: {_USUAL}): "
        + "; ".join(environment.name for environment in environments.ENVIRONMENTS),
    )
    parser.add_argument("--golden", type=Path, help="also read the golden files below this folder")
    parser.add_argument("--damage", type=int, default=200, help="damaged copies per picture")
    return parser.parse_args(argv)


def _environments(names: str) -> list[environments.Environment]:
    """Return the environments of these names that this machine has; says which it has not."""
    known = {environment.name: environment for environment in environments.ENVIRONMENTS}
    wanted = list(known) if names == "all" else names.split(",")
    if unknown := [name for name in wanted if name not in known]:
        raise SystemExit(f"--environments: no {unknown[0]!r}; expected all, {', '.join(known)}")
    chosen = []
    for name in wanted:
        if known[name].missing:
            print(f"{name}: skipped, {known[name].missing}")
        else:
            chosen.append(known[name])
    return chosen


def _middle(picture: image.Picture, side: int) -> image.Picture:
    top, left = max(0, (picture.height - side) // 2), max(0, (picture.width - side) // 2)
    rgb = np.ascontiguousarray(picture.rgb[top : top + side, left : left + side])
    return image.Picture(rgb, None, picture.grey)


def report(what: str, crossings: Sequence[Crossing]) -> int:
    """Print what was written and read, as tables; returns how many promises were broken."""
    settings = sum(len(crossing.readings) for crossing in crossings)
    written, new = sum(c.written for c in crossings), sum(c.new for c in crossings)
    print(f"{what}: {settings} settings, each read all files of every other")
    if written:
        roundings = len(set().union(*(crossing.roundings for crossing in crossings)))
        print(f"{written} files written, {new} of them different; {roundings} ways of rounding")
    print(
        f"{'environment':<16}{'processor':<12}{'settings':>8}{'written':>9}{'decodes':>9}"
        f"{'wrong':>7}{'> 1 level':>11}{'largest':>9}{'bf16: largest':>15}{'mean':>7}"
    )
    for crossing in crossings:
        exact = crossing.total(lambda setting: not setting.bf16)
        half = crossing.total(lambda setting: setting.bf16)
        mean = half.total / half.decodes if half.decodes else 0.0
        print(
            f"{crossing.environment.name:<16}{crossing.instructions:<12}"
            f"{len(crossing.readings):>8}{crossing.written:>9}{exact.decodes + half.decodes:>9}"
            f"{exact.wrong + half.wrong:>7}{exact.off:>11}{exact.largest:>9}"
            f"{half.largest:>15}{mean:>7.3f}"
        )
        for setting, reading in crossing.readings.items():
            if reading.refused:
                print(f"  not to be had here: {setting.name}: {reading.refused}")
    for field in fields(environments.Setting):
        values = sorted({getattr(s, field.name) for c in crossings for s in c.readings})
        counts = []
        for value in values:
            found = [
                reading
                for crossing in crossings
                for setting, reading in crossing.readings.items()
                if getattr(setting, field.name) == value
            ]
            decodes, wrong = sum(r.decodes for r in found), sum(r.wrong for r in found)
            counts.append(f"{value}: {wrong} of {decodes} wrong")
        print(f"  {field.name:<14}{'; '.join(counts)}")
    return sum(crossing.broken for crossing in crossings)


def check_sizes(codec: Codec, pictures: list[image.Picture], qualities: list[int]) -> int:
    """Compare payloads with the model's estimate; returns how many are off by 1 % and a byte."""
    excess, wrong = [], 0
    for quality in qualities:
        for picture in pictures:
            estimate = codec.bits(picture, quality) / 8
            size = len(unpack(codec.encode(picture, quality)).payload)
            excess.append(size / estimate - 1)
            # Half a byte is what a payload loses at its end, on average.
            wrong += abs(size - estimate) > 0.01 * estimate + 1
    print(
        f"payload against estimate: {100 * np.mean(excess):+.2f} % on average, "
        f"{100 * np.max(excess):+.2f} % at most; {wrong} of {len(excess)} beyond 1 % and a byte"
    )
    return wrong


def check_damage(codec: Codec, pictures: list[image.Picture], copies: int) -> int:
    """Change single bytes and cut files short; returns how many gave a wrong picture or a crash."""
    generator = random.Random(5)  # noqa: S311 - a reproducible choice of damage
    refused = harmless = wrong = 0

    def try_one(data: bytes, pixels: bytes | None) -> None:
        nonlocal refused, harmless, wrong
        try:
            same = codec.decode(data).tobytes() == pixels
        except GlcError:
            refused += 1
            return
        harmless += same
        wrong += not same

    for picture in pictures:
        data = codec.encode(picture, 30)
        pixels = codec.decode(data).tobytes()
        for _ in range(copies):
            position = generator.randrange(len(data))
            changed = bytearray(data)
            changed[position] ^= generator.randrange(1, 256)
            try_one(bytes(changed), pixels)
            try_one(data[: generator.randrange(len(data))], None)
    print(
        f"damaged files: {refused} refused with a GlcError, {harmless} decoded to the same "
        f"picture, {wrong} to a wrong one"
    )
    return wrong


if __name__ == "__main__":
    sys.exit(main())
