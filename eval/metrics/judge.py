"""The judge: an ImageNet MobileNetV1 0.5/160 that no codec was trained against.

Gives two figures. *Recognition*: does the network see the same class in the original and in the
decoded picture (1 or 0). *Feature distance*: squared distance of channel-normalised features
(layers 2, 6, 10, 22 and 26) on crops at native size. Weights are read from a given safetensors
file: keys `<layer>.weight` and `<layer>.bias` for layers 0..27, batch norms folded.

Network: Howard et al., MobileNets, arXiv 1704.04861; about 76 MMAC per 160-pixel crop.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import cast

import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

from eval.metrics.backbones import Unavailable, to_pm1
from eval.pictures import RGB, pixels

CROP = 160
SHORT_SIDE = 183
FEATURE_LAYERS = (2, 6, 10, 22, 26)
_LAYERS = 27
_STRIDE_TWO = frozenset({0, 3, 7, 11, 23})


class MobileNetV1(nn.Module):
    """Layers 0..26 with ReLU6 after each, a spatial mean, and a 1x1 classifier (layer 27).

    Layer 0 is a 3x3 convolution, odd layers are depthwise 3x3, even ones 1x1. Stride 2 pads right
    and bottom only, as TensorFlow does for even sizes.
    """

    def __init__(self, weights: dict[str, Tensor]) -> None:
        """Take the tensors of the weight file; KeyError when one is missing."""
        super().__init__()
        for layer in range(_LAYERS + 1):
            for part in ("weight", "bias"):
                self.register_buffer(f"{part}{layer}", weights[f"{layer}.{part}"].float())

    def forward(self, x: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        """Return the class scores and the features.

        Args:
            x: (B, 3, H, W), float32 in [-1, 1].

        Returns:
            (B, 1000) scores, and per layer of FEATURE_LAYERS its output (B, C, h, w).
        """
        kept: dict[int, Tensor] = {}
        for layer in range(_LAYERS):
            x = self._layer(x, layer).clamp(0, 6)
            if layer in FEATURE_LAYERS:
                kept[layer] = x
        x = x.mean(dim=(2, 3), keepdim=True)
        scores = conv2d(x, self.get_buffer("weight27"), self.get_buffer("bias27"))
        return scores.flatten(1)[:, 1:], kept  # the first of 1,001 classes is "background"

    def _layer(self, x: Tensor, layer: int) -> Tensor:
        weight, bias = self.get_buffer(f"weight{layer}"), self.get_buffer(f"bias{layer}")
        if weight.shape[-1] == 1:
            return conv2d(x, weight, bias)
        two = layer in _STRIDE_TWO
        x = pad(x, (0, 1, 0, 1) if two else (1, 1, 1, 1))
        groups = x.shape[1] if weight.shape[1] == 1 else 1
        return conv2d(x, weight, bias, stride=2 if two else 1, groups=groups)


class Judge:
    """Compare decoded pictures with their originals; features of the last original are kept."""

    def __init__(self, path: Path, device: str = "cpu") -> None:
        """Read the weights.

        Raises:
            Unavailable: no file at `path`, or not the judge's layout.
        """
        if not path.is_file():
            raise Unavailable(f"needs the judge's weights: no file at {path} (--judge PATH)")
        try:
            self._network = MobileNetV1(load_file(path)).to(device).eval()
        except KeyError as error:
            raise Unavailable(f"--judge {path}: tensor {error} is missing") from error
        self._device = device
        self._original: RGB | None = None
        self._known: tuple[int, dict[int, Tensor]] | None = None

    def compare(self, x: RGB, x_hat: RGB) -> tuple[float, float]:
        """Return (recognition, feature distance).

        The distance is NaN when a side is below 160 pixels, where no crop fits.
        """
        if self._known is None or self._original is not x:
            self._original, self._known = x, self._look(x)
        class_x, features_x = self._known
        class_hat, features_hat = self._look(x_hat)
        distance = sum(
            float((_unit(features_x[layer]) - _unit(features_hat[layer])).square().sum(1).mean())
            for layer in features_x
        )
        return float(class_x == class_hat), distance if features_x else math.nan

    def features(self, batch: Tensor) -> dict[int, Tensor]:
        """Return the features of pictures of one size, by layer.

        Args:
            batch: (B, 3, H, W), float32 in [-1, 1].
        """
        with torch.inference_mode():
            _, found = self._network(batch)
        return cast("dict[int, Tensor]", found)

    def top_class(self, picture: RGB) -> int:
        """Return the ImageNet class, 0..999, of the whole picture (short side 183, centre 160)."""
        image = Image.fromarray(picture)
        scale = SHORT_SIDE / min(image.size)
        size = (round(image.width * scale), round(image.height * scale))
        left, top = (size[0] - CROP) // 2, (size[1] - CROP) // 2
        small = image.resize(size, Image.Resampling.BICUBIC)
        small = small.crop((left, top, left + CROP, top + CROP))
        with torch.inference_mode():
            scores, _ = self._network(to_pm1(pixels(small), self._device))
        return int(scores.argmax())

    def _look(self, picture: RGB) -> tuple[int, dict[int, Tensor]]:
        crops = _native_crops(picture)
        if not crops:
            return self.top_class(picture), {}
        batch = torch.cat([to_pm1(crop, self._device) for crop in crops])
        return self.top_class(picture), self.features(batch)


def _native_crops(picture: RGB) -> list[RGB]:
    """Return the non-overlapping 160-pixel crops of a grid centred in the picture."""
    height, width = picture.shape[:2]
    tops = range(height % CROP // 2, height - CROP + 1, CROP)
    lefts = range(width % CROP // 2, width - CROP + 1, CROP)
    return [picture[t : t + CROP, s : s + CROP].copy() for t in tops for s in lefts]


def _unit(features: Tensor) -> Tensor:
    return features / (features.square().sum(dim=1, keepdim=True).sqrt() + 1e-10)
