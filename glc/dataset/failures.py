"""The list of pictures that failed, as CSV: which, and why.

Written row by row while a dataset is compressed, so that an interruption keeps it.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import NamedTuple

__all__ = ["Failure", "Journal", "format_failures", "parse_failures"]

_HEADER = ("number", "key", "reason")


class Failure(NamedTuple):
    """One picture that could not be compressed."""

    number: int
    """Its place in the source, from 0."""
    key: str
    reason: str


class Journal:
    """A list of failures on the local disk that grows by one line at a time.

    Args:
        path: read if it exists; a last line without an end is dropped, since it was interrupted.

    Raises:
        ValueError: what is there is no such list.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        whole = text[: text.rfind("\n") + 1]
        self.failures = parse_failures(whole)
        if not whole or whole != text:
            path.write_text(format_failures(self.failures), encoding="utf-8", newline="")

    def add(self, failure: Failure) -> None:
        """Write a line; it is in the file when this returns."""
        with self.path.open("a", encoding="utf-8", newline="") as stream:
            stream.write(_line(failure))
        self.failures.append(failure)


def format_failures(failures: list[Failure]) -> str:
    """Return the whole text of a list."""
    return _line(_HEADER) + "".join(_line(failure) for failure in failures)


def parse_failures(text: str) -> list[Failure]:
    """Return the failures of a list.

    Raises:
        ValueError: it is not one.
    """
    try:
        rows = list(csv.reader(io.StringIO(text, newline="")))
    except csv.Error as error:
        raise ValueError(f"list of failures: not one: {error}") from error
    if rows and tuple(rows[0]) != _HEADER:
        raise ValueError(f"list of failures: expected columns {_HEADER}, found {rows[0][:3]}")
    if not all(len(row) == len(_HEADER) and row[0].isdecimal() for row in rows[1:]):
        raise ValueError("list of failures: expected number, key and reason in every row")
    return [Failure(int(number), key, reason) for number, key, reason in rows[1:]]


def _line(row: tuple[object, ...]) -> str:
    # On one line whatever it holds, so that an interrupted one can be told by its missing end.
    stream = io.StringIO(newline="")
    cells = (" ".join(str(cell).splitlines()) for cell in row)
    csv.writer(stream, lineterminator="\n").writerow(cells)
    return stream.getvalue()
