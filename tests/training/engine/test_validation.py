"""Held-out losses that can be read: decibels, levels of 255, and the networks that are there."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

from glc.training.data.in_memory import InMemoryImages
from glc.training.engine.phases import Ensemble, Outcome
from glc.training.engine.validation import evaluate
from glc.training.losses.features import PerceptualLoss
from glc.training.settings import TrainingSettings

SETTINGS = TrainingSettings.load(str(Path(__file__).parents[1] / "micro.toml"), {})
PIXELS = {"psnr", "colour16", "l1", "mse", "area", "grid"}


class Brighter(Ensemble):
    """Decodes every picture brighter by 0.1, in units of [-1, 1]."""

    def forward(self, phase: int, x: Tensor, quality: Tensor, rate_weight: Tensor) -> Outcome:
        return Outcome(x.new_zeros(()), x + 0.1)


class Grey:
    """Pictures of one grey."""

    smallest_side = 64

    def crops(self, batch: int, side: int, *rest: object) -> Tensor:
        return torch.full((batch, 3, side, side), 0.25)


@pytest.mark.parametrize("names", [(), ("alex",), ("lpips", "alex")])
def test_what_is_reported_can_be_read(names: tuple[str, ...]) -> None:
    networks = PerceptualLoss(names, trained=False)
    found, sheet = evaluate(Brighter(SETTINGS), networks, Grey(), 3, SETTINGS)  # type: ignore[arg-type]
    assert set(found) == PIXELS | set(names)
    # Of a range of 2 an error of 0.1 is 26.02 dB, and 12.75 levels of 255.
    assert found["psnr"] == pytest.approx(26.0206, abs=1e-3)
    assert found["colour16"] == pytest.approx(12.75, abs=1e-3)
    assert found["mse"] == pytest.approx(0.01, abs=1e-6)
    assert [len(row) for row in sheet] == [8, 8]


def test_phase_2_reports_no_picture_losses(
    store: InMemoryImages, perceptual: PerceptualLoss
) -> None:
    ensemble = Ensemble(SETTINGS)
    found, sheet = evaluate(ensemble, perceptual, store, 2, SETTINGS)
    assert not set(found) & (PIXELS | {"lpips", "alex", "mobilenet"})
    assert {"latent_mse", "bpp"} <= set(found)
    assert not sheet


def test_held_out_losses_know_no_schedule(store: InMemoryImages) -> None:
    late = dataclasses.replace(SETTINGS, perceptual_start=1.0)
    networks = PerceptualLoss(("lpips",), trained=False)
    found, _ = evaluate(Ensemble(late), networks, store, 3, late)
    assert found["lpips"] > 0
