"""The gradients that training puts in the place of rounding and clamping.

What is coded is rounded in ``glc.coding_loop``. Knows nothing of networks or bytes.
"""

from __future__ import annotations

import torch
from torch import Tensor


def round_through(x: Tensor) -> Tensor:
    """Round half to even; the gradient passes as if nothing had happened.

    The straight-through estimator (Bengio et al., arXiv 1308.3432). Any shape, same shape.
    """
    return x + (x.round() - x).detach()


def round_from(x: Tensor, threshold: float) -> Tensor:
    """Round magnitudes from ``threshold`` on to 1, from 1 + ``threshold`` on to 2, and so on.

    The gradient passes as in ``round_through``. Any shape, same shape; 0.5 rounds to the nearest
    integer, half away from zero.
    """
    rounded = x.sign() * (x.abs() + (1.0 - threshold)).floor()
    return x + (rounded - x).detach()


def clamp_through(x: Tensor, low: float, high: float) -> Tensor:
    """Clamp; outside the range the gradient passes only if it leads back inside."""
    return _ClampThrough.apply(x, low, high)  # type: ignore[no-any-return]


class _ClampThrough(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx, x: Tensor, low: float, high: float
    ) -> Tensor:
        ctx.save_for_backward(x)
        ctx.low, ctx.high = low, high  # type: ignore[attr-defined]
        return x.clamp(low, high)

    @staticmethod
    def backward(
        ctx: torch.autograd.function.FunctionCtx, gradient: Tensor
    ) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors  # type: ignore[attr-defined]
        # A descent step moves x against its gradient.
        low, high = ctx.low, ctx.high  # type: ignore[attr-defined]
        stuck = ((x < low) & (gradient > 0)) | ((x > high) & (gradient < 0))
        return gradient.masked_fill(stuck, 0.0), None, None
