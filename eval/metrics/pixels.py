"""Distortion that needs no network: PSNR, MS-SSIM and the error of mean colours."""

from __future__ import annotations

import math

import numpy as np
import torch

from eval.pictures import RGB

SMALLEST_SIDE_FOR_MS_SSIM = 161
"""Five scales with an 11-pixel window need more than (11 - 1) * 2**4 pixels."""

COLOUR_SQUARE = 16


def psnr_db(x: RGB, x_hat: RGB) -> float:
    """Return the peak signal-to-noise ratio over all RGB samples, in dB; inf when identical.

    Args:
        x: the original, (H, W, 3), uint8.
        x_hat: the decoded picture, of the same shape.

    Example:
        >>> from eval.metrics.pixels import psnr_db
        >>> x = np.full((8, 8, 3), 100, np.uint8)
        >>> round(psnr_db(x, x + np.uint8(5)), 2)
        34.15
    """
    error = np.mean((x.astype(np.float64) - x_hat.astype(np.float64)) ** 2)
    return math.inf if error == 0 else float(10 * math.log10(255**2 / error))


def colour16(x: RGB, x_hat: RGB) -> float:
    """Return the mean absolute error of the averages of 16 x 16 squares, in levels of 255.

    It sees colours that shift where the eye does and texture does not disturb it. Squares that the
    right and lower edges cut are left out; NaN when not one fits.

    Args:
        x: the original, (H, W, 3), uint8.
        x_hat: the decoded picture, of the same shape.

    Example:
        >>> from eval.metrics.pixels import colour16
        >>> x = np.full((16, 32, 3), 100, np.uint8)
        >>> colour16(x, x + np.uint8(5))
        5.0
    """
    height, width = (side // COLOUR_SQUARE for side in x.shape[:2])
    if not height or not width:
        return math.nan
    error = x.astype(np.float64) - x_hat
    error = error[: height * COLOUR_SQUARE, : width * COLOUR_SQUARE]
    squares = error.reshape(height, COLOUR_SQUARE, width, COLOUR_SQUARE, 3)
    return float(np.abs(squares.mean(axis=(1, 3))).mean())


def ms_ssim(x: RGB, x_hat: RGB, device: str = "cpu") -> float:
    """Return MS-SSIM on RGB (Wang et al., Asilomar 2003), in [0, 1].

    NaN when a side is below 161 pixels, where the five scales do not fit.

    Args:
        x: the original, (H, W, 3), uint8.
        x_hat: the decoded picture, of the same shape.
        device: where it is computed, as torch calls it.
    """
    # Here, so that what only needs tables of figures, as eval.speed.bench_gpu, does without the
    # package.
    from pytorch_msssim import ms_ssim as multi_scale_ssim

    if min(x.shape[:2]) < SMALLEST_SIDE_FOR_MS_SSIM:
        return math.nan
    a, b = (
        torch.from_numpy(picture).to(device).permute(2, 0, 1)[None].float()
        for picture in (x, x_hat)
    )
    with torch.inference_mode():
        return float(multi_scale_ssim(a, b, data_range=255.0))


def ms_ssim_db(value: float) -> float:
    """Return MS-SSIM on the usual dB scale, -10 log10(1 - value); inf at 1.

    Example:
        >>> from eval.metrics.pixels import ms_ssim_db
        >>> round(ms_ssim_db(0.99), 6)
        20.0
    """
    return math.inf if value >= 1 else -10 * math.log10(1 - value)
