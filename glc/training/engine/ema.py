"""Averaged weights (exponential moving average): what is evaluated, shipped and handed on."""

from __future__ import annotations

import copy

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
        self.decay = decay
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
        # On the device, so that a recorded step has the rate of its age.
        age = self.n_averaged.float()
        kept = ((1.0 + age) / (10.0 + age)).clamp_max(self.decay)
        rate = 1.0 - kept * age.clamp_max(1.0)
        mine: list[Tensor] = list(self.module.parameters())
        theirs: list[Tensor] = list(module.parameters())
        changes = torch._foreach_sub(theirs, mine)
        torch._foreach_mul_(changes, rate)
        torch._foreach_add_(mine, changes)
        spoiled = skip > 0
        for good, fresh in zip(self.module.buffers(), module.buffers(), strict=True):
            fresh.copy_(torch.where(spoiled, good, fresh))
            good.copy_(fresh)
        self.n_averaged += 1
