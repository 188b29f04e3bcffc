"""Runs a command's work over its files: several at once, and one bad file stops no other."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path

from codec_cli.exits import UsageError
from codec_cli.paths import Expansion, Job, Source
from codec_cli.report import Report
from glc.errors import GlcError
from glc.tiles import watched_by

__all__ = [
    "Outcome",
    "check_standard_output",
    "read",
    "reason_of",
    "report_missing",
    "run_jobs",
    "writable_jobs",
]


@dataclass(frozen=True)
class Outcome:
    """What a finished file has to say."""

    line: str
    """For a person, without the time that it took."""
    fields: dict[str, object]
    """For ``--json``."""
    notices: tuple[str, ...] = ()


def run_jobs(
    jobs: Sequence[Job],
    work: Callable[[Job], Outcome],
    workers: int,
    report: Report,
) -> int:
    """Do the work for every job and report on each as it ends.

    Args:
        jobs: what to do.
        work: makes one output; what it raises is that file's failure.
        workers: how many files at once.
        report: told of every file.

    Returns:
        The exit code.
    """
    if workers == 1 or len(jobs) == 1:
        for job in jobs:
            _attempt(job, work, report)
    else:
        _in_threads(jobs, work, workers, report)
    return report.exit_code


def check_standard_output(jobs: Sequence[Job], as_json: bool) -> None:
    """Refuse a picture on a standard output that is a terminal or carries JSON."""
    if all(job.target is not None for job in jobs):
        return
    if as_json:
        raise UsageError("--json and a picture on standard output (-) exclude each other")
    if sys.stdout is None:
        raise UsageError("standard output is closed; use -o FILE")
    if sys.stdout.isatty():
        raise UsageError("standard output is a terminal; use -o FILE or a pipe")


def report_missing(expansion: Expansion, report: Report) -> None:
    """Report every argument that stands for no file."""
    for name, reason in expansion.failures:
        report.failed(name, reason, {"input": name})


def _in_threads(
    jobs: Sequence[Job], work: Callable[[Job], Outcome], workers: int, report: Report
) -> None:
    executor = ThreadPoolExecutor(workers, "glc")
    try:
        waiting: set[Future[None]] = {executor.submit(_attempt, j, work, report) for j in jobs}
        while waiting:
            # With a timeout, since a wait without one holds back Ctrl-C on some systems.
            finished, waiting = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in finished:
                future.result()
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        raise
    executor.shutdown()


def _attempt(job: Job, work: Callable[[Job], Outcome], report: Report) -> None:
    started = time.perf_counter()
    name = job.source.name
    try:
        with watched_by(report.progress_of(name)):
            outcome = work(job)
    except BrokenPipeError:
        raise
    except Exception as error:
        report.failed(name, reason_of(error), {"input": name, "output": job.target_name})
        return
    seconds = time.perf_counter() - started
    for notice in outcome.notices:
        report.notice(name, notice)
    record: dict[str, object] = {"input": name, **outcome.fields, "seconds": round(seconds, 3)}
    if outcome.notices:
        record["notices"] = list(outcome.notices)
    report.done(f"{outcome.line}  {seconds:.2f} s", record)


def reason_of(error: Exception) -> str:
    """Say in one line what went wrong, for a person."""
    text = " ".join(str(error).split())
    if isinstance(error, (GlcError, FileExistsError, ValueError)) and text:
        return text
    if isinstance(error, MemoryError):
        return "not enough memory"
    if isinstance(error, OSError):
        reason = error.strerror or text or type(error).__name__
        return f"{reason}: {error.filename}" if error.filename else reason
    return f"internal error: {type(error).__name__}: {text}"


def read(source: Source) -> bytes:
    """Return all bytes of an input."""
    if source.path is None:
        if sys.stdin is None:
            raise OSError(errno.EBADF, "standard input is closed")
        return sys.stdin.buffer.read()
    try:
        return source.path.read_bytes()
    except OSError as error:
        # The line that reports it names the file already.
        raise OSError(error.errno, f"cannot be read: {error.strerror}") from error


def writable_jobs(
    jobs: Sequence[Job],
    force: bool,
    skip_existing: bool,
    report: Report,
    is_cut: Callable[[Path], bool],
    check_source: Callable[[Path, Path], None] | None = None,
) -> list[Job]:
    """Return the jobs whose input is there and whose output may be written; report on the others.

    An output that is one of the inputs is always refused: it would destroy an original.

    Args:
        jobs: what to do.
        force: replace outputs that exist.
        skip_existing: leave outputs that exist, unless they are what a crash leaves; refuse those
            of another source.
        report: told of every file that is left out.
        is_cut: tells whether an output that exists is what a crash leaves; raises if it is
            something else that cannot be the output.
        check_source: given a source and its output that exists, raises if that was, or may have
            been, made from another source.
    """
    inputs = {_resolved(job.source.path) for job in jobs if job.source.path is not None}
    taken: dict[Path, str] = {}
    allowed: list[Job] = []
    for job in jobs:
        source, target = job.source, job.target
        if source.path is not None and not os.path.lexists(source.path):
            report.failed(source.name, "no such file", {"input": source.name})
            continue
        if target is None or _is_device(target):
            allowed.append(job)
            continue
        name, key = job.source.name, _resolved(target)
        record: dict[str, object] = {"input": name, "output": str(target)}
        if key in inputs or _is_same(job.source.path, target):
            report.failed(name, f"its output {target} is an input; use -o", record)
        elif key in taken:
            report.failed(name, f"its output {target} is also that of {taken[key]}", record)
        elif target.is_dir():
            report.failed(name, f"its output {target} is a folder", record)
        elif target.exists() and skip_existing:
            taken[key] = name
            try:
                is_rest = _is_rest(job.source.path, target, is_cut, check_source)
            except (GlcError, OSError) as error:
                reason = f"{target} exists, but: {reason_of(error)} (-f replaces it)"
                report.failed(name, reason, record)
                continue
            if is_rest:
                report.notice(name, f"{target} is empty or cut off, and is made again")
                allowed.append(replace(job, replaces=True))
            else:
                report.done(f"{name} -> {target}  skipped: exists", {**record, "skipped": True})
        elif target.exists() and not force:
            report.failed(name, f"{target} exists (-f replaces it)", record)
        else:
            taken[key] = name
            allowed.append(job)
    return allowed


def _is_rest(
    source: Path | None,
    target: Path,
    is_cut: Callable[[Path], bool],
    check_source: Callable[[Path, Path], None] | None,
) -> bool:
    """Tell whether an output is what a crash leaves; raise if it is another's."""
    if is_cut(target):
        return True
    if check_source is not None and source is not None:
        check_source(source, target)
    return False


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return path.absolute()


def _is_same(source: Path | None, target: Path) -> bool:
    """Tell whether two names, perhaps hard links, are one file."""
    try:
        return source is not None and source.samefile(target)
    except OSError:
        return False


def _is_device(path: Path) -> bool:
    return path.exists() and not path.is_file() and not path.is_dir()
