"""MS-SSIM without a package: against one that has it, and at its limits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from glc.structure import ms_ssim


@pytest.mark.parametrize("size", [(180, 200), (201, 183)])
def test_as_pytorch_msssim_has_it(make_picture: Callable[..., np.ndarray], size) -> None:
    reference = pytest.importorskip("pytorch_msssim").ms_ssim
    x = make_picture(*size)
    noise = np.random.default_rng(1).normal(0.0, 25.0, x.shape)
    for x_hat in ((x + noise).clip(0, 255).astype(np.uint8), x // 2, make_picture(*size, seed=2)):
        a, b = (torch.from_numpy(p).permute(2, 0, 1)[None].float() for p in (x, x_hat))
        expected = float(reference(a, b, data_range=255.0))
        assert ms_ssim(x, x_hat) == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("size", [(1, 1), (10, 300), (11, 11), (64, 50), (176, 176)])
def test_any_size_has_a_value(make_picture: Callable[..., np.ndarray], size) -> None:
    x = make_picture(*size)
    assert ms_ssim(x, x) == pytest.approx(1.0, abs=1e-5)
    assert ms_ssim(x, 255 - x) < 0.99


def test_more_noise_is_less_alike(make_picture: Callable[..., np.ndarray]) -> None:
    x = make_picture(96, 128)
    noise = np.random.default_rng(3).normal(0.0, 1.0, x.shape)
    noisy = [(x + s * noise).clip(0, 255).astype(np.uint8) for s in (2, 5, 10, 20, 40)]
    values = [ms_ssim(x, x_hat) for x_hat in noisy]
    assert values == sorted(values, reverse=True)


def test_other_shapes_are_refused(make_picture: Callable[..., np.ndarray]) -> None:
    with pytest.raises(ValueError, match="different shapes"):
        ms_ssim(make_picture(20, 30), make_picture(30, 20))
