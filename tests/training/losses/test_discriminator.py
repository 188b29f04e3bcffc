"""Discriminators: what they look at, and that telling two kinds of pictures apart is learned."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from glc.training.losses.discriminator import (
    PROJECTED_LAYERS,
    Adversary,
    generator_loss,
    hinge_loss,
)
from glc.training.losses.features import PerceptualLoss
from glc.training.settings import NETWORKS, TrainingSettings

MICRO = Path(__file__).parents[1] / "micro.toml"


def settings(**changes: object) -> TrainingSettings:
    return TrainingSettings.load(str(MICRO), {"discriminator_width": 4, **changes})


def pictures(count: int, seed: int, smooth: bool) -> Tensor:
    """Noise, or the same noise averaged over 3 x 3 pixels with its deviation restored."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(count, 3, 64, 64, generator=generator) * 2 - 1
    if not smooth:
        return x
    return (3.0 * torch.nn.functional.avg_pool2d(x, 3, stride=1, padding=1)).clamp(-1, 1)


@pytest.mark.parametrize("network", NETWORKS)
def test_heads_fit_the_features_of_their_network(network: str) -> None:
    torch.manual_seed(0)
    perceptual = PerceptualLoss([network], trained=False)
    x = pictures(2, 0, smooth=False)
    found = perceptual(x, x, [], len(x), shared=[network])
    adversary = Adversary(settings(projected_networks=network, patch_discriminator=False))
    logits = adversary(x, found.real)
    assert len(logits) == len(PROJECTED_LAYERS[network])
    assert all(each.shape[:2] == (2, 1) for each in logits)
    # One logit per position of the features, so that every place of a picture is judged.
    for each, layer in zip(logits, PROJECTED_LAYERS[network], strict=True):
        assert each.shape[2:] == found.real[network][layer].shape[2:]


def test_the_patch_goes_before_the_networks_in_their_order() -> None:
    torch.manual_seed(0)
    perceptual = PerceptualLoss(["lpips", "alex"], trained=False)
    x = pictures(1, 0, smooth=False)
    features = perceptual(x, x, [], 1, shared=["lpips", "alex"]).real
    together = Adversary(settings(projected_networks="alex, lpips")).eval()
    assert together.patch is not None
    with torch.no_grad():
        logits = together(x, features)
        torch.testing.assert_close(logits[0], together.patch(x))
        parts = [*together.projected["alex"](features["alex"])]
        parts += together.projected["lpips"](features["lpips"])
    for found, expected in zip(logits[1:], parts, strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    "changes",
    [{"projected_networks": ""}, {"projected_networks": "lpips", "patch_discriminator": False}],
    ids=["patch", "projected"],
)
def test_it_learns_to_tell_sharp_from_smooth(changes: dict[str, object]) -> None:
    torch.manual_seed(0)
    chosen = settings(**changes)
    perceptual = PerceptualLoss(chosen.projected, trained=False)
    adversary = Adversary(chosen)
    optimiser = torch.optim.AdamW(adversary.parameters(), lr=2e-3, betas=(0.5, 0.9))

    def judge(seed: int) -> tuple[Tensor, Tensor]:
        x, x_hat = pictures(4, seed, smooth=False), pictures(4, seed, smooth=True)
        found = perceptual(x, x_hat, [], 4, shared=chosen.projected)
        real, fake = adversary(x, found.real), adversary(x_hat, found.fake)
        return hinge_loss(real, fake), generator_loss(fake)

    untaught, _ = judge(1000)
    for seed in range(30):
        loss, _ = judge(seed)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    taught, fooled = judge(1000)
    assert 1.5 < float(untaught.detach()) < 2.5
    assert float(taught.detach()) < 1.5
    assert float(fooled.detach()) > 0


def test_unknown_networks_are_named() -> None:
    with pytest.raises(ValueError, match="no feature network is called 'vgg'"):
        settings(projected_networks="lpips,vgg")
