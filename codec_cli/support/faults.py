"""What an error means to a person, in one line: what is wrong, and what can be done about it."""

from __future__ import annotations

import errno
import os
import traceback

from codec_cli.support.extras import package_of
from glc.errors import GlcError, NotGlcError

__all__ = ["is_fault", "is_shortage", "reason_of", "show_trace"]

TRACE_VARIABLE = "GLC_TRACEBACK"
"""Environment variable: anything in it shows where in the program an unexpected error came from."""

_SHORTAGE = "not enough memory; fewer files at once (-j) and smaller tiles (--tile) need less"
_SHORTAGE_WORDS = (
    *("bad_alloc", "bad allocation", "allocate memory", "unable to allocate", "out of memory"),
    *("not enough memory", "bfc_arena", "failed to map segment", "can't start new thread"),
    "memory allocation",
)
"""What numpy, torch, onnxruntime, the loader of libraries and Python say, in lower case."""
_INSTEAD = {
    "picture, not a .glc file": "; glc encode makes one of it",
    "archive, not a .glc file": "; glc unpack takes such files out of it",
}
_PROBE_BYTES = 1 << 26
_PANIC_MODULE = "pyo3_runtime"
"""Where the exceptions of native code in Rust come from; they are no ``Exception``."""


def reason_of(error: BaseException) -> str:
    """Say in one line what went wrong, for a person."""
    if is_shortage(error):
        return _SHORTAGE
    text = " ".join(str(error).split())
    if isinstance(error, NotGlcError):
        return text + next((then for kind, then in _INSTEAD.items() if kind in text), "")
    if isinstance(error, ModuleNotFoundError):
        # Some say themselves what brings the package, and name none.
        return package_of(error.name) if error.name else text
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, (GlcError, OSError, ValueError)) and text:
        return text
    kind = type(error).__name__
    return (
        f"a fault in glc ({kind}: {text}); please report it, with what {TRACE_VARIABLE}=1 in the "
        "environment shows"
    )


def is_shortage(error: BaseException) -> bool:
    """Tell whether an error, or one that led to it, says that there is too little memory.

    Libraries have many words for it, and some fail in ways of their own: of what nobody expects, a
    lack of memory is the likely cause where even a little cannot be had.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, MemoryError) or getattr(seen, "errno", None) == errno.ENOMEM:
            return True
        is_worded = isinstance(seen, (RuntimeError, ImportError)) or is_fault(seen)
        if is_worded and any(words in str(seen).lower() for words in _SHORTAGE_WORDS):
            return True
        seen = seen.__cause__ or seen.__context__
    return is_fault(error) and not _has_memory()


def is_fault(error: BaseException) -> bool:
    """Tell whether an error is one that nobody expected, and not about files or arguments."""
    if type(error).__module__ == _PANIC_MODULE:
        return True
    known = (GlcError, OSError, ValueError, MemoryError, ModuleNotFoundError)
    return isinstance(error, Exception) and not isinstance(error, known)


def show_trace(error: BaseException) -> None:
    """Print where an unexpected error came from, if the user has asked for it."""
    if is_fault(error) and os.environ.get(TRACE_VARIABLE):
        traceback.print_exception(error)


def _has_memory() -> bool:
    try:
        bytearray(_PROBE_BYTES)
    except MemoryError:
        return False
    return True
