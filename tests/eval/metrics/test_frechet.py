from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from eval.metrics.frechet import (
    PatchGrid,
    conditions,
    frechet_distance,
    frechet_judge,
    frechet_squeezenet,
)
from eval.metrics.settings import Settings
from eval.pictures import RGB


def test_distance_of_known_gaussians() -> None:
    """In one dimension: squared difference of means plus squared difference of deviations."""
    a = np.array([-1.0, 1.0, -1.0, 1.0])[:, None]
    b = 3 * a + 5
    deviation = a.std(ddof=1)
    assert frechet_distance(a, b) == pytest.approx(25 + (2 * deviation) ** 2)


def test_distance_is_symmetric_and_zero_for_the_same_set() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(300, 5)) @ rng.normal(size=(5, 5))
    b = rng.normal(size=(200, 5)) + 1
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a))


def test_distance_with_fewer_samples_than_features() -> None:
    a = np.random.default_rng(0).normal(size=(4, 16))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)


def test_patches_follow_the_size_of_the_pictures() -> None:
    kodak = PatchGrid.for_pictures([768 * 512] * 24)
    assert kodak == PatchGrid(side=64, shifted=False)
    assert len(kodak.cut(np.zeros((512, 768, 3), np.uint8))) == 96

    large = PatchGrid.for_pictures([768 * 512, 2048 * 1365])
    assert large == PatchGrid(side=256, shifted=True)
    assert len(large.cut(np.zeros((512, 768, 3), np.uint8))) == 6 + 2
    assert len(large.cut(np.zeros((300, 300, 3), np.uint8))) == 1, "too small for the half shift"
    assert large.cut(np.zeros((200, 300, 3), np.uint8)) == []


@pytest.mark.parametrize("size", [(512, 768), (300, 300), (200, 900), (384, 384), (1365, 2048)])
@pytest.mark.parametrize("grid", [PatchGrid(64, False), PatchGrid(256, True)])
def test_patches_are_counted_without_cutting(grid: PatchGrid, size: tuple[int, int]) -> None:
    assert grid.count(*size) == len(grid.cut(np.zeros((*size, 3), np.uint8)))


def test_conditions_say_when_patches_are_few() -> None:
    assert conditions(PatchGrid(64, False), 96)["too_few_for_comfort"] is True
    assert conditions(PatchGrid(64, False), 2304)["too_few_for_comfort"] is False


@pytest.mark.usefixtures("squeezenet")
def test_squeezenet_distance_grows_with_blur(photo: RGB) -> None:
    tiles = PatchGrid(64, False).cut(photo)
    blocky = [np.kron(t[::4, ::4], np.ones((4, 4, 1))).astype(np.uint8) for t in tiles]
    metric = frechet_squeezenet(Settings())
    metric.begin(tiles)
    (same,), (worse,) = metric.compare(tiles), metric.compare(blocky)
    assert metric.columns == ("frechet_squeezenet",)
    assert same == pytest.approx(0, abs=1e-3 * worse)
    assert worse > 1


def test_the_judge_sees_another_set(photo: RGB, judge_weights: Path) -> None:
    tiles = PatchGrid(64, False).cut(photo)
    metric = frechet_judge(Settings(judge=judge_weights))
    metric.begin(tiles)
    (same,), (worse,) = metric.compare(tiles), metric.compare([255 - tile for tile in tiles])
    assert metric.columns == ("frechet_judge",)
    assert same == pytest.approx(0, abs=1e-3 * worse)
    assert worse > 0
