"""How compressing a dataset goes: one line that changes on a terminal, a line for every failure."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from codec_cli.support.report import one_line, say

if TYPE_CHECKING:
    from rich.progress import Progress

    from glc.dataset import Result

__all__ = ["Tally", "summary"]


class Tally:
    """A progress callback for ``glc.dataset.compress``.

    Args:
        command: its name, the beginning of every error line.
        quiet: print errors only.
    """

    def __init__(self, command: str, quiet: bool) -> None:
        self._command = command
        self._quiet = quiet
        self._told = 0
        self._progress: Progress | None = None

    def __enter__(self) -> Tally:
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

            self._progress = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                TimeElapsedColumn(),
                console=Console(stderr=True),
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._progress.add_task("loading the model", total=None)
            self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def __call__(self, result: Result) -> None:
        """Tell of what is new."""
        for failure in result.failures[self._told :]:
            line = f"glc {self._command}: {failure.key}: {failure.reason}"
            if self._progress is None:
                say(line)
            else:
                self._progress.console.print(
                    one_line(line), markup=False, highlight=False, soft_wrap=True
                )
        self._told = len(result.failures)
        if self._progress is not None:
            self._progress.update(self._progress.task_ids[0], description=summary(result))


def summary(result: Result) -> str:
    """Return the figures of a result in one line."""
    parts = [f"{result.pictures:,} pictures"]
    if result.skipped:
        parts.append(f"{result.skipped:,} done before")
    if result.failures:
        parts.append(f"{len(result.failures):,} failed")
    parts.append(f"{result.bytes_in / 1e6:,.1f} MB in, {result.bytes_out / 1e6:,.2f} MB out")
    parts.append(f"{result.pictures_per_second:.1f} pictures/s")
    return ", ".join(parts)
