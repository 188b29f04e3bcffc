"""DISTS: structure and texture similarity on the features of VGG16.

Ding et al., TPAMI 2020 (arXiv 2004.07728), inputs in [0, 1] at native size. The trunk's max pools
are replaced by L2 pooling; the picture itself is the first of six stages. Of every channel the
means (texture) and the deviations and covariance (structure) over the whole stage are compared.
"""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import conv2d, relu

from eval.metrics.backbones import GIVEN_DISTS, Unavailable, given, tensors, to_pm1, trunk
from eval.pictures import RGB

SMALLEST_SIDE = 64
"""Below this the deepest stage has next to nothing to average over."""
STAGES = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
"""Convolutions of torchvision's VGG16 up to relu1_2, 2_2, 3_3, 4_3 and 5_3."""
CHANNELS = (3, 64, 128, 256, 512, 512)
_STABLE = 1e-6
"""The paper's c1 and c2: keeps a ratio of two zeros at 1."""
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


class Dists:
    """DISTS; the stages of the last original are kept for the next comparison."""

    def __init__(self, device: str = "cpu", folder: Path | None = None) -> None:
        """Load the trunk and the channels' weights.

        Args:
            device: where it runs.
            folder: of features, looked into before torch's hub folder and torchmetrics.

        Raises:
            Unavailable: the weights of VGG16 or of the channels are absent.
        """
        state = trunk("vgg", folder)
        self._convolutions = {
            layer: [state[f"features.{layer}.{part}"].to(device) for part in ("weight", "bias")]
            for stage in STAGES
            for layer in stage
        }
        alpha, beta = (weight.flatten().to(device) for weight in _channel_weights(folder))
        total = alpha.sum() + beta.sum()
        self._alpha, self._beta = alpha / total, beta / total
        self._mean = torch.tensor(_MEAN, device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(_STD, device=device).view(1, 3, 1, 1)
        hann = torch.tensor([0.25, 0.5, 0.25], device=device)  # five taps, of which the ends are 0
        self._window = hann[:, None] * hann
        self._device = device
        self._original: RGB | None = None
        self._known: list[Tensor] = []

    def compare(self, x: RGB, x_hat: RGB) -> float:
        """Return the distance, 0 for identical pictures; NaN when a side is below 64 pixels."""
        if min(x.shape[:2]) < SMALLEST_SIDE:
            return math.nan
        with torch.inference_mode():
            if self._original is not x:
                self._original, self._known = x, self._look(x)
            stages = zip(self._known, self._look(x_hat), strict=True)
            texture, structure = zip(*(_similarity(a, b) for a, b in stages), strict=True)
            alike = self._alpha @ torch.cat(texture) + self._beta @ torch.cat(structure)
            return float(1 - alike)

    def _look(self, picture: RGB) -> list[Tensor]:
        """Return the six stages, each (C, h * w)."""
        x = (to_pm1(picture, self._device) + 1) / 2
        found = [x]
        x = (x - self._mean) / self._std
        for stage in STAGES:
            if len(found) > 1:
                x = self._pool(x)
            for layer in stage:
                weight, bias = self._convolutions[layer]
                x = relu(conv2d(x, weight, bias, padding=1))
            found.append(x)
        return [f[0].flatten(1) for f in found]

    def _pool(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        window = self._window.expand(channels, 1, 3, 3)
        return (conv2d(x.square(), window, stride=2, padding=1, groups=channels) + 1e-12).sqrt()


def _similarity(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return texture and structure similarity per channel, each (C,), of two (C, N) stages."""
    mean_x, mean_y = x.mean(1), y.mean(1)
    centred_x, centred_y = x - mean_x[:, None], y - mean_y[:, None]
    var_x, var_y = centred_x.square().mean(1), centred_y.square().mean(1)
    both = (centred_x * centred_y).mean(1)
    texture = (2 * mean_x * mean_y + _STABLE) / (mean_x.square() + mean_y.square() + _STABLE)
    structure = (2 * both + _STABLE) / (var_x + var_y + _STABLE)
    return texture, structure


def _channel_weights(folder: Path | None) -> tuple[Tensor, Tensor]:
    """Return alpha and beta, 1475 weights each, from the folder or the package torchmetrics."""
    found = given(folder, GIVEN_DISTS)
    if found is None:
        package = importlib.util.find_spec("torchmetrics")
        home = Path(package.origin).parent if package and package.origin else Path()
        path = home / "functional" / "image" / "dists_models" / "weights.pt"
        if not path.is_file():
            raise Unavailable(
                f"needs the channels' weights: --features DIR with {GIVEN_DISTS}, or "
                "pip install 'torchmetrics>=1.8'"
            )
        found = tensors(path)
    return found["alpha"], found["beta"]
