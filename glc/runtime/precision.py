"""In which numbers a codec computes: those that it was made for, whatever surrounds the call.

A program that trains has autocast on around everything. A codec within it would round to bfloat16,
write other files and move pixels; so it leaves autocast aside, for itself and in its own thread.
Likewise where a program has products of float32 computed in less
(``torch.set_float32_matmul_precision``), which processors with bfloat16 do, too: that is one switch
for the whole process, so it is turned while any thread is in a codec.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

import torch

__all__ = ["in_autocast_of_caller", "own_precision", "with_gradients"]

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

_DEVICES = ("cpu", "cuda", "mps", "xpu")
_caller = threading.local()


class _FullProducts:
    """Products of float32 in float32 while anyone is within, and as before when all have left."""

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget who is within: in a forked child nobody is."""
        self._lock, self._within, self._before = threading.Lock(), 0, "highest"

    def __enter__(self) -> None:
        with self._lock:
            if self._within == 0:
                self._before = _products()
                if self._before != "highest":
                    torch.set_float32_matmul_precision("highest")
            self._within += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._within -= 1
            # Who has changed it meanwhile is to have it so.
            if self._within == 0 and self._before != "highest" and _products() == "highest":
                torch.set_float32_matmul_precision(self._before)


def _products() -> str:
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        # Set for single back ends, in a way that this function cannot name.
        return "highest"


_full_products = _FullProducts()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_full_products.begin_anew)


def own_precision(method: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Call a method without gradients, in float32 whatever is on around it."""

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
            stack.enter_context(_full_products)
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
