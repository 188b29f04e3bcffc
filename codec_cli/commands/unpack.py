"""``glc unpack``: an archive back to .glc files, or to pictures."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from codec_cli.commands.decode import encoded_as
from codec_cli.support import exit_codes
from codec_cli.support.archives import opened
from codec_cli.support.atomic_output import Outputs
from codec_cli.support.batch import Outcome, reason_of, run_jobs
from codec_cli.support.codecs import Codecs
from codec_cli.support.completeness import (
    OtherSourceError,
    check_size,
    is_cut_glc,
    is_cut_picture,
    size_of_glc,
    size_of_picture,
)
from codec_cli.support.options import (
    Parser,
    add_device,
    add_int8,
    add_jobs,
    add_realism,
    add_reporting,
    precision_of,
)
from codec_cli.support.paths import STDIO, Job, Source
from codec_cli.support.report import Report, say
from glc.archive.reader import Archive
from glc.bitstream import unpack
from glc.dataset.keys import relative_path
from glc.errors import GlcError
from glc.tiling.progress import Progress

__all__ = ["run"]


def run(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    options = _parser().parse_intermixed_args(arguments)
    if options.output == STDIO:
        raise exit_codes.UsageError("-o -: not to standard output; name a folder")
    if options.format and not options.decode:
        raise exit_codes.UsageError("--format is for --decode")
    if options.int8 and not options.decode:
        raise exit_codes.UsageError("--int8 is for --decode")
    if options.realism is not None and not options.decode:
        raise exit_codes.UsageError("--realism is for --decode")
    code = exit_codes.OK
    for name in options.archives:
        try:
            with opened(name) as archive:
                if not archive.is_complete:
                    say(f"glc unpack: {name}: note: no index, its writing was interrupted")
                code = max(code, _unpack(archive, options))
        except (GlcError, OSError) as error:
            say(f"glc unpack: {name}: {reason_of(error)}")
            code = exit_codes.FAILED
    return code


def _unpack(archive: Archive, options: argparse.Namespace) -> int:
    keys = archive.keys
    with (
        Report("unpack", len(keys), options.json, options.quiet) as report,
        Outputs(options.force) as outputs,
    ):
        suffix = f".{options.format or 'png'}" if options.decode else ".glc"
        jobs = []
        taken: dict[Path, str] = {}
        for key in keys:
            try:
                target = Path(options.output) / f"{relative_path(key)}{suffix}"
            except GlcError as error:
                report.failed(key, reason_of(error), {"input": key})
                continue
            record: dict[str, object] = {"input": key, "output": str(target)}
            if target in taken:
                reason = f"its output {target} is also that of {taken[target]}"
                report.failed(key, reason, record)
                continue
            taken[target] = key
            job = Job(Source(Path(key), Path(key)), target)
            if options.skip_existing and target.exists():
                job = replace(job, replaces=True)
                try:
                    if not _is_rest(archive.read(archive.index(key)), target, options.decode):
                        line = f"{key} -> {target}  skipped: exists"
                        report.done(line, {**record, "skipped": True})
                        continue
                except (GlcError, OSError) as error:
                    reason = f"{target} exists, but: {reason_of(error)}; -f replaces it"
                    report.failed(key, reason, record)
                    continue
                report.notice(key, f"{target} is empty or cut off, and is made again")
            jobs.append(job)
        codecs = None
        if options.decode:
            how = precision_of(options), options.realism
            codecs = Codecs(options.model, options.device, None, None, *how)
        work = _Unpacking(archive, taken, codecs, outputs, suffix)
        return run_jobs(jobs, work, options.jobs, report)


def _is_rest(data: bytes, target: Path, is_decoded: bool) -> bool:
    """Tell whether what exists is what a crash leaves; else it is what unpacking would make.

    Raises:
        GlcError: it is something else.
        OSError: it cannot be read.
    """
    if is_decoded:
        if is_cut_picture(target):
            return True
        check_size(size_of_glc(data), size_of_picture(target))
        return False
    if target.read_bytes() == data:
        return False
    if is_cut_glc(target):
        return True
    raise OtherSourceError("it holds another picture, or one that was made otherwise")


@dataclass(frozen=True)
class _Unpacking:
    """Makes one .glc file or picture."""

    archive: Archive
    keys: Mapping[Path, str]
    """Of every output."""
    codecs: Codecs | None
    outputs: Outputs
    suffix: str

    def __call__(self, job: Job, progress: Progress | None) -> Outcome:
        # A key need not be a path, so it is not taken from one.
        key = job.source.name if job.target is None else self.keys[job.target]
        data = self.archive.read(self.archive.index(key))
        container = unpack(data)
        fields: dict[str, object] = {
            "output": job.target_name,
            "width": container.width,
            "height": container.height,
            "bytes": len(data),
            "quality": container.quality,
        }
        notices: tuple[str, ...] = ()
        if self.codecs is None:
            self.outputs.write(job.target, data, replaces=job.replaces)
        else:
            codec = self.codecs.for_file(data)
            image = codec.decode(data, realism=self.codecs.realism, progress=progress)
            picture, lost = encoded_as(image, self.suffix[1:])
            self.outputs.write(job.target, picture, replaces=job.replaces)
            notices = (*self.codecs.realism_notice(codec), *lost)
        return Outcome(f"{key} -> {job.target_name}  {len(data):,} bytes", fields, notices)


def _parser() -> Parser:
    parser = Parser(
        prog="glc unpack",
        description="Take the pictures out of .glca archives, as .glc files or decoded.",
        epilog="Keys become names below DIR; what no file can be called here, or would lead out "
        "of it, is written as %%3A and the like.",
    )
    parser.add_argument("archives", nargs="+", metavar="ARCHIVE")
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="made if missing")
    parser.add_argument("--decode", action="store_true", help="write pictures, not .glc files")
    parser.add_argument(
        "--format", choices=("png", "jpg", "webp"), help="of the pictures (default: png)"
    )
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument(
        "-f", "--force", action="store_true", help="replace files that exist (default: refuse)"
    )
    existing.add_argument(
        "--skip-existing", action="store_true", help="leave files that exist, and go on"
    )
    add_int8(parser)
    add_realism(parser)
    add_device(parser, "default: the one that the archive names")
    add_jobs(parser)
    add_reporting(parser)
    return parser
