"""``glc sample``: pictures drawn from what a model takes for probable."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Sequence
from pathlib import Path

from codec_cli.commands.decode import encoded_as
from codec_cli.support import exit_codes
from codec_cli.support.atomic_output import Outputs
from codec_cli.support.batch import Outcome, reason_of, run_jobs, writable_jobs
from codec_cli.support.codecs import Codecs
from codec_cli.support.completeness import is_cut_picture
from codec_cli.support.options import Parser, add_device, add_reporting, count, quality
from codec_cli.support.paths import STDIO, Job, Source
from codec_cli.support.report import Report
from codec_cli.support.suffixes import check_folder
from glc.tiling.progress import Progress

__all__ = ["run"]

_MAX_SIDE = 4096
_QUALITY = 50


def run(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    options = _parser().parse_args(arguments)
    if options.output == STDIO:
        raise exit_codes.UsageError("-o -: not to standard output; name a folder")
    folder = Path(options.output)
    check_folder("-o", folder)
    if options.prior == "normal" and options.quality is not None:
        raise exit_codes.UsageError(
            "-q says whose tables to draw from, and --prior normal has none; leave it out"
        )
    quality = _QUALITY if options.quality is None else options.quality
    label = f"q{quality}" if options.prior == "learned" else "z ~ N(0, I)"
    names = [f"sample-{options.seed}-{number:04}" for number in range(options.count)]
    with (
        Report("sample", len(names), options.json, options.quiet) as report,
        Outputs(options.force) as outputs,
    ):
        try:
            codec = Codecs(options.model, options.device).for_model()
            pictures = codec.sample(
                options.count,
                options.size,
                quality,
                options.seed,
                options.temperature,
                options.prior,
            )
        except Exception as error:
            report.failed(None, reason_of(error), {})
            return exit_codes.FAILED
        drawn = dict(zip(names, pictures, strict=True))

        def work(job: Job, progress: Progress | None) -> Outcome:
            data, _ = encoded_as(drawn[job.source.relative.name], options.format)
            outputs.write(job.target, data)
            fields: dict[str, object] = {"output": job.target_name, "seed": options.seed}
            return Outcome(f"{job.target_name}  {label}", fields)

        jobs = [Job(Source(None, Path(n)), folder / f"{n}.{options.format}") for n in names]
        jobs = writable_jobs(jobs, options.force, False, report, is_cut_picture)
        return run_jobs(jobs, work, 1, report)


def _parser() -> Parser:
    parser = Parser(
        prog="glc sample",
        description="Draw pictures from the probability tables of a model: what it takes for "
        "likely when nothing is coded. The same seed draws the same ones. A model that was trained "
        "with --regulariser kl can also show noise (--prior normal).",
    )
    parser.add_argument("-o", "--output", metavar="DIR", required=True, help="a folder")
    parser.add_argument(
        "-f", "--force", action="store_true", help="replace outputs that exist (default: refuse)"
    )
    parser.add_argument(
        "-n", "--count", type=count, default=1, metavar="N", help="how many (default: 1)"
    )
    parser.add_argument(
        "--size", type=_size, default=(256, 256), metavar="WxH", help="in pixels (default: 256x256)"
    )
    parser.add_argument("--seed", type=_number, default=0, metavar="N", help="default: 0")
    parser.add_argument(
        "-q", "--quality", type=quality, metavar="Q", help=f"0 to 100 (default: {_QUALITY})"
    )
    parser.add_argument(
        "--prior", choices=("learned", "normal"), default="learned",
        help="draw from the tables of the model (default), or z ~ N(0, I) of a model with a "
        "Gaussian bottleneck",
    )  # fmt: skip
    parser.add_argument(
        "--temperature", type=_temperature, default=1.0, metavar="T",
        help="below 1: more of what is probable; above 1: less (default: 1)",
    )  # fmt: skip
    parser.add_argument("--format", choices=("png", "jpg", "webp"), default="png")
    add_device(parser, "default: the default model (see glc models)")
    add_reporting(parser)
    return parser


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"expected a whole number of 0 or more, found {text!r}")
    return int(text)


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text, re.ASCII)
    if match is None or not all(1 <= int(side) <= _MAX_SIDE for side in match.groups()):
        raise argparse.ArgumentTypeError(
            f"expected WIDTHxHEIGHT with sides of 1 to {_MAX_SIDE}, found {text!r}"
        )
    return int(match[1]), int(match[2])


def _temperature(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number above 0, found {text!r}")
    return value
