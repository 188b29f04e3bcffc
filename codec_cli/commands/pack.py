"""``glc pack``: a whole dataset to an archive, a Parquet file or a folder of .glc files."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from codec_cli.support import exit_codes
from codec_cli.support.codecs import no_device
from codec_cli.support.faults import is_shortage, reason_of
from codec_cli.support.options import Parser, add_device, add_effort, add_reporting, count, quality
from codec_cli.support.paths import STDIO
from codec_cli.support.progress import Tally, summary
from codec_cli.support.report import say

if TYPE_CHECKING:
    from glc.dataset import Result

__all__ = ["run"]

_MAX_JOBS = 16
"""A default that memory can hold: a picture of 12 megapixels takes 1.5 GB while it is coded."""


def run(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    options = _parser().parse_intermixed_args(arguments)
    if options.output == STDIO:
        raise exit_codes.UsageError("-o -: not to standard output; name a file or a folder")
    # Read when torch is first imported. Pictures side by side keep every core busy; threads inside
    # one picture would mostly wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    shard = options.shard or _shard_of_process()
    try:
        with Tally("pack", options.quiet) as tally:
            result = _compress(options, shard, tally)
    except (RuntimeError, AssertionError) as error:
        if options.device in ("auto", "cpu") or is_shortage(error):
            say(f"glc pack: {reason_of(error)}")
        else:
            # That is how torch says that a machine has no such device, in many words.
            say(f"glc pack: {no_device(options.device)}")
        return exit_codes.FAILED
    except Exception as error:
        missing = isinstance(error, ModuleNotFoundError)
        say(f"glc pack: {error if missing else reason_of(error)}")
        return exit_codes.FAILED
    if not options.quiet:
        for text, times, name in result.notices:
            often = f"{times:,} times, first " if times > 1 else ""
            say(f"glc pack: {often}{name}: note: {text}")
    if not result.is_written:
        say(f"glc pack: {result.destination}: not written, since every picture failed")
    if options.json:
        print(json.dumps(_describe(result)))
    elif not options.quiet and result.is_written:
        say(f"{result.destination}: {summary(result)}")
    return exit_codes.FAILED if result.failures else exit_codes.OK


def _compress(options: argparse.Namespace, shard: tuple[int, int] | None, tally: Tally) -> Result:
    from glc.dataset import compress

    return compress(
        options.sources,
        options.output,
        options.quality,
        _device(options.device),
        batch_size=options.batch,
        workers=options.jobs or min(os.cpu_count() or 1, _MAX_JOBS),
        on_error=options.on_error,
        resume=not options.force,
        shard=shard,
        model=options.model,
        keep_metadata=options.keep_metadata,
        effort=options.effort,
        staging=options.staging,
        progress=tally,
    )


def _describe(result: Result) -> dict[str, object]:
    return {
        "output": result.destination,
        "pictures": result.pictures,
        "skipped": result.skipped,
        "failed": len(result.failures),
        "bytes_in": result.bytes_in,
        "bytes_out": result.bytes_out,
        "seconds": round(result.seconds, 3),
        "pictures_per_second": round(result.pictures_per_second, 3),
        "notices": [notice._asdict() for notice in result.notices],
        "failures": [failure._asdict() for failure in result.failures],
    }


def _device(chosen: str) -> str:
    """Return the GPU of this process, where torchrun has started one process for each."""
    rank = os.environ.get("LOCAL_RANK", "")
    if chosen not in ("auto", "cuda") or not rank.isdigit() or find_spec("torch") is None:
        return chosen
    import torch

    devices = torch.cuda.device_count()
    return f"cuda:{int(rank) % devices}" if devices else chosen


def _shard_of_process() -> tuple[int, int] | None:
    """Return what torchrun, or anything that sets the same variables, says about this process."""
    rank, world = os.environ.get("RANK", ""), os.environ.get("WORLD_SIZE", "")
    if not rank and not world:
        return None
    try:
        shard = int(rank), int(world)
    except ValueError:
        shard = -1, 0
    if not 0 <= shard[0] < shard[1]:
        raise exit_codes.UsageError(
            f"RANK={rank!r} and WORLD_SIZE={world!r} name no shard; use --shard"
        )
    return shard if shard[1] > 1 else None


def _shard(text: str) -> tuple[int, int]:
    index, slash, total = text.partition("/")
    is_shard = slash and index.isascii() and index.isdigit() and total.isascii() and total.isdigit()
    if not is_shard or not int(index) < int(total):
        raise argparse.ArgumentTypeError(f"expected 0/N to N-1/N, found {text!r}")
    return int(index), int(total)


def _parser() -> Parser:
    parser = Parser(
        prog="glc pack",
        description="Compress whole datasets into one file. Run again after an interruption, it "
        "goes on where it was.",
        epilog="Pictures that fail are listed beside the output, in OUT.failed.csv, such as "
        "x.glca.failed.csv (for a folder: inside, failed.csv), and the exit code is 1.",
    )
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="folders (with all below them), pictures, .glc files, patterns, WebDataset tars, "
        "Parquet files, archives; {000..011} stands for each number; URLs by fsspec",
    )
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="OUT",
        help=".glca is an archive, .parquet a table, all else a folder of .glc files",
    )
    parser.add_argument(
        "-q",
        "--quality",
        type=quality,
        default=50,
        metavar="0..100",
        help="higher is better and larger (default: 50)",
    )
    add_effort(parser)
    add_device(parser, "default: the default model, or that of the first .glc file")
    parser.add_argument(
        "-j",
        "--jobs",
        type=count,
        metavar="N",
        help=f"pictures at once (default: one per core, at most {_MAX_JOBS})",
    )
    parser.add_argument(
        "--batch",
        type=count,
        metavar="N",
        help="pictures of one size that run through the networks together (default: 1 on a CPU, 8 "
        "elsewhere)",
    )
    parser.add_argument(
        "--shard",
        type=_shard,
        metavar="I/N",
        help="take every N-th picture, from the I-th on, I counting from 0; the number goes into "
        "the name of OUT (default: RANK and WORLD_SIZE of the environment)",
    )
    parser.add_argument(
        "--on-error",
        choices=("skip", "raise"),
        default="skip",
        help="note a picture that fails and go on, or end there (default: skip)",
    )
    parser.add_argument(
        "-f", "--force", action="store_true", help="begin again, whatever is there (default: go on)"
    )
    parser.add_argument(
        "--keep-metadata", action="store_true", help="store EXIF and XMP (default: strip)"
    )
    parser.add_argument(
        "--staging",
        metavar="DIR",
        help="local folder of unfinished files (default: beside OUT; for a URL a temporary one)",
    )
    add_reporting(parser)
    return parser
