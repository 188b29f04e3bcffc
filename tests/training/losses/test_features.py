"""Feature networks: published distances, each sample by itself, files and their lack."""

from __future__ import annotations

import urllib.error
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import glc.training
from glc.training.engine.nonfinite_guard import TrainingError
from glc.training.losses import feature_files
from glc.training.losses.feature_files import FeatureFiles
from glc.training.losses.features import NETWORKS, Lpips, MobileNetFeatures, PerceptualLoss

MICRO = Path(__file__).parents[1] / "micro.toml"


def pair() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(3, 3, 64, 96, generator=generator) * 2 - 1
    return x, (x + 0.3 * torch.randn(x.shape, generator=generator)).clamp(-1, 1)


def published(net: str) -> Any:
    """The package's own metric on a random network; linear heads as shipped."""
    import lpips

    torch.manual_seed(5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return lpips.LPIPS(net=net, pnet_rand=True, verbose=False)


def weights_of(metric: Any) -> dict[str, Tensor]:
    """The network's weights as torchvision names them."""
    return {"features." + n.split(".", 1)[1]: v for n, v in metric.net.state_dict().items()}


def looked(network: Lpips, x: Tensor) -> list[Tensor]:
    return network.normalised(network.maps(x))


@pytest.mark.parametrize("net", ["squeeze", "alex"])
def test_lpips_is_the_published_function(net: str) -> None:
    metric = published(net)
    mine = Lpips(net, weights_of(metric))
    x, x_hat = pair()
    with torch.no_grad():
        expected = metric(x, x_hat).flatten()
        found = mine.distance(looked(mine, x), looked(mine, x_hat))
    assert expected.min() > 0
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("net", ["squeeze", "alex"])
def test_weights_of_another_network_are_refused(net: str) -> None:
    with pytest.raises(ValueError, match="no weights of the network"):
        Lpips(net, {"features.99.weight": torch.zeros(1)})


def test_flat_pictures_have_finite_gradients() -> None:
    metric = Lpips("alex", trained=False)
    for layer in metric.metric.net.modules():
        if isinstance(layer, torch.nn.Conv2d):
            # All features zero behind the activation, whose length has no derivative.
            torch.nn.init.constant_(layer.bias, -100.0)
    x_hat = torch.zeros(1, 3, 64, 64, requires_grad=True)
    x = torch.zeros(1, 3, 64, 64)
    metric.distance(looked(metric, x), looked(metric, x_hat)).sum().backward()
    assert x_hat.grad is not None
    assert bool(x_hat.grad.isfinite().all())


def test_every_picture_has_a_distance_of_its_own(perceptual: PerceptualLoss) -> None:
    x, x_hat = pair()
    together = perceptual(x, x_hat, NETWORKS, len(x)).distances
    assert set(together) == set(NETWORKS)
    for index in range(len(x)):
        one = slice(index, index + 1)
        for name, value in perceptual(x[one], x_hat[one], NETWORKS, 1).distances.items():
            torch.testing.assert_close(together[name][one], value, rtol=1e-4, atol=1e-6)
    far, seen = perceptual.from_afar(x, x_hat)
    torch.testing.assert_close(perceptual.from_afar(x[1:], x_hat[1:])[0], far[1:])
    assert seen.shape == (3,)


def test_mobilenet_looks_at_a_part_and_only_when_asked(perceptual: PerceptualLoss) -> None:
    x, x_hat = pair()
    found = perceptual(x, x_hat, ["mobilenet"], 2)
    assert found.distances["mobilenet"].shape == (2,)
    assert [len(f) for f in found.fake["mobilenet"]] == [2] * 6
    shared = perceptual(x, x_hat, [], 1, shared=["mobilenet", "lpips"])
    assert not shared.distances
    assert [len(shared.real[name]) for name in ("lpips", "mobilenet")] == [7, 6]
    assert len(shared.fake["lpips"][0]) == len(x)
    assert set(perceptual(x, x_hat, ["alex"], 2).real) == {"alex"}


def test_only_what_is_named_is_built() -> None:
    network = PerceptualLoss(["alex"], trained=False)
    assert list(network.networks) == ["alex"]
    assert not list(PerceptualLoss([], trained=False).parameters())


def write_files(folder: Path) -> None:
    squeeze = folder / "hub" / "checkpoints" / feature_files.SQUEEZE_FILE
    squeeze.parent.mkdir(parents=True)
    torch.save(weights_of(published("squeeze")), squeeze)
    alex = {name: value.half() for name, value in weights_of(published("alex")).items()}
    save_file(alex, folder / feature_files.ALEX_FILE)
    import torchvision

    state = torchvision.models.mobilenet_v2(weights=None).state_dict()
    save_file({n: v for n, v in state.items() if "tracked" not in n}, folder / "mobilenet.tmp")
    (folder / "mobilenet.tmp").rename(folder / feature_files.MOBILENET_FILE)


def test_networks_are_read_from_a_folder(tmp_path: Path) -> None:
    write_files(tmp_path)
    found = PerceptualLoss(files=FeatureFiles(tmp_path))
    alex = found.networks["alex"]
    assert isinstance(alex, Lpips)
    for name, value in weights_of(published("alex")).items():
        assert torch.equal(weights_of(alex.metric)[name], value.half().float())
    # TensorFlow's padding comes with the file.
    assert isinstance(found.networks["mobilenet"], MobileNetFeatures)
    assert not found.mobilenet.imagenet_range
    squeeze = tmp_path / "hub" / "checkpoints" / feature_files.SQUEEZE_FILE
    squeeze.rename(tmp_path / feature_files.SQUEEZE_FILE)
    assert FeatureFiles(tmp_path).squeeze() is not None


@pytest.fixture
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", fail)
    monkeypatch.setattr("torch.hub.urlopen", fail)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))


@pytest.mark.usefixtures("_offline")
def test_all_missing_networks_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(TrainingError) as caught:
        PerceptualLoss(files=FeatureFiles(tmp_path))
    said = str(caught.value)
    for part in ("SqueezeNet", "AlexNet", "MobileNetV2", "no route to host"):
        assert part in said
    with pytest.raises(TrainingError) as caught:
        PerceptualLoss(["alex"], FeatureFiles(tmp_path))
    assert "SqueezeNet" not in str(caught.value)


@pytest.mark.usefixtures("_offline")
def test_the_command_says_in_one_line_what_is_missing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--preset", str(MICRO), "--data", str(folder), "--out", str(tmp_path / "run")]
    given += ["--device", "cpu", "--threads", "1"]
    all_three = ["--phase", "3", "--set", "mobilenet_weight=1"]
    assert glc.training.main([*given, *all_three]) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert len(errors) == 1
    for part in ("AlexNet", "--features DIR", "--mobilenet FILE", "TORCH_HOME"):
        assert part in errors[0]
    # Phase 2 compares no pictures, and a run may do without.
    assert glc.training.main([*given, "--phase", "2"]) == 0
    without = ("lpips_weight=0", "alex_weight=0", "projected_networks=")
    given += [part for pair in without for part in ("--set", pair)]
    given += ["--out", str(tmp_path / "without")]
    assert glc.training.main([*given, "--phase", "3"]) == 0


def test_a_folder_that_is_none_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--data", str(folder), "--out", str(tmp_path / "run"), "--features"]
    with pytest.raises(SystemExit):
        glc.training.main([*given, str(tmp_path / "absent")])
    assert "is no folder" in capsys.readouterr().err
