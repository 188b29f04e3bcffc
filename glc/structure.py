"""How alike two pictures are, without a trained network: multi-scale structural similarity.

MS-SSIM (Wang et al., Asilomar 2003) of the RGB channels. Knows nothing of codecs and files.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from glc.precision import own_precision

__all__ = ["ms_ssim", "structural_distance"]

_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of the scales from full size down; those of the paper."""
_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


@own_precision
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
    a, b = (_at_least_a_window(_planes(picture)) for picture in (x, x_hat))
    scales = 1
    while scales < len(_WEIGHTS) and min(a.shape[2:]) >> scales >= _WINDOW:
        scales += 1
    total = sum(_WEIGHTS[:scales])
    similarity = torch.ones(3, dtype=torch.float64, device="cpu")
    for scale in range(scales):
        luminance, structure = _compare(a, b)
        kept = structure if scale < scales - 1 else luminance * structure
        # A negative correlation has no real power; it counts as none.
        mean = kept.mean(dim=(0, 2, 3)).double().clamp_min(0.0)
        similarity = similarity * mean ** (_WEIGHTS[scale] / total)
        padding = [side % 2 for side in a.shape[2:]]
        a, b = (functional.avg_pool2d(p, 2, padding=padding) for p in (a, b))
    return float(similarity.mean())


def structural_distance(x: NDArray[np.uint8], x_hat: NDArray[np.uint8]) -> float:
    """Return 1 - MS-SSIM: 0 for equal pictures."""
    return 1.0 - ms_ssim(x, x_hat)


def _planes(picture: NDArray[np.uint8]) -> Tensor:
    """(H, W, 3) uint8 -> (1, 3, H, W) float32 in 0..255."""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float()


def _at_least_a_window(planes: Tensor) -> Tensor:
    rows, columns = (max(0, _WINDOW - side) for side in planes.shape[2:])
    return functional.pad(planes, (0, columns, 0, rows), mode="replicate")


def _compare(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return luminance and contrast-structure of every window: (1, 3, h, w) each."""
    mean_a, mean_b = _blur(a), _blur(b)
    variance_a = _blur(a * a) - mean_a * mean_a
    variance_b = _blur(b * b) - mean_b * mean_b
    covariance = _blur(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + _C1) / (mean_a * mean_a + mean_b * mean_b + _C1)
    return luminance, (2 * covariance + _C2) / (variance_a + variance_b + _C2)


def _blur(planes: Tensor) -> Tensor:
    offsets = torch.arange(_WINDOW, dtype=torch.float32, device="cpu") - _WINDOW // 2
    window = torch.exp(-(offsets**2) / (2 * _SIGMA**2))
    window = (window / window.sum()).expand(3, 1, 1, -1)
    across = functional.conv2d(planes, window, groups=3)
    return functional.conv2d(across, window.transpose(2, 3), groups=3)
