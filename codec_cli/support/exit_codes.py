"""Exit codes, and the exceptions that lead to them."""

from __future__ import annotations

__all__ = ["FAILED", "INTERRUPTED", "OK", "TERMINATED", "USAGE", "Terminated", "UsageError"]

OK = 0
FAILED = 1
"""At least one file failed; the others were finished."""
USAGE = 2
INTERRUPTED = 130
"""Ctrl-C: 128 + SIGINT."""
TERMINATED = 143
"""128 + SIGTERM."""


class UsageError(Exception):
    """The command line asks for something contradictory; nothing has been read or written."""


class Terminated(BaseException):
    """SIGTERM. Like KeyboardInterrupt no ``Exception``, so that no file's failure swallows it."""
