"""Averaged weights (exponential moving average): what is evaluated, shipped and handed on."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn


class AveragedWeights(nn.Module):
    """A copy of a module whose weights follow the original slowly.

    A young average forgets faster, so that short runs are not held back by their start. Unlike
    ``torch.optim.swa_utils.AveragedModel``, with the same names in the state, it never waits for
    the device.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        super().__init__()
        self.module = copy.deepcopy(module).requires_grad_(False)
        self.decay, self._count = decay, 0
        self.register_buffer("n_averaged", torch.zeros((), dtype=torch.long))
        self.n_averaged: Tensor

    @torch.no_grad()
    def update(self, module: nn.Module, skip: Tensor) -> None:
        """Move towards the weights of ``module`` and take over its buffers.

        Args:
            module: the original.
            skip: scalar, 1 if this step was not finite. Then the buffers of ``module``, which its
                forward pass has spoiled already, are set back to those of the average.
        """
        rate = 1.0
        if self._count:
            rate = 1.0 - min(self.decay, (1.0 + self._count) / (10.0 + self._count))
        mine: list[Tensor] = list(self.module.parameters())
        theirs: list[Tensor] = list(module.parameters())
        torch._foreach_lerp_(mine, theirs, rate)
        spoiled = skip > 0
        for good, fresh in zip(self.module.buffers(), module.buffers(), strict=True):
            fresh.copy_(torch.where(spoiled, good, fresh))
            good.copy_(fresh)
        self._count += 1
        self.n_averaged += 1

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Load a state and the age of the average with it."""
        report = super().load_state_dict(*args, **kwargs)
        self._count = int(self.n_averaged)
        return report
