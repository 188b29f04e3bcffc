"""The grid score: how much of a periodic grid a codec has put into a picture, in dB.

Resampling layers whose output phases differ leave lines in the spectrum at multiples of 1/16
cycle per pixel. Feature metrics hardly see them; a viewer does at once.

Definition. Per axis of the luma (BT.601, 0..255): cut every line into segments of 128 pixels with
half overlap, take off each segment's mean, multiply with a Hann window, and average the power
spectra over all segments and lines. Rounding to 8 bits adds the power of 1/12 grey level squared
to every bin; that floor is added once more, so that a grid nobody could store counts nothing.
At 128 points k/16 cycle per pixel is bin 8k exactly and a grid fills only that bin and its two
neighbours. The level expected there is read off the bins at distance 2 and 4 on either side, with
their logarithms extrapolated as an even parabola: (4 * mean at 2 - mean at 4) / 3. So a slope
or a bend of the spectrum, such as a blur makes, is no grid. The *line level* is the log power at
the bin minus the expected one, averaged over k = 1..8 and both axes.

    grid score = line level of the decoded picture - line level of the original

0 is clean. A picture has its own lines (fences, shutters), which is why the original's are taken
off.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from eval.pictures import RGB

SEGMENT = 128
LINES = np.arange(1, 9) * (SEGMENT // 16)
_LUMA = np.array([0.299, 0.587, 0.114])


def grid_score_db(x: RGB, x_hat: RGB) -> float:
    """Return the grid score of `x_hat` against `x` in dB; NaN when a side is below 128 pixels.

    Both are (H, W, 3), uint8. Above 0 the decoded picture has lines that the original has not.

    Example:
        >>> from eval.metrics.grid import grid_score_db
        >>> x = np.random.default_rng(0).integers(60, 190, (128, 128, 3), np.uint8)
        >>> x_hat = x.copy()
        >>> x_hat[::16] += np.uint8(40)
        >>> grid_score_db(x, x), grid_score_db(x, x_hat) > 1
        (0.0, True)
    """
    if min(x.shape[:2]) < SEGMENT:
        return math.nan
    return line_level_db(x_hat) - line_level_db(x)


def line_level_db(picture: RGB) -> float:
    """Return the mean height of the spectral lines at multiples of 1/16 cycle per pixel, in dB.

    `picture` is (H, W, 3), uint8, with sides of at least 128 pixels.
    """
    luma = picture.astype(np.float64) @ _LUMA
    return float(np.mean([_lines_along_rows(luma), _lines_along_rows(luma.T)]))


def _lines_along_rows(luma: NDArray[np.float64]) -> float:
    level = 10 * np.log10(_spectrum(luma))
    # Past the Nyquist bin the spectrum of real data is its mirror image.
    level = np.concatenate([level, level[-2::-1]])
    near = (level[LINES - 2] + level[LINES + 2]) / 2
    far = (level[LINES - 4] + level[LINES + 4]) / 2
    return float(np.mean(level[LINES] - (4 * near - far) / 3))


def _spectrum(luma: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean power per bin, (SEGMENT / 2 + 1,), of the segments along the rows."""
    window = np.hanning(SEGMENT + 1)[:-1]
    width = luma.shape[1]
    starts = range(0, width - SEGMENT + 1, SEGMENT // 2)
    power = np.zeros(SEGMENT // 2 + 1)
    for start in starts:
        segment = luma[:, start : start + SEGMENT]
        segment = (segment - segment.mean(axis=1, keepdims=True)) * window
        power += np.mean(np.abs(np.fft.rfft(segment, axis=1)) ** 2, axis=0)
    rounding = np.sum(window**2) / 12
    return power / len(starts) + rounding
