"""``glc encode``: pictures to .glc files."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from codec_cli.support import exit_codes
from codec_cli.support.atomic_output import Outputs
from codec_cli.support.batch import (
    Outcome,
    check_standard_output,
    read,
    reason_of,
    report_missing,
    run_jobs,
    writable_jobs,
)
from codec_cli.support.codecs import CodecLike, Codecs
from codec_cli.support.completeness import (
    OtherSourceError,
    check_size,
    is_cut_glc,
    size_of_glc,
    size_of_picture,
)
from codec_cli.support.options import (
    Parser,
    add_device,
    add_effort,
    add_inputs,
    add_jobs,
    add_limits,
    add_outputs,
    add_reporting,
    add_tile,
    limits_of,
    quality,
)
from codec_cli.support.paths import Job, expand, plan
from codec_cli.support.report import Report
from codec_cli.support.suffixes import PICTURE_SUFFIXES, check_suffix, named_output
from glc.bitstream import unpack
from glc.tiling.progress import Progress

if TYPE_CHECKING:
    from glc.image import Picture

__all__ = ["run"]

_Coding: TypeAlias = "Callable[[Picture, Progress | None], bytes]"

# Applied after the options are read: argparse takes a default that is given for one that is not.
_QUALITY = 50


def run(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    options = _parser().parse_intermixed_args(arguments)
    limits = limits_of(options)
    expansion = expand(options.inputs, PICTURE_SUFFIXES, options.recursive)
    jobs = plan(expansion, options.output, ".glc", PICTURE_SUFFIXES)
    if named := named_output(jobs, options.output):
        check_suffix("-o", named, "a .glc file", ".glc")
    check_standard_output(jobs, options.json)

    total = len(jobs) + len(expansion.failures)
    with (
        Report("encode", total, options.json, options.quiet) as report,
        Outputs(options.force) as outputs,
    ):
        report_missing(expansion, report)
        jobs = writable_jobs(
            jobs, options.force, options.skip_existing, report, is_cut_glc, _SourceCheck()
        )
        if not jobs:
            return report.exit_code
        try:
            codec = Codecs(options.model, options.device, limits, options.tile).for_model()
        except Exception as error:
            report.failed(None, reason_of(error), {})
            return exit_codes.FAILED
        coding = _coding(codec, options)
        work = _Encoding(codec, coding, outputs, options.verify, options.keep_metadata)
        with _pictures_up_to(limits.max_pixels):
            return run_jobs(jobs, work, options.jobs, report)


class _SourceCheck:
    """Refuses an output that exists and is, or may be, that of another picture."""

    def __init__(self) -> None:
        self._pictures: dict[Path, dict[str, list[Path]]] = {}

    def __call__(self, source: Path, target: Path) -> None:
        """Compare a source with an output that exists.

        Raises:
            OtherSourceError: it has another size; or a picture of another kind has the same name.
            OSError: it cannot be read.
        """
        check_size(size_of_picture(source), size_of_glc(target.read_bytes()))
        if source.suffix.lower() not in PICTURE_SUFFIXES:
            return
        for other in self._pictures_in(source.parent).get(source.stem, ()):
            # Where names may differ in their case alone two of them can be one file.
            if other.exists() and not other.samefile(source):
                raise OtherSourceError(
                    f"it may be that of {other}, which has the same name; use -o"
                )

    def _pictures_in(self, folder: Path) -> dict[str, list[Path]]:
        """Return the pictures of a folder by their names without suffix; looked at once."""
        found = self._pictures.get(folder)
        if found is None:
            found = self._pictures[folder] = {}
            for path in sorted(folder.iterdir()):
                if path.suffix.lower() in PICTURE_SUFFIXES:
                    found.setdefault(path.stem, []).append(path)
        return found


@contextmanager
def _pictures_up_to(pixels: int) -> Iterator[None]:
    """Make Pillow refuse larger pictures, as soon as it has read their size."""
    from PIL import Image

    before = Image.MAX_IMAGE_PIXELS
    # Pillow warns above its limit, and refuses above twice the limit.
    Image.MAX_IMAGE_PIXELS = (pixels + 1) // 2
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


@dataclass(frozen=True)
class _Encoding:
    """Makes one .glc file."""

    codec: CodecLike
    coding: _Coding
    outputs: Outputs
    verify: bool
    keeps_metadata: bool

    def __call__(self, job: Job, progress: Progress | None) -> Outcome:
        from glc.image import load

        name = job.source.name
        picture = load(read(job.source), name)
        data = self.coding(picture, progress)
        # A file that a reader with the same limits would refuse is not written.
        quality = unpack(data, self.codec.limits).quality
        check = self.codec.verify if self.verify else None
        self.outputs.write(job.target, data, check, job.replaces)

        bpp = 8 * len(data) / (picture.width * picture.height)
        fields: dict[str, object] = {
            "output": job.target_name,
            "width": picture.width,
            "height": picture.height,
            "bytes": len(data),
            "bpp": round(bpp, 6),
            "quality": quality,
            "model": unpack(data).model.hex(),
        }
        if self.verify:
            fields["verified"] = True
        line = f"{name} -> {job.target_name}  {len(data):,} bytes  {bpp:.4f} bpp  q{quality}"
        lost = picture.metadata_notices if self.keeps_metadata else ()
        return Outcome(line, fields, (*picture.notices, *lost))


def _coding(codec: CodecLike, options: argparse.Namespace) -> _Coding:
    """Return the codec call that ``-q``, ``--target-bpp`` or ``--target-size`` asks for."""
    how = {
        "keep_metadata": options.keep_metadata,
        "effort": options.effort,
        "mean_colors": options.mean_colors,
    }

    def to_size(picture: Picture, progress: Progress | None) -> bytes:
        size: int | None = options.target_size
        if size is None:
            size = max(1, math.floor(options.target_bpp * picture.width * picture.height / 8))
        return codec.encode_to_size(picture, size, progress=progress, **how)

    def at_quality(picture: Picture, progress: Progress | None) -> bytes:
        quality = _QUALITY if options.quality is None else options.quality
        return codec.encode(picture, quality, progress=progress, **how)

    has_target = options.target_size is not None or options.target_bpp is not None
    return to_size if has_target else at_quality


def _parser() -> Parser:
    parser = Parser(
        prog="glc encode",
        description="Compress pictures to .glc files.",
        epilog="Alpha is kept without loss, grey stays grey, the EXIF orientation is applied, "
        "colours become sRGB, more than 8 bits are reduced with a note, and of an animation "
        "the first frame is taken.",
    )
    add_inputs(parser, "pictures of any kind that Pillow reads")
    add_outputs(parser, "default: beside the input, its suffix replaced by .glc")
    rate = parser.add_mutually_exclusive_group()
    rate.add_argument(
        "-q",
        "--quality",
        type=quality,
        metavar="0..100",
        help=f"higher is better and larger (default: {_QUALITY})",
    )
    rate.add_argument(
        "--target-bpp",
        type=_rate,
        metavar="X",
        help="the best quality of at most X bits per pixel, everything in the file counted",
    )
    rate.add_argument(
        "--target-size",
        type=_size,
        metavar="BYTES",
        help="the best quality whose file has at most so many bytes",
    )
    add_device(parser, "default: the default model, see glc models")
    add_effort(parser)
    parser.add_argument(
        "--mean-colors",
        action="store_true",
        help="spend some per cent more bytes on true colours of large areas; takes the time of "
        "decoding, too",
    )
    add_tile(parser)
    add_jobs(parser)
    add_limits(parser)
    parser.add_argument(
        "--keep-metadata", action="store_true", help="store EXIF and XMP (default: strip)"
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="read each file back and decode its symbols before it gets its name",
    )
    add_reporting(parser)
    return parser


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 < rate < math.inf:
        raise argparse.ArgumentTypeError(f"expected bits per pixel above 0, found {text!r}")
    return rate


def _size(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of bytes, found {text!r}")
    return int(text)
