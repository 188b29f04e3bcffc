"""What each level of ``--effort`` costs and brings, on crops of pictures.

    python -m eval.speed.effort --images DIR [--images DIR] --out FILE.jsonl [--crop 384x256]
        [--model NAME] [--efforts 0,4,7] [--qualities 20,40,60,80] [--metrics psnr,lpips-alex]

Writes one line of JSON per file and goes on where it stopped; a level whose settings changed is
measured anew. Prints tables of means, and how many bits each level saves against one pass at equal
figures. Time is that of the processor, of encoding alone, with one thread and torch: on a busy
machine the clock says nothing. Pictures come first in the order: what has been measured when it is
stopped is complete for some of them, and only such count.
"""

from __future__ import annotations

import argparse
import base64
import itertools
import json
import math
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import bjontegaard
import numpy as np
import torch

from eval import pictures
from eval.metrics import registry
from eval.metrics.registry import COLUMNS, Metric
from eval.metrics.settings import Settings
from eval.pictures import RGB, Source
from eval.report.summary import markdown, show
from glc import Codec
from glc.effort.levels import EFFORT_MAX, LEVELS

METRICS = ("psnr", "colour16", "lpips-alex", "lpips-vgg", "dists")
QUALITIES = (20, 40, 60, 80)
REACH = (10, 100)
"""Qualities of one pass beyond those that are compared: what searches leaves its curve."""
_SMALLEST = 64


@dataclass
class Found:
    """One file, and what was measured of it."""

    picture: str
    digest: str
    crop: str
    model: str
    quality: int
    effort: int
    level: str
    """The settings of the level."""
    pixels: int
    seconds: float
    """Of the processor, for encoding."""
    data: str
    """The file, in base64."""
    values: dict[str, float] = field(default_factory=dict)

    @property
    def key(self) -> tuple[Any, ...]:
        """What it was made from."""
        made_from = (self.digest, self.crop, self.model, self.quality, self.effort, self.level)
        return (self.picture, *made_from)

    @property
    def file(self) -> bytes:
        """The file."""
        return base64.b64decode(self.data)

    @property
    def bpp(self) -> float:
        """Bits of the file per pixel."""
        return 8.0 * len(self.file) / self.pixels


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what is missing and print the tables; 2 on wrong usage."""
    arguments = _parser().parse_args(argv)
    torch.set_num_threads(1)
    try:
        return _run(arguments)
    except ValueError as error:
        print(f"eval.speed.effort: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("eval.speed.effort: stopped; the same command goes on from here", file=sys.stderr)
        return 130


def _run(arguments: argparse.Namespace) -> int:
    names, reasons = registry.usable(arguments.metrics, Settings(features=arguments.features))
    for name, reason in reasons.items():
        print(f"metric {name} skipped: {reason}", file=sys.stderr)
    metrics = [registry.build(name, Settings(features=arguments.features)) for name in names]
    codec = Codec.from_pretrained(arguments.model, runtime="torch", device="cpu")
    folders = [pictures.find(folder)[: arguments.limit] for folder in arguments.images]
    # By turns, so that a part of it is of all folders.
    turns = itertools.zip_longest(*folders)
    sources = [source for turn in turns for source in turn if source is not None]
    points = _points(arguments.efforts, arguments.qualities)
    known = read(arguments.out)
    if not arguments.only_tables:
        # What is paid once by a process is no part of any figure.
        codec.encode(np.zeros((_SMALLEST, _SMALLEST, 3), np.uint8), effort=max(arguments.efforts))
        for source in sources:
            cropped = middle(pictures.pixels(pictures.load(source.path)), arguments.crop)
            for quality, effort in points:
                one = _blank(source, arguments.crop, codec, quality, effort, cropped)
                one = known.get(one.key) or _encode(codec, cropped, one)
                if _measure(codec, cropped, one, metrics) or one.key not in known:
                    known[one.key] = one
                    with arguments.out.open("a") as journal:
                        journal.write(json.dumps(asdict(one)) + "\n")
    columns = [column for metric in metrics for column in metric.columns]
    complete = whole_pictures(known.values(), points, columns, _models(codec), arguments.crop)
    if not complete:
        print("eval.speed.effort: no picture is complete", file=sys.stderr)
        return 1
    print(f"{len({one.picture for one in complete})} pictures\n")
    print(markdown(table(complete, arguments.qualities, arguments.efforts, columns)), end="\n\n")
    print(markdown(summary(complete, arguments.qualities, arguments.efforts, columns)))
    return 0


def read(path: Path) -> dict[tuple[Any, ...], Found]:
    """Return what a file has; of several lines for the same thing the last one counts."""
    if not path.exists():
        return {}
    lines = path.read_text().splitlines(keepends=True)
    # A line that was cut off when the run was stopped has no end.
    found = [Found(**json.loads(line)) for line in lines if line.endswith("\n")]
    if lines and not lines[-1].endswith("\n"):
        path.write_text("".join(lines[:-1]))
    return {one.key: one for one in found}


def middle(picture: RGB, crop: tuple[int, int]) -> RGB:
    """Return the middle of a picture, at most (width, height) pixels; all of it for (0, 0)."""
    width, height = (own or side for own, side in zip(crop, picture.shape[1::-1], strict=True))
    top = max(0, picture.shape[0] - height) // 2
    left = max(0, picture.shape[1] - width) // 2
    return np.ascontiguousarray(picture[top : top + height, left : left + width])


def whole_pictures(
    found: Iterable[Found],
    points: Sequence[tuple[int, int]],
    columns: Sequence[str],
    model: str,
    crop: tuple[int, int],
) -> list[Found]:
    """Return what was found of pictures of which every point is there, by today's levels."""
    fitting = [
        one
        for one in found
        if (one.quality, one.effort) in points
        and one.level == repr(LEVELS[one.effort])
        and one.model == model
        and one.crop == _name(crop)
        and set(columns) <= one.values.keys()
    ]
    counts: dict[str, int] = {}
    for one in fitting:
        counts[one.picture] = counts.get(one.picture, 0) + 1
    return [one for one in fitting if counts[one.picture] == len(points)]


