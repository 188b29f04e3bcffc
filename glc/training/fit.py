"""How many steps fit into a time: measured on a few of them, so that the schedule can end in it."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from pathlib import Path

import torch

from glc.training.crops import Pictures
from glc.training.features import PerceptualLoss
from glc.training.loop import Trainer
from glc.training.settings import TrainingSettings

_WARM, _TIMED = 2, 6
"""Steps before the clock starts, and those that it times."""
_SHARE = 0.85
"""Of the time that is left, what goes into steps: held-out losses and checkpoints take some."""


def steps_within(
    seconds: float,
    settings: TrainingSettings,
    phase: int,
    pictures: Pictures,
    device: torch.device,
    perceptual: PerceptualLoss,
) -> int:
    """Return how many steps of a phase fit into the time, the measuring included; at least 1.

    The steps are timed with the discriminators, which join only later: a run ends a little early.
    """
    begin = time.monotonic()
    adversarial = {"adversarial_start_1": 0.0, "adversarial_start_3": 0.0}
    rehearsal = dataclasses.replace(settings, **adversarial)  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(rehearsal, pictures, None, Path(folder), device, perceptual)
        trainer.begin_phase(phase)
        for _ in range(_WARM):
            trainer.train_step()
        _wait(device)
        start = time.monotonic()
        for _ in range(_TIMED):
            trainer.train_step()
        _wait(device)
        pace = (time.monotonic() - start) / _TIMED
    left = seconds - (time.monotonic() - begin)
    return max(1, int(_SHARE * left / pace))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
