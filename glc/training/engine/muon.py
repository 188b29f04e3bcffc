"""Muon: momentum whose matrix is replaced by its nearest semi-orthogonal one.

Knows nothing of networks: which parameters it suits is decided in
``glc.training.engine.optimizers``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from glc.training.engine.processor import bf16_is_fast

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the odd quintic that pushes all singular values towards 1 in few steps (Jordan, 2024)."""
_ITERATIONS = 5


def orthogonalise(matrices: Tensor, kind: torch.dtype = torch.float32) -> Tensor:
    """Return matrices with the same singular vectors and singular values of about 1.

    Newton-Schulz iteration (Jordan et al., "Muon", 2024; Bernstein & Newhouse, arXiv 2409.20325),
    not to convergence: singular values end between 0.7 and 1.2.

    Args:
        matrices: (N, m, n), any scale.
        kind: what it is computed in; bfloat16 is precise enough.

    Returns:
        Same shape, of ``kind``.
    """
    a, b, c = _COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x: Tensor = matrices / matrices.norm(dim=(1, 2), keepdim=True).clamp_min(1e-12)
    x = (x.mT if tall else x).to(kind)
    for _ in range(_ITERATIONS):
        # Sums and products in one: a GPU waits for the host at every call.
        gram = torch.bmm(x, x.mT)
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Orthogonalised Nesterov momentum for weights that are matrices or convolutions.

    A convolution counts as the matrix (out, in * k * k). Updates have the root mean square of
    AdamW's (factor 0.2 sqrt(max(m, n)), Liu et al., arXiv 2502.16982, section 2.2), so that both
    take the same learning rate. Matrices of one shape are worked on together. ``torch.optim.Muon``
    knows no convolutions.

    Where ``found_inf`` is set to a tensor that is 1, a step changes nothing; nobody waits for the
    device (``glc.training.engine.nonfinite_guard.step_unless``).

    Args:
        params: parameters of two or more dimensions, or groups of them.
        lr: learning rate.
        momentum: of the gradients.
    """

    def __init__(self, params: Iterable[Any], lr: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take one step; ``closure`` is not supported."""
        skip: Tensor | None = getattr(self, "found_inf", None)
        for group in self.param_groups:
            alike: dict[tuple[int, int], list[nn.Parameter]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    shape = (parameter.shape[0], parameter[0].numel())
                    alike.setdefault(shape, []).append(parameter)
            for parameters in alike.values():
                self._step(parameters, group["lr"], group["momentum"], skip)

    def _step(
        self, parameters: list[nn.Parameter], lr: float, momentum: float, skip: Tensor | None
    ) -> None:
        for parameter in parameters:
            if "momentum" not in self.state[parameter]:
                self.state[parameter]["momentum"] = torch.zeros_like(parameter)
        buffers = [self.state[parameter]["momentum"] for parameter in parameters]
        before = torch.stack([buffer.flatten(1) for buffer in buffers])
        gradients = torch.stack([p.grad.flatten(1) for p in parameters])  # type: ignore[union-attr]
        if skip is not None:
            gradients = torch.where(skip > 0, before, gradients)
        after = before.lerp(gradients, 1.0 - momentum)
        kind = torch.bfloat16 if bf16_is_fast(gradients.device) else torch.float32
        change = orthogonalise(after.lerp(gradients, 1.0 - momentum), kind)
        size = lr * 0.2 * max(change.shape[1:]) ** 0.5
        factor = size if skip is None else size * (1.0 - skip)
        change = change.float() * factor
        weights: list[Tensor] = [*parameters]
        torch._foreach_copy_(buffers, _shaped(after, weights))
        torch._foreach_sub_(weights, _shaped(change, weights))


def _shaped(matrices: Tensor, like: list[Tensor]) -> list[Tensor]:
    """Part a stack of matrices into tensors of the shapes of others."""
    return [matrix.view_as(one) for matrix, one in zip(matrices, like, strict=True)]