def table(
    found: Sequence[Found],
    qualities: Sequence[int],
    efforts: Sequence[int],
    columns: Sequence[str],
) -> list[list[str]]:
    """Return the means of every quality and effort; the header first."""
    titles = [COLUMNS[column].title for column in columns]
    rows = [["quality", "effort", "bpp", *titles, "s per Mpixel"]]
    for quality in qualities:
        for effort in efforts:
            own = [one for one in found if (one.quality, one.effort) == (quality, effort)]
            figures = [show(_mean(own, c), COLUMNS[c].digits) for c in columns]
            bpp = statistics.fmean(one.bpp for one in own)
            row = [str(quality), str(effort), f"{bpp:.4f}", *figures, f"{_seconds(own):.1f}"]
            rows.append(row)
    return rows


def summary(
    found: Sequence[Found],
    qualities: Sequence[int],
    efforts: Sequence[int],
    columns: Sequence[str],
) -> list[list[str]]:
    """Return time, rate, and bits at equal figures against one pass, of every effort."""
    titles = [f"bits by {COLUMNS[column].title}" for column in columns]
    rows = [["effort", "times one pass", "rate, mean", "rate, mean size of change", *titles]]
    one_pass = {(one.picture, one.quality): one for one in found if not one.effort}
    anchor = [one for one in found if not one.effort]
    for effort in efforts:
        if not effort:
            continue
        own = [one for one in found if one.effort == effort and one.quality in qualities]
        before = [one_pass[one.picture, one.quality] for one in own]
        changes = [100.0 * (a.bpp / b.bpp - 1.0) for a, b in zip(own, before, strict=True)]
        times = _seconds(own) / _seconds(before)
        saved = [saving(_curve(own, c), _curve(anchor, c)) for c in columns]
        rate = [f"{statistics.fmean(changes):+.1f} %"]
        rate.append(f"{statistics.fmean(abs(change) for change in changes):.1f} %")
        rows.append([str(effort), f"{times:.1f}", *rate, *saved])
    return rows


def saving(test: Sequence[tuple[float, float]], anchor: Sequence[tuple[float, float]]) -> str:
    """Return the BD-rate (pchip) of two curves of (bpp, figure), and the share of the test's
    figures that the anchor has as well: what lies beyond is not in the BD-rate, and better.

    Points that cost more than another and are no better are left out: a curve has to rise, and
    means of few pictures do not always.
    """
    test, anchor = _front(test), _front(anchor)
    if len(anchor) == 1:
        return "n/a"
    if len(test) == 1:
        return _saving_at(test[0], anchor)
    low, high = max(test[0][1], anchor[0][1]), min(test[-1][1], anchor[-1][1])
    own = test[-1][1] - test[0][1]
    if high <= low:
        return "beyond" if test[0][1] >= anchor[-1][1] else "below"
    percent = bjontegaard.bd_rate(
        *(np.array(side) for curve in (anchor, test) for side in zip(*curve, strict=True)),
        method="pchip",
        require_matching_points=False,
        min_overlap=0.0,
    )
    return f"{float(percent):+.0f} % ({(high - low) / own:.2f})"


