"""Transform coding of the latent: g_a and g_s at 1/16, with gains per quality.

GLC (arXiv 2512.20194, section 3.2) codes the generative latent with transforms that do not change
its resolution; one set of weights serves all rates through learned gains (arXiv 2003.02012).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from glc.config import QUALITY_MAX, CodecConfig
from glc.networks.blocks import DepthwiseBlock
from glc.networks.linear import start_at_zero


class QualityGain(nn.Module):
    """A positive factor per channel for every quality, interpolated between anchors in the log.

    ``forward(quality)``: (B,) int64 in [0, 100] -> (B, C, 1, 1). No cost per pixel.
    """

    def __init__(self, channels: int, anchors: int, low: float = 1.0, high: float = 1.0) -> None:
        super().__init__()
        start = torch.linspace(0.0, 1.0, anchors).unsqueeze(1)
        low_log, high_log = torch.tensor(low).log(), torch.tensor(high).log()
        self.log_gain = nn.Parameter((low_log + (high_log - low_log) * start).repeat(1, channels))

    def forward(self, quality: Tensor) -> Tensor:
        return interpolate_anchors(self.log_gain, quality).exp()[:, :, None, None]


def interpolate_anchors(values: Tensor, quality: Tensor) -> Tensor:
    """Interpolate per-anchor rows linearly: (K, C) and (B,) int64 -> (B, C)."""
    intervals = values.shape[0] - 1
    position = quality.to(values.device).float() * (intervals / QUALITY_MAX)
    lower = position.floor().long().clamp(0, intervals - 1)
    fraction = (position - lower).unsqueeze(1)
    return values[lower] * (1.0 - fraction) + values[lower + 1] * fraction


class AnalysisTransform(nn.Module):
    """g_a: l -> y. (B, C_l, h, w) and quality (B,) -> (B, C_y, h, w) float32.

    With architecture 2 y is l plus what the network adds, in units of ``scale``, times the gain of
    its quality. About 1.6 kMAC per pixel in ``tiny``, 3.0 in ``base``.
    """

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        width = config.transform_width
        self.stem = nn.Conv2d(config.latent_channels, width, 3, padding=1)
        self.gain_inner = QualityGain(width, config.quality_anchors)
        self.body = nn.Sequential(*(DepthwiseBlock(width) for _ in range(config.transform_depth)))
        self.head = nn.Conv2d(width, config.y_channels, 1)
        # Starts well above the wanted rates; training raises the rate pressure.
        self.gain = QualityGain(config.y_channels, config.quality_anchors, 2.0, 8.0)
        self.linear = config.linear
        if config.linear:
            self.register_buffer("scale", torch.ones(config.latent_channels))
            self.scale: Tensor
            start_at_zero(self.head)

    def forward(self, l: Tensor, quality: Tensor) -> Tensor:
        scale = self.scale[:, None, None] if self.linear else 1.0
        x = self.body(self.stem(l / scale) * self.gain_inner(quality))
        y: Tensor = self.head(x).float()
        if self.linear:
            y = l.float() + y * scale
        gain: Tensor = self.gain(quality)
        return y * gain


class SynthesisTransform(nn.Module):
    """g_s: y_hat -> l_hat. (B, C_y, h, w) and quality (B,) -> (B, C_l, h, w) float32.

    With architecture 2 l_hat is y_hat times the gain of its quality, plus what the network adds to
    that in units of ``scale``. About 1.6 kMAC per pixel in ``tiny``, 3.0 in ``base``.
    """

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        width = config.transform_width
        self.gain = QualityGain(config.y_channels, config.quality_anchors, 1 / 2.0, 1 / 8.0)
        self.stem = nn.Conv2d(config.y_channels, width, 3, padding=1)
        self.gain_inner = QualityGain(width, config.quality_anchors)
        self.body = nn.Sequential(*(DepthwiseBlock(width) for _ in range(config.transform_depth)))
        self.head = nn.Conv2d(width, config.latent_channels, 1)
        self.linear = config.linear
        if config.linear:
            self.register_buffer("scale", torch.ones(config.latent_channels))
            self.scale: Tensor
            start_at_zero(self.head)

    def forward(self, y_hat: Tensor, quality: Tensor) -> Tensor:
        scaled = y_hat * self.gain(quality)
        scale = self.scale[:, None, None] if self.linear else 1.0
        x = self.body(self.stem(scaled / scale) * self.gain_inner(quality))
        l_hat: Tensor = self.head(x).float()
        return scaled.float() + l_hat * scale if self.linear else l_hat
