"""How many steps fit into a time: measured on a few of them, so that the schedule can end in it."""

from __future__ import annotations

import gc
import tempfile
import time
from pathlib import Path

import torch

from glc.training.data.crops import Pictures
from glc.training.engine.loop import Trainer
from glc.training.losses.features import PerceptualLoss
from glc.training.settings import TrainingSettings

_TIMED = 6
"""Steps that are timed."""
_MANY = 1_000_000
"""Steps of the rehearsed phase: so many that all timed ones stand at the start of their stage."""
_SHARE, _SHARE_ON_GPU = 0.85, 0.94
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

    Steps are timed in each stage of the phase: before and after the feature networks and the
    discriminators join.
    """
    begin = time.monotonic()
    starts = _stage_starts(settings, phase)
    rehearsal = settings.replace({f"steps_{phase}": _MANY})
    pace = 0.0
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(rehearsal, pictures, None, Path(folder), device, perceptual)
        trainer.begin_phase(phase)
        for start, end in zip(starts, [*starts[1:], 1.0], strict=True):
            trainer.step = round(start * _MANY) + 1
            pace += (end - start) * _seconds_per_step(trainer)
    # A recorded step holds on to its memory as long as the trainer, which it refers to, is there.
    del trainer
    gc.collect()
    left = seconds - (time.monotonic() - begin)
    share = _SHARE_ON_GPU if device.type == "cuda" else _SHARE
    return max(1, int(share * left / pace))


def _stage_starts(settings: TrainingSettings, phase: int) -> list[float]:
    """Shares of a phase that have passed when its steps become dearer, the first of them 0."""
    starts = {0.0}
    if phase != 2:
        starts.add(settings.perceptual_start)
        if settings.adversarial_weight > 0:
            starts.add(settings.adversarial_start(phase))
    return sorted(start for start in starts if start < 1.0)


def _seconds_per_step(trainer: Trainer) -> float:
    for _ in range(trainer.warm_steps):
        trainer.train_step()
    _wait(trainer.device)
    start = time.monotonic()
    for _ in range(_TIMED):
        trainer.train_step()
    _wait(trainer.device)
    return (time.monotonic() - start) / _TIMED


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