def _saving_at(point: tuple[float, float], anchor: Sequence[tuple[float, float]]) -> str:
    """Return the same for one point, by straight lines between logarithms of rates."""
    rate, figure = point
    rates, figures = (np.array(side) for side in zip(*anchor, strict=True))
    if not figures[0] <= figure <= figures[-1]:
        return "beyond" if figure > figures[-1] else "below"
    same = float(np.exp(np.interp(figure, figures, np.log(rates))))
    return f"{100.0 * (rate / same - 1.0):+.0f} %"


def _front(curve: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points of (bpp, figure) that are better than all cheaper ones, cheapest first."""
    found: list[tuple[float, float]] = []
    for rate, figure in sorted(curve, key=lambda point: (point[0], -point[1])):
        if not found or (rate > found[-1][0] and figure > found[-1][1]):
            found.append((rate, figure))
    return found


def _points(efforts: Sequence[int], qualities: Sequence[int]) -> list[tuple[int, int]]:
    """Return (quality, effort): one pass first, with its further qualities."""
    one_pass = [(quality, 0) for quality in sorted({*qualities, *REACH})]
    return one_pass + [(quality, effort) for quality in qualities for effort in efforts if effort]


def _blank(
    source: Source, crop: tuple[int, int], codec: Codec, quality: int, effort: int, cropped: RGB
) -> Found:
    made_with = _models(codec), quality, effort, repr(LEVELS[effort])
    pixels = cropped.shape[0] * cropped.shape[1]
    # Two folders may have pictures of the same name.
    name = f"{source.path.parent.name}/{source.name}"
    return Found(name, source.digest, _name(crop), *made_with, pixels, 0.0, "")


def _models(codec: Codec) -> str:
    """Name the weights that a codec encodes with."""
    return "+".join(identity.hex()[:12] for identity in codec.identities)


def _encode(codec: Codec, picture: RGB, one: Found) -> Found:
    start = time.process_time()
    data = codec.encode(picture, one.quality, effort=one.effort)
    one.seconds = time.process_time() - start
    one.data = base64.b64encode(data).decode()
    return one


def _measure(codec: Codec, picture: RGB, one: Found, metrics: Sequence[Metric]) -> bool:
    """Measure what is missing; False if nothing was."""
    missing = [metric for metric in metrics if not set(metric.columns) <= one.values.keys()]
    if missing:
        decoded = pictures.pixels(codec.decode(one.file))
        for metric in missing:
            one.values |= zip(metric.columns, metric.measure(picture, decoded), strict=True)
    return bool(missing)


def _curve(found: Sequence[Found], column: str) -> list[tuple[float, float]]:
    """Return (bpp, figure), means over pictures, lowest rate first; higher is better."""
    sign = 1.0 if COLUMNS[column].higher_is_better else -1.0
    curve = []
    for quality in sorted({one.quality for one in found}):
        own = [one for one in found if one.quality == quality]
        curve.append((statistics.fmean(one.bpp for one in own), sign * _mean(own, column)))
    return curve


def _mean(found: Sequence[Found], column: str) -> float:
    return statistics.fmean(one.values[column] for one in found) if found else math.nan


def _seconds(found: Sequence[Found]) -> float:
    """Per megapixel."""
    return sum(one.seconds for one in found) / sum(one.pixels for one in found) * 1e6


def _name(crop: tuple[int, int]) -> str:
    return "{}x{}".format(*crop)


def _numbers(text: str) -> list[int]:
    return sorted({int(part) for part in text.split(",")})


def _efforts(text: str) -> list[int]:
    found = sorted({0, *_numbers(text)})
    if found[0] < 0 or found[-1] > EFFORT_MAX:
        raise ValueError(text)
    return found


def _size(text: str) -> tuple[int, int]:
    width, height = (int(part) for part in text.split("x"))
    return width, height


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--images", type=Path, action="append", required=True, metavar="DIR", help="may be repeated"
    )
    add("--out", type=Path, required=True, metavar="FILE", help="lines of JSON")
    add("--model", metavar="NAME", help="the shipped one when omitted")
    add("--efforts", type=_efforts, default=_efforts("0,1,2,4,7,9"), metavar="N,N")
    add("--qualities", type=_numbers, default=list(QUALITIES), metavar="N,N")
    add("--crop", type=_size, default=(384, 256), metavar="WxH", help="0x0 takes whole pictures")
    add("--metrics", type=lambda text: text.split(","), default=list(METRICS), metavar="A,B")
    add("--features", type=Path, metavar="DIR", help="safetensors of AlexNet, VGG16, DISTS")
    add("--limit", type=int, metavar="N", help="only the first N pictures of each folder")
    add("--only-tables", action="store_true", help="of what is there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
