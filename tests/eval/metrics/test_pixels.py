from __future__ import annotations

import math

import numpy as np
import pytest

from eval.metrics import pixels
from eval.pictures import RGB


def test_psnr_of_a_known_error(photo: RGB) -> None:
    assert pixels.psnr_db(photo, photo) == math.inf
    assert pixels.psnr_db(photo, photo + np.uint8(5)) == pytest.approx(20 * math.log10(255 / 5))


def test_psnr_does_not_wrap_around() -> None:
    black, white = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8)
    assert pixels.psnr_db(black, white) == 0


def test_colour16_is_the_error_of_averages() -> None:
    x = np.full((40, 35, 3), 100, np.uint8)
    x_hat = x.copy()
    x_hat[:16, :16, 0] = 112
    assert pixels.colour16(x, x_hat) == pytest.approx(12 / (2 * 2 * 3))
    x_hat = x.copy()
    x_hat[::2, ::2] += np.uint8(9)
    x_hat[1::2, 1::2] -= np.uint8(9)
    assert pixels.colour16(x, x_hat) == 0, "texture of the same mean"
    x_hat = x.copy()
    x_hat[32:], x_hat[:, 32:] = 0, 0
    assert pixels.colour16(x, x_hat) == 0, "squares that do not fit"
    assert math.isnan(pixels.colour16(x[:15], x[:15]))


def test_ms_ssim_falls_with_noise_and_is_one_for_a_copy(photo: RGB) -> None:
    noise = np.random.default_rng(0).normal(size=photo.shape)
    weak, strong = ((photo + s * noise).clip(0, 255).astype(np.uint8) for s in (4, 30))
    assert pixels.ms_ssim(photo, photo) == pytest.approx(1)
    assert 1 > pixels.ms_ssim(photo, weak) > pixels.ms_ssim(photo, strong) > 0


def test_ms_ssim_does_not_apply_to_small_pictures(photo: RGB) -> None:
    small = photo[:160, :200]
    assert math.isnan(pixels.ms_ssim(small, small))
    assert not math.isnan(pixels.ms_ssim(photo[:161, :200], photo[:161, :200]))


def test_ms_ssim_in_db() -> None:
    assert pixels.ms_ssim_db(0.99) == pytest.approx(20)
    assert pixels.ms_ssim_db(1) == math.inf
