"""How alike two pictures are, without a trained network: multi-scale structural similarity.

MS-SSIM (Wang et al., Asilomar 2003) of the RGB channels. Knows nothing of codecs and files.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["ms_ssim", "structural_distance"]

_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of the scales from full size down; those of the paper."""
_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

_Planes = NDArray[np.float32]
"""(3, H, W) in 0..255."""


def ms_ssim(x: NDArray[np.uint8], x_hat: NDArray[np.uint8]) -> float:
    """Return MS-SSIM, at most 1, which is reached by equal pictures alone.

    Args:
        x: (H, W, 3) uint8.
        x_hat: of the same shape.

    Pictures with a side below 176 pixels have room for fewer than five scales; the weights of the
    others then make up for them. A side below 11 pixels is repeated at the border to that length.

    Raises:
        ValueError: the shapes differ.
    """
    if x.shape != x_hat.shape:
        raise ValueError(f"pictures of different shapes: {x.shape} and {x_hat.shape}")
    a, b = (_at_least_a_window(picture) for picture in (x, x_hat))
    scales = 1
    while scales < len(_WEIGHTS) and min(a.shape[1:]) >> scales >= _WINDOW:
        scales += 1
    total = sum(_WEIGHTS[:scales])
    similarity = np.ones(3)
    for scale in range(scales):
        luminance, structure = _compare(a, b)
        kept = structure if scale < scales - 1 else luminance * structure
        # A negative correlation has no real power; it counts as none.
        mean = np.maximum(kept.mean(axis=(1, 2), dtype=np.float64), 0.0)
        similarity *= mean ** (_WEIGHTS[scale] / total)
        a, b = _halved(a), _halved(b)
    return float(similarity.mean())


def structural_distance(x: NDArray[np.uint8], x_hat: NDArray[np.uint8]) -> float:
    """Return 1 - MS-SSIM: 0 for equal pictures."""
    return 1.0 - ms_ssim(x, x_hat)


def _at_least_a_window(picture: NDArray[np.uint8]) -> _Planes:
    planes = picture.transpose(2, 0, 1).astype(np.float32)
    rows, columns = (max(0, _WINDOW - side) for side in planes.shape[1:])
    return np.pad(planes, ((0, 0), (0, rows), (0, columns)), mode="edge")


def _halved(planes: _Planes) -> _Planes:
    """Return the means of 2 x 2 pixels; an odd side begins with a row or column of zeros."""
    rows, columns = (side % 2 for side in planes.shape[1:])
    even = np.pad(planes, ((0, 0), (rows, 0), (columns, 0)))
    cells = even.reshape(3, even.shape[1] // 2, 2, even.shape[2] // 2, 2)
    means: _Planes = cells.mean(axis=(2, 4))
    return means


def _compare(a: _Planes, b: _Planes) -> tuple[_Planes, _Planes]:
    """Return luminance and contrast-structure of every window: (3, h, w) each."""
    mean_a, mean_b = _blur(a), _blur(b)
    variance_a = _blur(a * a) - mean_a * mean_a
    variance_b = _blur(b * b) - mean_b * mean_b
    covariance = _blur(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + _C1) / (mean_a * mean_a + mean_b * mean_b + _C1)
    return luminance, (2 * covariance + _C2) / (variance_a + variance_b + _C2)


def _blur(planes: _Planes) -> _Planes:
    offsets = np.arange(_WINDOW, dtype=np.float32) - _WINDOW // 2
    window = np.exp(-(offsets**2) / (2 * _SIGMA**2))
    window = (window / window.sum()).astype(np.float32)
    rows, columns = (side - _WINDOW + 1 for side in planes.shape[1:])
    across = sum(w * planes[:, :, i : i + columns] for i, w in enumerate(window))
    blurred: _Planes = sum(w * across[:, i : i + rows] for i, w in enumerate(window))  # type: ignore[index, assignment]
    return blurred
