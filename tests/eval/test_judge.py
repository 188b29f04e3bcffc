from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from eval.backbones import Unavailable
from eval.judge import FEATURE_LAYERS, Judge, MobileNetV1
from eval.pictures import RGB

WIDTHS = (16, 32, 64, 64, 128, 128, 256, 256, 256, 256, 256, 256, 512, 512)


def make_weights(seed: int = 0) -> dict[str, torch.Tensor]:
    """Return random tensors in the layout of the judge's file."""
    torch.manual_seed(seed)
    shapes = {0: (16, 3, 3, 3), 27: (1001, 512, 1, 1)}
    for block, (inner, outer) in enumerate(zip(WIDTHS, WIDTHS[1:], strict=False)):
        shapes[2 * block + 1] = (inner, 1, 3, 3)
        shapes[2 * block + 2] = (outer, inner, 1, 1)
    weights = {}
    for layer, shape in shapes.items():
        fan = shape[1] * shape[2] * shape[3]
        weights[f"{layer}.weight"] = (torch.randn(shape) * (2 / fan) ** 0.5).half()
        weights[f"{layer}.bias"] = torch.zeros(shape[0]).half()
    return weights


@pytest.fixture(scope="module")
def weight_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("judge") / "judge.safetensors"
    save_file(make_weights(), path)
    return path


def test_network_shapes() -> None:
    scores, features = MobileNetV1(make_weights())(torch.zeros(2, 3, 160, 160))
    assert scores.shape == (2, 1000)
    sides = {layer: tuple(features[layer].shape[1:]) for layer in FEATURE_LAYERS}
    assert sides == {
        2: (32, 80, 80),
        6: (64, 40, 40),
        10: (128, 20, 20),
        22: (256, 10, 10),
        26: (512, 5, 5),
    }


def test_stride_two_pads_right_and_bottom_only() -> None:
    weights = make_weights()
    weights["0.weight"].zero_()
    weights["0.weight"][:, :, 0, 0] = 1  # the first output sees the very first pixel
    x = torch.zeros(1, 3, 160, 160)
    x[0, :, 0, 0] = 1
    network = MobileNetV1(weights)
    assert network._layer(x, 0)[0, 0, 0, 0] == 3


@pytest.fixture(scope="module")
def judge(weight_file: Path) -> Judge:
    return Judge(weight_file)


def test_a_copy_is_recognised_at_no_distance(judge: Judge, photo: RGB) -> None:
    assert judge.compare(photo, photo.copy()) == (1.0, 0.0)


def test_distance_grows_with_damage(judge: Judge, photo: RGB) -> None:
    noise = np.random.default_rng(0).normal(size=photo.shape)
    weak, strong = ((photo + s * noise).clip(0, 255).astype(np.uint8) for s in (3, 40))
    assert 0 < judge.compare(photo, weak)[1] < judge.compare(photo, strong)[1]


def test_recognition_follows_the_class(judge: Judge, photo: RGB) -> None:
    other = 255 - photo
    same = judge.top_class(photo) == judge.top_class(other)
    assert judge.compare(photo, other)[0] == float(same)
    assert 0 <= judge.top_class(photo) < 1000


def test_a_small_picture_has_no_distance(judge: Judge, photo: RGB) -> None:
    recognised, distance = judge.compare(photo[:159], photo[:159])
    assert recognised == 1
    assert math.isnan(distance)


def test_missing_weights_are_said(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"no file at .*absent"):
        Judge(tmp_path / "absent.safetensors")
    weights = make_weights()
    del weights["13.bias"]
    save_file(weights, tmp_path / "torn.safetensors")
    with pytest.raises(Unavailable, match=r"13\.bias"):
        Judge(tmp_path / "torn.safetensors")
