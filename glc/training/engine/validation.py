"""Held-out losses: the averaged weights on fixed crops of pictures that training never sees."""

from __future__ import annotations

import torch
from torch import Tensor

from glc.config import QUALITY_MAX
from glc.training.data.crops import Pictures
from glc.training.engine.phases import Ensemble
from glc.training.engine.processor import wants_bf16
from glc.training.losses.features import PerceptualLoss
from glc.training.losses.grid import area_loss, colour_loss, grid_loss
from glc.training.losses.picture_loss import absolute_error, squared_error
from glc.training.settings import TrainingSettings

_BATCH = 8


@torch.no_grad()
def evaluate(
    ensemble: Ensemble,
    perceptual: PerceptualLoss,
    pictures: Pictures,
    phase: int,
    settings: TrainingSettings,
) -> tuple[dict[str, float], list[Tensor]]:
    """Measure every loss of a phase at eight qualities from 0 to 100.

    Args:
        ensemble: averaged weights.
        perceptual: the loss networks.
        pictures: held-out pictures, on the device of the networks.
        phase: 1, 2 or 3.
        settings: number of batches, and whether to run in bf16, as training does.

    Returns:
        Mean losses by name (``psnr`` in dB, ``colour16`` in levels of 255; pixels at realism 0,
        feature networks, those that the run has, and ``psnr_realistic`` at 1), and two rows of
        pictures, (8, 3, H, W) each: originals and decoded
        (none in phase 2, which decodes nothing).
    """
    generator = torch.Generator().manual_seed(7)
    side = min(256, pictures.smallest_side // 64 * 64)
    totals: dict[str, Tensor] = {}
    sheet: list[Tensor] = []
    ensemble.eval()
    for _ in range(settings.held_out_batches):
        x = pictures.crops(_BATCH, side, 1.0, generator)
        quality = torch.linspace(0, QUALITY_MAX, _BATCH).round().long().to(x.device)
        bf16 = wants_bf16(settings.bf16, x.device)
        weight = torch.ones(_BATCH, device=x.device)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=bf16):
            outcome = ensemble(phase, x, quality, weight)
            parts, x_hat = dict(outcome.parts), outcome.x_hat
            if x_hat is not None:
                seen = perceptual(x, x_hat, perceptual.names, _BATCH).distances
                faithful = x_hat
                if settings.shape.linear:
                    none = torch.zeros_like(weight)
                    faithful = ensemble(phase, x, quality, weight, none, 0).x_hat
                    parts["psnr_realistic"] = _pixel_losses(x, x_hat)["psnr"].mean()
                measured = seen | _pixel_losses(x, faithful)
                parts |= {name: value.mean() for name, value in measured.items()}
                sheet = sheet or [x, x_hat]
        if outcome.bpp is not None:
            parts |= {"bpp": outcome.bpp.mean(), "bpp_low": outcome.bpp[0]}
            parts |= {"bpp_middle": outcome.bpp[3:5].mean(), "bpp_high": outcome.bpp[-1]}
        for name, value in parts.items():
            totals[name] = totals.get(name, torch.zeros_like(value)) + value
    ensemble.train()
    return {name: float(v) / settings.held_out_batches for name, v in totals.items()}, sheet


def _pixel_losses(x: Tensor, x_hat: Tensor) -> dict[str, Tensor]:
    """What needs no network, by name: (B,) each; colours as they would be shown."""
    shown = x_hat.clamp(-1.0, 1.0)
    squared = squared_error(x, shown).clamp_min(1e-9)
    return {
        "psnr": 10.0 * torch.log10(4.0 / squared),
        "colour16": 127.5 * colour_loss(x, shown),
        "l1": absolute_error(x, x_hat),
        "mse": squared_error(x, x_hat),
        "area": area_loss(x, x_hat),
        "grid": grid_loss(x, x_hat),
    }
