"""In which numbers a codec computes: those that it was made for, whatever surrounds the call.

A program that trains has autocast on around everything. A codec within it would round to bfloat16,
write other files and move pixels; so it leaves autocast aside, for itself and in its own thread.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

import torch

__all__ = ["in_autocast_of_caller", "own_precision", "with_gradients"]

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

_DEVICES = ("cpu", "cuda", "mps", "xpu")
_caller = threading.local()


def own_precision(method: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Call a method without gradients and without the autocast that is on around it."""

    @functools.wraps(method)
    def alone(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        with torch.inference_mode(), _own_autocast():
            return method(*args, **kwargs)

    return alone


@contextlib.contextmanager
def with_gradients() -> Iterator[None]:
    """Compute with gradients, whatever is on around it, and without its autocast."""
    with torch.inference_mode(False), torch.enable_grad(), _own_autocast():
        yield


@contextlib.contextmanager
def _own_autocast() -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        if not getattr(_caller, "decides", False):
            for kind in _DEVICES:
                if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
                    stack.enter_context(torch.autocast(kind, enabled=False))
        yield


@contextlib.contextmanager
def in_autocast_of_caller() -> Iterator[None]:
    """Let the autocast of this thread reach the codec: for measuring what it would change."""
    before = getattr(_caller, "decides", False)
    _caller.decides = True
    try:
        yield
    finally:
        _caller.decides = before
