"""Steps whose loss is not finite: skipped on the device, counted, and a stop after three in a row.

Looking at a loss makes the host wait for the device, so the decision to skip is a tensor.
"""

from __future__ import annotations

import torch
from torch import Tensor

from glc.errors import GlcError

IN_A_ROW = 3
"""So many skipped steps in a row end the run."""


class TrainingError(GlcError):
    """Training cannot go on: losses are not finite, memory does not suffice, or a wrong file."""


class StepGuard:
    """Judges and counts the steps of one optimiser.

    Args:
        name: what the losses are called in the message.
        device: where they are computed.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        self.name = name
        self._skipped = torch.zeros((), device=device)
        self._in_a_row = torch.zeros((), device=device)
        self._longest = torch.zeros((), device=device)

    def judge(self, *values: Tensor) -> Tensor:
        """Return 1.0 if any of these scalars is not finite and the step must be skipped, else 0."""
        joined = torch.stack([value.detach().float().reshape(()) for value in values])
        skip = joined.isfinite().all().logical_not().float()
        self._skipped += skip
        # In place: a recorded step finds the counts where it left them.
        self._in_a_row.add_(1.0).mul_(skip)
        torch.maximum(self._longest, self._in_a_row, out=self._longest)
        return skip

    @property
    def skipped(self) -> int:
        """Steps skipped so far; waits for the device."""
        return int(self._skipped)

    @skipped.setter
    def skipped(self, count: int) -> None:
        self._skipped.fill_(count)

    def check(self, phase: int, step: int) -> None:
        """Stop a run that no longer learns; waits for the device.

        Raises:
            TrainingError: three steps in a row were skipped.
        """
        if float(self._longest) >= IN_A_ROW:
            raise TrainingError(
                f"phase {phase}, step {step}: three {self.name} losses in a row were not finite; "
                "lower the learning rate, or resume from an earlier checkpoint"
            )


def step_unless(skip: Tensor, optimiser: torch.optim.Optimizer) -> None:
    """Step a fused optimiser, or leave parameters and moments alone where ``skip`` is 1.

    The same hook that ``torch.amp.GradScaler`` uses to skip steps without looking at them.
    """
    optimiser.found_inf = skip  # type: ignore[attr-defined]
    optimiser.step()
