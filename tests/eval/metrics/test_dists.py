from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from eval.metrics.backbones import GIVEN_DISTS, Unavailable
from eval.metrics.dists import Dists
from eval.pictures import RGB


@pytest.fixture
def small(photo: RGB) -> RGB:
    return photo[:72, :96].copy()


def noisy(picture: RGB, scale: float) -> RGB:
    noise = np.random.default_rng(0).normal(scale=scale, size=picture.shape)
    return (picture + noise).clip(0, 255).astype(np.uint8)


def test_grows_with_damage_and_is_zero_for_a_copy(small: RGB, features: Path) -> None:
    dists = Dists(folder=features)
    weak, strong = (dists.compare(small, noisy(small, scale)) for scale in (5, 50))
    assert dists.compare(small, small.copy()) == pytest.approx(0, abs=1e-5)
    assert 0.001 < weak < strong < 1


def test_does_not_mix_up_originals(small: RGB, features: Path) -> None:
    dists = Dists(folder=features)
    other = 255 - small
    first = dists.compare(small, other)
    assert first > 0.01
    assert dists.compare(other, other.copy()) == pytest.approx(0, abs=1e-5)
    assert dists.compare(other, small) == pytest.approx(first, abs=1e-5), "symmetric"


def test_does_not_apply_to_tiny_pictures(photo: RGB, features: Path) -> None:
    assert math.isnan(Dists(folder=features).compare(photo[:63], photo[:63]))


def test_agrees_with_torchmetrics(
    small: RGB, features: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = pytest.importorskip("torchmetrics.functional.image.dists")
    from torchvision.models import vgg16

    def filled(**_: Any) -> torch.nn.Module:
        model: torch.nn.Module = vgg16(weights=None)
        state = load_file(features / "vgg16_features.safetensors")
        model.features.load_state_dict(
            {key.removeprefix("features."): value.float() for key, value in state.items()}
        )
        return model

    monkeypatch.setattr(theirs, "vgg16", filled)
    network = theirs.DISTSNetwork(load_weights=False).eval()
    weights = load_file(features / GIVEN_DISTS)
    network.alpha.data, network.beta.data = weights["alpha"], weights["beta"]
    x, x_hat = small, noisy(small, 30)
    a, b = (torch.from_numpy(p).permute(2, 0, 1)[None].float() / 255 for p in (x, x_hat))
    with torch.inference_mode():
        expected = float(network(b, a).mean())
    assert Dists(folder=features).compare(x, x_hat) == pytest.approx(expected, abs=1e-5)


def test_missing_weights_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(Unavailable, match=r"vgg16-397923af\.pth.*vgg16_features\.safetensors"):
        Dists(folder=tmp_path)
