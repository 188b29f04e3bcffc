"""The categorical hyper-latent: h_a, its finite scalar quantiser, and h_s.

Each position of z covers 64 x 64 pixels and is one index (GLC, arXiv 2512.20194, section 3.3). The
codebook is FSQ (arXiv 2309.15505), which cannot collapse; an index is a number written in
``hyper_levels``, and its digits as odd integers are what the integer scale map reads.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from glc.config import CodecConfig
from glc.networks.blocks import DepthwiseBlock, Downsample, Upsample
from glc.networks.linear import start_at_zero
from glc.networks.quantize import round_through
from glc.networks.transforms import QualityGain


class HyperAnalysis(nn.Module):
    """h_a: y -> z, (B, C_y, 4h, 4w) and quality (B,) -> (B, digits, h, w) float32, not rounded.

    With architecture 2 z is the mean colour of 64 x 64 pixels plus what the network adds;
    ``gain`` takes that of g_a away. Architecture 1 does not look at the quality. About 0.4 kMAC per
    pixel in both presets.
    """

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        width = config.hyper_channels
        self.stem = nn.Conv2d(config.y_channels, width, 3, padding=1)
        self.down_32 = Downsample(width, width)
        self.body_32 = DepthwiseBlock(width)
        self.down_64 = Downsample(width, width)
        self.body_64 = DepthwiseBlock(width)
        digits = len(config.hyper_levels)
        self.head = nn.Conv2d(width, digits, 1)
        self.linear = config.linear
        if config.linear:
            self.gain = QualityGain(config.y_channels, config.quality_anchors)
            self.low_pass = nn.Conv2d(config.y_channels, digits, 1)
            start_at_zero(self.head)

    def forward(self, y: Tensor, quality: Tensor) -> Tensor:
        z: Tensor = self.head(self.features(y)).float()
        if self.linear:
            mean = functional.avg_pool2d(y * self.gain(quality), 4)
            z = z + self.low_pass(mean).float()
        return z

    def features(self, y: Tensor) -> Tensor:
        """Return what the head sees: (B, C_y, 4h, 4w) -> (B, C_h, h, w)."""
        # At low rates most of y is far below one step: the root keeps small values visible.
        y = y.sign() * (y.abs() + 1e-3).sqrt()
        x = self.body_32(self.down_32(functional.silu(self.stem(y))))
        features: Tensor = self.body_64(self.down_64(x))
        return features


class HyperCodebook(nn.Module):
    """FSQ of z: bounds, rounds, and translates between digits and indices. No parameters.

    Digits are odd integers (even level counts) or even ones (odd level counts), symmetric about 0:
    four levels give -3, -1, 1, 3. All integer arithmetic here is exact.
    """

    def __init__(self, levels: tuple[int, ...]) -> None:
        super().__init__()
        self.levels = levels
        radix = [math.prod(levels[:digit]) for digit in range(len(levels))]
        self.register_buffer("radix", torch.tensor(radix).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("count", torch.tensor(levels).view(1, -1, 1, 1), persistent=False)
        self.radix: Tensor
        self.count: Tensor

    def forward(self, z: Tensor) -> Tensor:
        """Round z to digits with a straight-through gradient: (B, D, h, w) -> same, float32."""
        half = self.count.to(z.dtype) / 2.0
        level = round_through(self.bound(z, self.count) + (half - 0.5))
        level = torch.minimum(level.clamp_min(0.0), 2.0 * half - 1.0)
        return 2.0 * level - (2.0 * half - 1.0)

    @staticmethod
    def bound(z: Tensor, count: Tensor | int) -> Tensor:
        """Squash z symmetrically about 0 into the range of ``count`` levels one apart."""
        # Rescaled so that the outermost levels are reached before tanh saturates.
        return torch.tanh(z) * (count / 2.0 - 0.5) * 1.05

    def to_indices(self, digits: Tensor) -> Tensor:
        """(B, D, h, w) digits -> (B, h, w) int64 indices in [0, hyper_size)."""
        level = (digits.detach().round().long() + self.count - 1) // 2
        return (level * self.radix).sum(dim=1)

    def to_digits(self, indices: Tensor) -> Tensor:
        """(B, h, w) int64 indices -> (B, D, h, w) float32 digits, exact."""
        level = (indices.unsqueeze(1) // self.radix) % self.count
        return (2 * level - (self.count - 1)).float()


class HyperSynthesis(nn.Module):
    """h_s: digits of z -> features for mean and step. (B, D, h, w) -> (B, C_h, 4h, 4w).

    With architecture 2 D channels more follow: the low-pass picture, a linear map of the digits.
    Floating point throughout: nothing here selects a probability table
    (docs/architecture.md, "Exactness"). About 0.2 kMAC per pixel in both presets.
    """

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        width = config.hyper_channels
        self.stem = nn.Conv2d(len(config.hyper_levels), width, 3, padding=1)
        self.body_64 = DepthwiseBlock(width)
        self.up_32 = Upsample(width, width)
        self.body_32 = DepthwiseBlock(width)
        self.up_16 = Upsample(width, width)
        self.gain = QualityGain(width, config.quality_anchors)
        self.body_16 = DepthwiseBlock(width)
        self.linear = config.linear
        if config.linear:
            count = len(config.hyper_levels)
            self.low_pass = nn.Conv2d(count, 16 * count, 3, padding=1)
            self.low_pass_gain = QualityGain(count, config.quality_anchors)

    def forward(self, digits: Tensor, quality: Tensor) -> Tensor:
        x = self.body_64(functional.silu(self.stem(digits / 2.0)))
        x = self.up_16(self.body_32(self.up_32(x)))
        features: Tensor = self.body_16(x * self.gain(quality))
        if self.linear:
            picture = functional.pixel_shuffle(self.low_pass(digits / 2.0), 4)
            features = torch.cat([features, picture * self.low_pass_gain(quality)], dim=1)
        return features
