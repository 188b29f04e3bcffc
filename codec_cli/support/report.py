"""What the user sees: lines on standard error, JSON on standard output, a progress bar.

The bar appears only on a terminal, and only for more than one file or for one in tiles.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from codec_cli.support import exit_codes
from glc.tiling.geometry import SmallerTilesWarning

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["Report", "one_line", "say"]


def say(text: str) -> None:
    """Print one line on standard error; one that is closed or full holds up no work."""
    if sys.stderr is None:
        # Without this, print would take standard output instead.
        return
    try:
        print(one_line(text), file=sys.stderr, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def one_line(text: str) -> str:
    """Escape what would break a line or a terminal; file names may hold anything."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class Report:
    """Tells how the files of one command fare; safe to use from several threads.

    Args:
        command: its name, the beginning of every error line.
        total: how many files there are.
        as_json: print one object per file on standard output instead of a line on standard error.
        quiet: print errors only (and JSON, if asked for).
    """

    def __init__(self, command: str, total: int, as_json: bool, quiet: bool) -> None:
        self.failures = 0
        self._is_closed = False
        self._command = command
        self._total = total
        self._as_json = as_json
        self._quiet = quiet
        self._lock = threading.Lock()
        self._progress: Progress | None = None
        self._finished = 0
        self._shares: dict[object, float] = {}
        self._warnings = warnings.catch_warnings()

    def __enter__(self) -> Report:
        if self._total > 1 and self._has_bar:
            self._start()
        self._warnings.__enter__()
        warnings.simplefilter("always", SmallerTilesWarning)
        warnings.showwarning = self._warn
        return self

    def __exit__(self, *exception: object) -> None:
        self._warnings.__exit__(None, None, None)
        with self._lock:
            # Threads that an interruption left behind have nothing more to say.
            self._is_closed = True
            if self._progress is not None:
                self._progress.stop()

    @property
    def exit_code(self) -> int:
        """1 if a file failed, else 0."""
        return exit_codes.FAILED if self.failures else exit_codes.OK

    @property
    def _has_bar(self) -> bool:
        return not self._quiet and sys.stderr is not None and sys.stderr.isatty()

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import Progress

        # Unasked, rich would also send standard output, and with it the JSON, to its console.
        self._progress = Progress(
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._progress.add_task(self._command, total=self._total)
        self._progress.start()

    def progress_of(self, name: str) -> Callable[[float], None] | None:
        """Return what moves the bar within a large picture; None where there is no bar."""
        if not self._has_bar:
            return None

        def move(share: float) -> None:
            with self._lock:
                if self._is_closed:
                    return
                if self._progress is None:
                    self._start()
                self._shares[name] = share
                self._move()

        return move

    def done(self, line: str, record: dict[str, object]) -> None:
        """A file is finished."""
        with self._lock:
            if self._is_closed:
                return
            if self._as_json:
                self._print_json(record)
            elif not self._quiet:
                self._print(line)
            self._end(record.get("input"))

    def notice(self, name: str, text: str) -> None:
        """Something about a file that the user should know, though all is well."""
        if not self._quiet:
            with self._lock:
                self._print(f"glc {self._command}: {name}: note: {text}")

    def _warn(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        """Show what the library warns of; by default that is a lack of memory on the GPU only."""
        if not self._quiet:
            with self._lock:
                self._print(f"glc {self._command}: note: {message}")

    def failed(self, name: str | None, reason: str, record: dict[str, object]) -> None:
        """A file failed; the name is put in front unless the reason begins with it."""
        with self._lock:
            if self._is_closed:
                return
            self.failures += 1
            subject = "" if name is None or reason.startswith(f"{name}: ") else f"{name}: "
            self._print(f"glc {self._command}: {subject}{reason}")
            if self._as_json:
                self._print_json({**record, "error": one_line(reason)})
            self._end(name)

    def _print(self, line: str) -> None:
        if self._progress is None:
            say(line)
        else:
            self._progress.console.print(
                one_line(line), markup=False, highlight=False, soft_wrap=True
            )

    def _print_json(self, record: dict[str, object]) -> None:
        print(json.dumps(record), flush=True)

    def _end(self, name: object) -> None:
        self._finished += 1
        self._shares.pop(name, None)
        self._move()

    def _move(self) -> None:
        if self._progress is not None:
            done = self._finished + sum(self._shares.values())
            self._progress.update(self._progress.task_ids[0], completed=done)
