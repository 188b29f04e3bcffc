"""``glc verify``: decodes the symbols of .glc files and compares their checksums."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from codec_cli.support import exit_codes
from codec_cli.support.archives import ARCHIVE_SUFFIX, is_archive, opened
from codec_cli.support.batch import Outcome, read, reason_of, report_missing, run_jobs
from codec_cli.support.codecs import Codecs
from codec_cli.support.options import (
    Parser,
    add_device,
    add_inputs,
    add_jobs,
    add_limits,
    add_reporting,
    limits_of,
)
from codec_cli.support.paths import Job, expand
from codec_cli.support.report import Report
from codec_cli.support.suffixes import GLC_SUFFIXES
from glc.errors import GlcError
from glc.tiling.progress import Progress

__all__ = ["run"]


def run(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    options = _parser().parse_intermixed_args(arguments)
    expansion = expand(options.inputs, GLC_SUFFIXES | {ARCHIVE_SUFFIX}, options.recursive)
    codecs = Codecs(options.model, options.device, limits_of(options))

    def work(job: Job, progress: Progress | None) -> Outcome:
        if job.source.path is not None and is_archive(job.source.path):
            return _verify_archive(job.source.path, codecs)
        data = read(job.source)
        codecs.for_file(data).verify(data, progress)
        return Outcome(f"{job.source.name}: ok", {"bytes": len(data), "verified": True})

    total = len(expansion.sources) + len(expansion.failures)
    with Report("verify", total, options.json, options.quiet) as report:
        report_missing(expansion, report)
        if expansion.sources and options.model is not None:
            try:
                codecs.for_model()
            except Exception as error:
                report.failed(None, reason_of(error), {})
                return exit_codes.FAILED
        jobs = [Job(source, None) for source in expansion.sources]
        return run_jobs(jobs, work, options.jobs, report)


def _verify_archive(path: Path, codecs: Codecs) -> Outcome:
    """Check the archive, then every picture in it; the first that is wrong ends it."""
    with opened(path) as archive:
        archive.verify()
        for key, data in archive:
            try:
                codecs.for_file(data).verify(data)
            except GlcError as error:
                raise type(error)(f"{key}: {error}") from error
        fields: dict[str, object] = {"pictures": len(archive), "verified": True}
        return Outcome(f"{path}: ok, {len(archive):,} pictures", fields)


def _parser() -> Parser:
    parser = Parser(
        prog="glc verify",
        description="Check that .glc files, and those in archives, decode to what was encoded. "
        "No picture is made.",
    )
    add_inputs(parser, ".glc files and .glca archives")
    add_device(parser, "default: for each file the model that it was made with")
    add_jobs(parser)
    add_limits(parser)
    add_reporting(parser)
    return parser
