"""What an encoder that searches looks at where no network of others is installed: textures.

Knows nothing of codecs. Local means and deviations of the energies of oriented band-pass filters
are compared, as Wasserstein distortion (Qiu et al., arXiv 2310.03629) does with features of VGG;
the filters are fixed, so that nothing needs to be learned or fetched. About 0.3 kMAC per pixel.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Texture"]

_SCALES = 3
"""Octaves, from 1/2 of the resolution on."""
_ORIENTATIONS = 4
_TAPS = 7
_WAVELENGTH, _DEVIATION = 4.0, 1.6
"""Of the filters, and of the Gaussian that they are under; in pixels of their scale."""
_AREA = 4
"""Side of the areas whose energies are averaged, in pixels of their scale; they overlap by half."""
_FLOOR = 0.0025
"""Added to what errors are relative to: squared energies that nobody sees."""


class Texture(nn.Module):
    """Distances of pictures by the textures of areas of 8 to 32 pixels.

    Pictures are (B, 3, H, W) in [-1, 1], of any size from 32 x 32 on.
    """

    weight = 2.0
    """See ``glc.effort.look.Look``: with 1 only squared error falls."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filters", _gabor(), persistent=False)
        self.filters: Tensor

    def features(self, x: Tensor) -> list[Tensor]:
        """Return means and deviations of each scale: (B, 2, orientations, h, w)."""
        grey = x.mean(dim=1, keepdim=True)
        found = []
        for _ in range(_SCALES):
            grey = functional.avg_pool2d(grey, 2)
            padded = functional.pad(grey, (_TAPS // 2,) * 4, mode="replicate")
            even, odd = functional.conv2d(padded, self.filters).chunk(2, dim=1)
            power = even.square() + odd.square() + 1e-5
            mean = functional.avg_pool2d(power.sqrt(), _AREA, stride=_AREA // 2)
            variance = functional.avg_pool2d(power, _AREA, stride=_AREA // 2) - mean.square()
            found.append(torch.stack([mean, (variance.clamp_min(0.0) + 1e-5).sqrt()], dim=1))
        return found

    def distance(self, x: list[Tensor], x_hat: list[Tensor], seen: Tensor) -> Tensor:
        """Return the distance of each pair, from two lists of features, in [0, 1]: (B,).

        Args:
            x: of the originals.
            x_hat: of the decoded pictures.
            seen: (B, 1, H, W), 1 where a pixel counts and 0 elsewhere.
        """
        total = seen.new_zeros(len(seen))
        for a, b in zip(x, x_hat, strict=True):
            error = (a - b).square().sum(1)
            size = (a.square() + b.square()).sum(1) + _FLOOR
            relative = (error / size).mean(1)
            height, width = relative.shape[1:]
            weight = functional.adaptive_avg_pool2d(seen, (height, width))[:, 0]
            total = total + (relative * weight).sum((1, 2)) / weight.sum((1, 2))
        return total / _SCALES


def _gabor() -> Tensor:
    """Return even filters of all orientations, then odd ones: (2 * orientations, 1, taps, taps)."""
    at = torch.arange(_TAPS) - _TAPS // 2
    y, x = torch.meshgrid(at.float(), at.float(), indexing="ij")
    envelope = (-(x.square() + y.square()) / (2 * _DEVIATION**2)).exp()
    even, odd = [], []
    for number in range(_ORIENTATIONS):
        angle = math.pi * number / _ORIENTATIONS
        phase = 2 * math.pi / _WAVELENGTH * (x * math.cos(angle) + y * math.sin(angle))
        real, imaginary = envelope * phase.cos(), envelope * phase.sin()
        # A filter must not see what is flat.
        real = real - envelope * (real.sum() / envelope.sum())
        even.append(real / real.abs().sum())
        odd.append(imaginary / imaginary.abs().sum())
    return torch.stack(even + odd)[:, None]
