"""Steps fitted into a time: every stage of a phase counts by its share and by what it costs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from glc.training.data.in_memory import InMemoryImages
from glc.training.engine import step_budget
from glc.training.engine.loop import Trainer
from glc.training.losses.features import PerceptualLoss
from glc.training.settings import TrainingSettings

SETTINGS = TrainingSettings.load(str(Path(__file__).parents[1] / "micro.toml"), {})


def test_stages_are_timed_where_they_stand(
    store: InMemoryImages, perceptual: PerceptualLoss, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = dataclasses.replace(SETTINGS, perceptual_start=0.4, adversarial_start_3=0.6)
    seen: list[set[str]] = []

    def paced(trainer: Trainer) -> float:
        seen.append(set(trainer.train_step()) & {"mse", "lpips", "discriminator"})
        return float(len(seen[-1]))

    monkeypatch.setattr(step_budget, "_seconds_per_step", paced)
    monkeypatch.setattr(step_budget, "_SHARE", 1.0)
    clock = iter([0.0, 100.0])
    monkeypatch.setattr(step_budget.time, "monotonic", lambda: next(clock, 100.0))
    device = torch.device("cpu")
    steps = step_budget.steps_within(2100.0, settings, 3, store, device, perceptual)
    assert seen == [{"mse"}, {"mse", "lpips"}, {"mse", "lpips", "discriminator"}]
    assert steps == int(2000 / (0.4 * 1 + 0.2 * 2 + 0.4 * 3))


@pytest.mark.parametrize(
    ("phase", "changes", "starts"),
    [
        (1, {"perceptual_start": 0.0, "adversarial_weight": 0.0}, [0.0]),
        (2, {}, [0.0]),
        (3, {"perceptual_start": 1.0, "adversarial_start_3": 1.0}, [0.0]),
        (3, {"perceptual_start": 0.5, "adversarial_start_3": 0.2}, [0.0, 0.2, 0.5]),
    ],
)
def test_where_steps_become_dearer(
    phase: int, changes: dict[str, float], starts: list[float]
) -> None:
    assert step_budget._stage_starts(dataclasses.replace(SETTINGS, **changes), phase) == starts
