from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image, ImageFilter

from eval.metrics.grid import grid_score_db, line_level_db
from eval.pictures import RGB


def with_grid(picture: RGB, period: int, amplitude: float, seed: int = 0) -> RGB:
    """Add a zero-mean tile of `period` pixels, repeated over the picture."""
    tile = np.random.default_rng(seed).normal(size=(period, period, 1))
    tile *= amplitude / tile.std()
    repeats = (picture.shape[0] // period + 1, picture.shape[1] // period + 1, 1)
    grid = np.tile(tile - tile.mean(), repeats)[: picture.shape[0], : picture.shape[1]]
    return (picture + grid).round().clip(0, 255).astype(np.uint8)


def test_a_clean_picture_scores_nothing(photo: RGB) -> None:
    assert grid_score_db(photo, photo) == 0
    assert abs(line_level_db(photo)) < 0.2


@pytest.mark.parametrize("period", [4, 8, 16])
def test_a_weak_grid_stands_out(photo: RGB, period: int) -> None:
    assert grid_score_db(photo, with_grid(photo, period, 2)) > 0.3


@pytest.mark.parametrize("period", [4, 8, 16])
def test_a_stronger_grid_scores_more(photo: RGB, period: int) -> None:
    weak, strong = (grid_score_db(photo, with_grid(photo, period, a)) for a in (2, 4))
    assert strong > weak


def test_one_axis_alone_counts(photo: RGB) -> None:
    stripes = photo.copy()
    stripes[::4] += 3
    assert grid_score_db(photo, stripes) > 0.3
    upright = np.ascontiguousarray(photo.transpose(1, 0, 2))
    turned = np.ascontiguousarray(stripes.transpose(1, 0, 2))
    assert grid_score_db(upright, turned) == pytest.approx(grid_score_db(photo, stripes))


@pytest.mark.parametrize("radius", [0.7, 1, 2, 4])
def test_blur_is_no_grid(photo: RGB, radius: float) -> None:
    blurred = np.asarray(Image.fromarray(photo).filter(ImageFilter.GaussianBlur(radius)))
    assert grid_score_db(photo, blurred) < 0.3


def test_noise_is_no_grid(photo: RGB) -> None:
    noise = np.random.default_rng(1).normal(size=photo.shape)
    noisy = (photo + 5 * noise).clip(0, 255).astype(np.uint8)
    assert abs(grid_score_db(photo, noisy)) < 0.2


def test_a_period_off_the_raster_is_no_grid(photo: RGB) -> None:
    assert abs(grid_score_db(photo, with_grid(photo, 23, 2))) < 0.3


def test_a_small_picture_has_no_score(photo: RGB) -> None:
    assert math.isnan(grid_score_db(photo[:127], photo[:127]))
    assert grid_score_db(photo[:128], photo[:128]) == 0


def test_a_flat_picture_is_clean() -> None:
    flat = np.full((128, 128, 3), 90, np.uint8)
    assert line_level_db(flat) == pytest.approx(0)
