"""Command-line options that several subcommands share."""

from __future__ import annotations

import argparse
from typing import NoReturn

from codec_cli import exits
from glc.bitstream import QUALITY_MAX, Limits
from glc.config import IMAGE_STRIDE
from glc.tiles import TILE_SIDE, UNCUT_SIDE, Tiling

__all__ = [
    "Parser",
    "add_device",
    "add_inputs",
    "add_jobs",
    "add_limits",
    "add_outputs",
    "add_reporting",
    "add_tile",
    "count",
    "limits_of",
    "quality",
]


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line and a ``UsageError``."""

    def error(self, message: str) -> NoReturn:
        """Refuse the command line."""
        raise exits.UsageError(message)


def add_inputs(parser: Parser, what: str) -> None:
    """Add ``IN...`` and ``-r``."""
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="IN",
        help=f"{what}: files, folders, patterns such as '*.png', or - for standard input",
    )
    parser.add_argument(
        "-r", "--recursive", action="store_true", help="also look into the folders of folders"
    )


def add_outputs(parser: Parser, default: str) -> None:
    """Add ``-o``, ``-f`` and ``--skip-existing``."""
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help=f"a file, a folder (end it with / to make it), or - for standard output; {default}",
    )
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument(
        "-f", "--force", action="store_true", help="replace outputs that exist (default: refuse)"
    )
    existing.add_argument(
        "--skip-existing", action="store_true", help="leave outputs that exist, and go on"
    )


def add_device(parser: Parser, model_default: str) -> None:
    """Add ``--model`` and ``--device``."""
    parser.add_argument(
        "--model",
        metavar="NAME|PATH",
        help=f"an installed model or a weight file; {model_default}",
    )
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda", "mps"),
        default="auto",
        help="where the networks run (default: auto)",
    )


def add_jobs(parser: Parser) -> None:
    """Add ``-j``."""
    parser.add_argument(
        "-j",
        "--jobs",
        type=count,
        default=1,
        metavar="N",
        help="work on N files at once (default: 1)",
    )


def add_tile(parser: Parser) -> None:
    """Add ``--tile``."""
    parser.add_argument(
        "--tile",
        type=_tile,
        metavar="N",
        help="work in tiles of N x N pixels on pictures that are larger; 0 never does (default: "
        f"{TILE_SIDE}, for more than {UNCUT_SIDE} x {UNCUT_SIDE} pixels)",
    )


def add_int8(parser: Parser | argparse._MutuallyExclusiveGroup) -> None:
    """Add ``--int8``."""
    parser.add_argument(
        "--int8",
        action="store_true",
        help="decode faster, with 8-bit integers: pixels differ a little from those without it "
        "(needs the extra fast, and a model that knows its ranges)",
    )


def precision_of(options: argparse.Namespace) -> str:
    """Return what ``--int8`` means for ``Codecs``."""
    return "int8" if options.int8 else "float32"


def _tile(text: str) -> int:
    try:
        tiling = Tiling(int(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"expected 0 or a number of {IMAGE_STRIDE} or more, found {text!r}"
        ) from error
    return tiling.side or 0


def add_limits(parser: Parser) -> None:
    """Add ``--max-pixels``, ``--max-side`` and ``--max-chunk-bytes``."""
    default = Limits()
    for name, what in (
        ("max_pixels", "width times height"),
        ("max_side", "width or height"),
        ("max_chunk_bytes", "bytes of alpha, metadata and the like"),
    ):
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=count,
            default=getattr(default, name),
            metavar="N",
            help=f"refuse a file whose {what} is above N (default: %(default)s)",
        )


def limits_of(options: argparse.Namespace) -> Limits:
    """Return what the options of ``add_limits`` say."""
    return Limits(options.max_pixels, options.max_side, options.max_chunk_bytes)


def add_reporting(parser: Parser) -> None:
    """Add ``--json`` and ``--quiet``."""
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object per file on standard output"
    )
    parser.add_argument("--quiet", action="store_true", help="say nothing but errors")


def quality(text: str) -> int:
    """Read the argument of ``-q``."""
    if not text.isascii() or not text.isdigit() or int(text) > QUALITY_MAX:
        raise argparse.ArgumentTypeError(f"expected a whole number 0 to 100, found {text!r}")
    return int(text)


def count(text: str) -> int:
    """Read a number of things."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of 1 or more, found {text!r}")
    return int(text)
