from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from eval.metrics.backbones import Unavailable
from eval.metrics.judge import FEATURE_LAYERS, Judge, MobileNetV1
from eval.pictures import RGB


def test_network_shapes(judge_weights: Path) -> None:
    scores, features = MobileNetV1(load_file(judge_weights))(torch.zeros(2, 3, 160, 160))
    assert scores.shape == (2, 1000)
    sides = {layer: tuple(features[layer].shape[1:]) for layer in FEATURE_LAYERS}
    assert sides == {
        2: (32, 80, 80),
        6: (64, 40, 40),
        10: (128, 20, 20),
        22: (256, 10, 10),
        26: (512, 5, 5),
    }


def test_stride_two_pads_right_and_bottom_only(judge_weights: Path) -> None:
    weights = load_file(judge_weights)
    weights["0.weight"].zero_()
    weights["0.weight"][:, :, 0, 0] = 1  # the first output sees the very first pixel
    x = torch.zeros(1, 3, 160, 160)
    x[0, :, 0, 0] = 1
    network = MobileNetV1(weights)
    assert network._layer(x, 0)[0, 0, 0, 0] == 3


@pytest.fixture(scope="module")
def judge(judge_weights: Path) -> Judge:
    return Judge(judge_weights)


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


def test_missing_weights_are_said(tmp_path: Path, judge_weights: Path) -> None:
    with pytest.raises(Unavailable, match=r"no file at .*absent"):
        Judge(tmp_path / "absent.safetensors")
    weights = load_file(judge_weights)
    del weights["13.bias"]
    save_file(weights, tmp_path / "torn.safetensors")
    with pytest.raises(Unavailable, match=r"13\.bias"):
        Judge(tmp_path / "torn.safetensors")
