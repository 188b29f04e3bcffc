"""Metrics fitted to what people see: LPIPS on trained networks, and SSIMULACRA 2.

LPIPS: Zhang et al., CVPR 2018 (arXiv 1801.03924), version 0.1, inputs in [-1, 1].
SSIMULACRA 2: Sneyers, github.com/cloudinary/ssimulacra2; 90 is near lossless, below 30 poor.
"""

from __future__ import annotations

import io
import math
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from eval.metrics.backbones import Unavailable, lpips_network, to_pm1
from eval.pictures import RGB

SMALLEST_SIDE = 64
"""Below this the deepest layers of the trunks have next to nothing to average over."""


class Lpips:
    """LPIPS with one trunk; the features of the last original are kept for the next comparison."""

    def __init__(self, net: str, device: str = "cpu", folder: Path | None = None) -> None:
        """Load `net`, one of squeeze, alex and vgg; Unavailable when its weights are absent.

        Args:
            net: the trunk.
            device: where it runs.
            folder: of features, looked into before torch's hub folder.
        """
        self._model = lpips_network(net, device, folder)
        self._device = device
        self._original: RGB | None = None
        self._features: list[Tensor] = []

    def compare(self, x: RGB, x_hat: RGB) -> float:
        """Return the distance, 0 for identical pictures; NaN when a side is below 64 pixels."""
        if min(x.shape[:2]) < SMALLEST_SIDE:
            return math.nan
        with torch.inference_mode():
            if self._original is not x:
                self._original, self._features = x, self._look(x)
            pairs = zip(self._features, self._look(x_hat), self._model.lins, strict=True)
            return sum(float(head((a - b).square()).mean()) for a, b, head in pairs)

    def _look(self, picture: RGB) -> list[Tensor]:
        features = self._model.net(self._model.scaling_layer(to_pm1(picture, self._device)))
        return [f / (f.square().sum(dim=1, keepdim=True).sqrt() + 1e-10) for f in features]


class Ssimulacra2:
    """SSIMULACRA 2 by the package ssimulacra2, which needs no weights."""

    def __init__(self) -> None:
        """Find the package; Unavailable when it is absent."""
        try:
            from ssimulacra2 import compute_ssimulacra2
        except ImportError as error:
            raise Unavailable("needs the package ssimulacra2: pip install ssimulacra2") from error
        self._score = compute_ssimulacra2

    def compare(self, x: RGB, x_hat: RGB) -> float:
        """Return the score, 100 for identical pictures; NaN when a side is below 64 pixels."""
        if min(x.shape[:2]) < SMALLEST_SIDE:
            return math.nan
        return float(self._score(_as_file(x), _as_file(x_hat)))


def _as_file(picture: RGB) -> io.BytesIO:
    """Return the picture as a file in memory, since the package reads files only."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "BMP")
    file.seek(0)
    return file
