"""Networks without random numbers, for parameters that are loaded right away."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import init
from torch.overrides import TorchFunctionMode

_FILLS = frozenset(
    (init.kaiming_uniform_, init.normal_, init.uniform_, Tensor.normal_, Tensor.uniform_)
)
_MAKES = frozenset((torch.rand, torch.randn))


class WithoutRandomNumbers(TorchFunctionMode):
    """Context in which modules start with whatever their memory holds, or zeros.

    Drawing the random numbers of a model that is about to be overwritten takes longer than
    decoding a picture with it, and would move the program's own generator. Of this thread only.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in _FILLS:
            return args[0] if args else kwargs["tensor"]
        if func in _MAKES:
            return torch.zeros(*args, **kwargs)
        return func(*args, **kwargs)
