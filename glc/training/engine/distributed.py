"""One process or several under torchrun: who I am, and what is made equal among all.

Gradients are averaged by hand in one flat all-reduce rather than by DistributedDataParallel: a step
here has two backward passes into two modules with changing sets of trained parameters, and loss and
rate control travel in the same buffer, so that all processes skip the same steps.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.distributed
from torch import Tensor, nn


@dataclass(frozen=True)
class Processes:
    """Rank of this process and how many there are."""

    rank: int = 0
    world: int = 1

    @classmethod
    def join(cls, device: torch.device) -> Processes:
        """Read torchrun's environment and, if there are several processes, join them."""
        world = int(os.environ.get("WORLD_SIZE", "1"))
        if world > 1 and not torch.distributed.is_initialized():
            torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        return cls(int(os.environ.get("RANK", "0")), world)

    def leave(self) -> None:
        """End what ``join`` began."""
        if self.world > 1 and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()

    def average_gradients(self, parameters: Iterable[nn.Parameter], values: Tensor) -> Tensor:
        """Average gradients in place, and the vector ``values`` with them; returns that average."""
        if self.world == 1:
            return values
        trained = [p for p in parameters if p.requires_grad]
        for parameter in trained:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [p.grad for p in trained if p.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients] + [values.to(gradients[0])])
        torch.distributed.all_reduce(flat)
        flat /= self.world
        start = 0
        for gradient in gradients:
            gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
            start += gradient.numel()
        return flat[start:]

    def share(self, *modules: nn.Module) -> None:
        """Give every process the weights and statistics of the first one."""
        if self.world == 1:
            return
        with torch.no_grad():
            for module in modules:
                for tensor in (*module.parameters(), *module.buffers()):
                    # NCCL and gloo want dense memory; channels-last weights are not.
                    dense = tensor.contiguous()
                    torch.distributed.broadcast(dense, 0)
                    tensor.copy_(dense)

    def any_says(self, flag: bool, device: torch.device) -> bool:
        """Say whether any process says so; the same answer everywhere."""
        if self.world == 1:
            return flag
        votes = torch.tensor(float(flag), device=device)
        torch.distributed.all_reduce(votes)
        return float(votes) > 0
