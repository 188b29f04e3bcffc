"""Command-line options that several subcommands share."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from typing import NoReturn

from codec_cli.support import exit_codes
from glc.bitstream import QUALITY_MAX, Limits
from glc.config import DEFAULT_REALISM, IMAGE_STRIDE, REALISM_MAX
from glc.effort.levels import EFFORT_MAX, check_torch
from glc.tiling.geometry import TILE_SIDE, UNCUT_SIDE, Tiling

__all__ = [
    "Parser",
    "add_device",
    "add_effort",
    "add_inputs",
    "add_jobs",
    "add_limits",
    "add_outputs",
    "add_realism",
    "add_reporting",
    "add_tile",
    "count",
    "limits_of",
    "quality",
]


_MARK = "\0"
"""No argument of a process can hold this."""
_WHOLE = re.compile(r"\d+(\.0*)?", re.ASCII)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line and a ``UsageError``.

    What stands after ``--`` is a name, whatever it begins with. Options may stand between names,
    which argparse does by reading twice; it forgets the ``--`` on the way (before Python 3.13).
    """

    _after: tuple[str, ...] = ()
    """What stands after ``--``; while argparse reads, each is a mark and a number."""
    _given: tuple[str, ...] = ()

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: None = None
    ) -> argparse.Namespace:
        """Read a command line whose options stand anywhere."""
        self._given = tuple(sys.argv[1:] if args is None else args)
        return self._named(super().parse_args(self._marked()))

    def parse_intermixed_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: None = None
    ) -> argparse.Namespace:
        """Read a command line whose options may stand between its names."""
        self._given = tuple(sys.argv[1:] if args is None else args)
        return self._named(super().parse_intermixed_args(self._marked()))

    def error(self, message: str) -> NoReturn:
        """Refuse the command line."""
        for number, name in enumerate(self._after):
            message = message.replace(f"{_MARK}{number}", name)
        options = set(self._option_string_actions)
        is_missing = message.endswith("expected one argument")
        for name in self._given:
            is_name = os.path.lexists(name) or (is_missing and "." in name)
            if name[:1] == "-" and name not in (*options, "-", "--") and is_name:
                message += f"; for the file {name} write ./{name}"
        raise exit_codes.UsageError(message)

    def _marked(self) -> list[str]:
        if "--" not in self._given:
            return list(self._given)
        end = self._given.index("--")
        self._after = self._given[end + 1 :]
        return [*self._given[:end], *(f"{_MARK}{n}" for n in range(len(self._after)))]

    def _named(self, options: argparse.Namespace) -> argparse.Namespace:
        """Put what stands after ``--`` back into the names; an option does not reach over it."""
        if not self._after:
            return options
        names = {f"{_MARK}{number}": name for number, name in enumerate(self._after)}
        for field, value in vars(options).items():
            if isinstance(value, list):
                setattr(options, field, [names.get(v, v) for v in value])
            elif isinstance(value, str) and value in names:
                self.error(f"argument --{field}: expected one argument before --")
        return options


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


def add_int8(parser: Parser) -> None:
    """Add ``--int8``."""
    parser.add_argument(
        "--int8",
        action="store_true",
        help="decode faster, with 8-bit integers: pixels differ a little from those without it "
        "(on a CPU, and with a model that knows its ranges)",
    )


def add_realism(parser: Parser) -> None:
    """Add ``--realism``."""
    parser.add_argument(
        "--realism",
        type=realism,
        metavar="N",
        help="0 shows the most faithful picture, 100 the most realistic one, of the same file "
        f"(default: {DEFAULT_REALISM}; older models show one picture only)",
    )


def add_effort(parser: Parser) -> None:
    """Add ``--effort``."""
    parser.add_argument(
        "--effort",
        type=effort,
        default=0,
        metavar="0..9",
        help="search longer for a better picture in a file of the same size, from 1 on with the "
        "extra effort; 4 takes several times as long as 0, which does not search (default: 0)",
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
    return _whole(text, QUALITY_MAX)


def realism(text: str) -> int:
    """Read the argument of ``--realism``."""
    return _whole(text, REALISM_MAX)


def effort(text: str) -> int:
    """Read the argument of ``--effort``.

    Raises:
        argparse.ArgumentTypeError: it is none, or torch, which it needs, is not installed.
    """
    level = _whole(text, EFFORT_MAX)
    try:
        check_torch(level)
    except ModuleNotFoundError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return level


def _whole(text: str, most: int) -> int:
    if not _WHOLE.fullmatch(text) or float(text) > most:
        raise argparse.ArgumentTypeError(f"expected a whole number 0 to {most}, found {text!r}")
    return int(float(text))


def count(text: str) -> int:
    """Read a number of things."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of 1 or more, found {text!r}")
    return int(text)
