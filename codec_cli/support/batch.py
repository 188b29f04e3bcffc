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
from typing import TypeAlias

from codec_cli.support.exit_codes import UsageError
from codec_cli.support.faults import is_fault, reason_of, show_trace
from codec_cli.support.paths import Expansion, Job, Source
from codec_cli.support.report import Report
from glc.errors import GlcError
from glc.tiling.progress import Progress

__all__ = [
    "Outcome",
    "Work",
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


Work: TypeAlias = Callable[[Job, Progress | None], Outcome]
"""Makes one output, and tells of large pictures how far it is; None where nobody looks."""


def run_jobs(
    jobs: Sequence[Job],
    work: Work,
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
    """Report every argument that stands for no file, and what was left out of folders."""
    for name, text in expansion.notices:
        report.notice(name, text)
    for name, reason in expansion.failures:
        report.failed(name, reason, {"input": name})


def _in_threads(jobs: Sequence[Job], work: Work, workers: int, report: Report) -> None:
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


def _attempt(job: Job, work: Work, report: Report) -> None:
    started = time.perf_counter()
    name = job.source.name
    try:
        outcome = work(job, report.progress_of(name))
    except BrokenPipeError:
        raise
    except Exception as error:
        _failed(error, job, report)
        return
    except BaseException as error:
        # Rust's panics are none of Python's ordinary exceptions; Ctrl-C must get through.
        if not is_fault(error):
            raise
        _failed(error, job, report)
        return
    seconds = time.perf_counter() - started
    for notice in outcome.notices:
        report.notice(name, notice)
    record: dict[str, object] = {"input": name, **outcome.fields, "seconds": round(seconds, 3)}
    if outcome.notices:
        record["notices"] = list(outcome.notices)
    report.done(f"{outcome.line}  {seconds:.2f} s", record)


def _failed(error: BaseException, job: Job, report: Report) -> None:
    show_trace(error)
    record: dict[str, object] = {"input": job.source.name, "output": job.target_name}
    report.failed(job.source.name, reason_of(error), record)


def read(source: Source) -> bytes:
    """Return all bytes of an input."""
    if source.path is None:
        if sys.stdin is None:
            raise OSError(errno.EBADF, "standard input is closed")
        return sys.stdin.buffer.read()
    try:
        return source.path.read_bytes()
    except OSError as error:
        _check_input(source)
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
    taken: dict[Path, Source] = {}
    allowed: list[Job] = []
    for job in jobs:
        source, target, name = job.source, job.target, job.source.name
        record: dict[str, object] = {"input": name}
        try:
            _check_input(source)
            if target is None or _is_device(target):
                allowed.append(job)
                continue
            record["output"] = str(target)
            key = _resolved(target)
            if key in inputs or _is_same(source.path, target):
                raise ValueError(f"its output {target} is an input; name another with -o")
            if key in taken:
                if _is_same(source.path, taken[key].path):
                    line = f"{name} -> {target}  skipped: the same file as {taken[key].name}"
                    report.done(line, {**record, "skipped": True})
                    continue
                raise ValueError(
                    f"its output {target} is also that of {taken[key].name}; "
                    "do one of them by itself"
                )
            replaces = _may_write(job, force, skip_existing, is_cut, check_source)
        except (GlcError, OSError, ValueError) as error:
            report.failed(name, reason_of(error), record)
            continue
        taken[key] = source
        if replaces is None:
            report.done(f"{name} -> {target}  skipped: exists", {**record, "skipped": True})
            continue
        if replaces:
            report.notice(name, f"{target} is empty or cut off, and is made again")
        allowed.append(replace(job, replaces=replaces))
    return allowed


def _check_input(source: Source) -> None:
    """Look whether an input is there.

    Raises:
        OSError: it is not, or may not be looked at.
    """
    if source.path is None:
        return
    try:
        source.path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        if source.path.is_symlink():
            place = source.path.readlink()
            raise OSError(f"it is a link to {place}, which does not exist") from error
        raise OSError("no such file") from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError("it is a link that leads back to itself") from error
        # The line that reports it names the file already.
        raise OSError(error.errno, f"cannot be read: {error.strerror}") from error


def _may_write(
    job: Job,
    force: bool,
    skip_existing: bool,
    is_cut: Callable[[Path], bool],
    check_source: Callable[[Path, Path], None] | None,
) -> bool | None:
    """Return whether what is there is the rest of a crash; None: it is there and is to be left.

    Raises:
        GlcError, OSError: the output may not be written, or is another source's.
    """
    source, target = job.source.path, job.target
    if target is None:
        return False
    try:
        if target.is_dir():
            raise OSError(f"its output {target} is a folder; name another with -o")
        if not os.path.lexists(target) or force:
            return False
        if not target.exists():
            place = target.readlink()
            raise OSError(f"{target} is a link to {place}, which does not exist; -f writes it")
    except PermissionError as error:
        raise OSError(f"{target} cannot be written: {error.strerror}") from error
    if not skip_existing:
        raise OSError(f"{target} exists; -f replaces it")
    try:
        if is_cut(target):
            return True
        if check_source is not None and source is not None:
            check_source(source, target)
        return None
    except GlcError as error:
        raise OSError(f"{target} exists, but: {error}; -f replaces it") from error
    except OSError as error:
        raise OSError(f"{target} exists, but: {reason_of(error)}; -f replaces it") from error


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return path.absolute()


def _is_same(source: Path | None, target: Path | None) -> bool:
    """Tell whether two names, perhaps hard links, are one file."""
    try:
        return source is not None and target is not None and source.samefile(target)
    except OSError:
        return False


def _is_device(path: Path) -> bool:
    try:
        return path.exists() and not path.is_file() and not path.is_dir()
    except OSError:
        return False
