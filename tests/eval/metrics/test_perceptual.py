from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from eval.metrics.backbones import GIVEN, Unavailable, lpips_network, to_pm1
from eval.metrics.perceptual import Lpips, Ssimulacra2
from eval.pictures import RGB


def test_a_missing_trunk_is_named_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    place = tmp_path / "hub" / "checkpoints" / "alexnet-owt-7be5be79.pth"
    with pytest.raises(Unavailable, match="alexnet-owt") as caught:
        Lpips("alex")
    assert str(place) in str(caught.value)
    assert "--features DIR with alexnet_features.safetensors" in str(caught.value)


@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_a_trunk_is_read_from_the_folder_of_features(
    net: str, photo: RGB, features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    lpips = Lpips(net, folder=features)
    expected = lpips_network(net, "cpu", features)
    first = load_file(features / GIVEN[net])["features.0.weight"]
    torch.testing.assert_close(expected.net.slice1[0].weight.half(), first)
    small, other = photo[:64, :80].copy(), 255 - photo[:64, :80]
    assert lpips.compare(small, small.copy()) == 0
    with torch.inference_mode():
        whole = float(expected(to_pm1(small, "cpu"), to_pm1(other, "cpu")))
    assert lpips.compare(small, other) == pytest.approx(whole, rel=1e-5)


@pytest.mark.usefixtures("squeezenet")
class TestLpipsSqueeze:
    def test_agrees_with_the_lpips_wheel(self, photo: RGB) -> None:
        noise = np.random.default_rng(0).normal(scale=20, size=photo.shape)
        noisy = (photo + noise).clip(0, 255).astype(np.uint8)
        model = lpips_network("squeeze", "cpu")
        with torch.inference_mode():
            expected = float(model(to_pm1(photo, "cpu"), to_pm1(noisy, "cpu")))
        lpips = Lpips("squeeze")
        assert expected > 0.01
        assert lpips.compare(photo, noisy) == pytest.approx(expected, rel=1e-5)
        assert lpips.compare(photo, noisy) == pytest.approx(expected, rel=1e-5), "from memory"

    def test_is_zero_for_a_copy_and_does_not_mix_up_originals(self, photo: RGB) -> None:
        lpips = Lpips("squeeze")
        other = 255 - photo
        assert lpips.compare(photo, photo.copy()) == 0
        assert lpips.compare(other, photo) > 0
        assert lpips.compare(other, other.copy()) == 0

    def test_does_not_apply_to_tiny_pictures(self, photo: RGB) -> None:
        assert math.isnan(Lpips("squeeze").compare(photo[:63], photo[:63]))

    def test_loads_without_a_warning(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            Lpips("squeeze")


def test_ssimulacra2_is_100_for_a_copy_and_falls_with_damage(photo: RGB) -> None:
    pytest.importorskip("ssimulacra2")
    score = Ssimulacra2()
    noise = np.random.default_rng(0).normal(size=photo.shape)
    weak, strong = ((photo + s * noise).clip(0, 255).astype(np.uint8) for s in (3, 30))
    assert score.compare(photo, photo) == pytest.approx(100)
    assert 100 > score.compare(photo, weak) > score.compare(photo, strong)
    assert math.isnan(score.compare(photo[:63], photo[:63]))
