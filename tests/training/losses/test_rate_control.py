"""The controller of the rate."""

from __future__ import annotations

import math

import torch

from glc.training.losses.rate_control import RateControl


def settle(batch: int) -> RateControl:
    """Let rates answer the weights as rate ~ 1 / weight, and wait."""
    control = RateControl(3, 0.01, 0.16)
    generator = torch.Generator().manual_seed(0)
    for _ in range(3000):
        quality = torch.randint(0, 101, (batch,), generator=generator)
        bpp = 0.02 / control.weight(quality)
        control.move(control.error(quality, bpp, 1.0))
    return control


def test_the_controller_settles_at_the_target_whatever_the_batch() -> None:
    for batch in (2, 64):
        weights = settle(batch).weight(torch.tensor([0, 50, 100]))
        torch.testing.assert_close(
            0.02 / weights, torch.tensor([0.01, 0.04, 0.16]), rtol=0.1, atol=0
        )


def test_a_rate_that_is_not_finite_moves_nothing() -> None:
    control = RateControl(3, 0.01, 0.16)
    before = control.log_weight.clone()
    quality = torch.tensor([0, 50, 100])
    control.move(control.error(quality, torch.full((3,), math.nan), 1.0))
    assert torch.equal(control.log_weight, before)
    control.move(control.error(quality, torch.full((3,), 1.0), 1.0))
    assert (control.log_weight > before).all()
