"""The linear maps beside E and D: a lapped transform of the picture and its inverse.

What a linear transform keeps is never lost, and the networks learn the rest
(docs/decisions.md, section 18). How they start: ``glc.training.engine.start``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_CELLS = 4
"""Cells of 4 x 4 pixels per side of a position of l."""


class LinearAnalysis(nn.Module):
    """Window of 48 x 48 pixels -> C components, every 16 pixels: (B, 48, 4h, 4w) -> (B, C, h, w).

    Takes cells of 4 x 4 pixels as channels (``pixel_unshuffle(x, 4)``), in [-1, 1]. Beyond the
    border cells repeat. A lapped transform (Tran, Liang and Tu, "Lapped transform via time-domain
    pre- and post-filtering", IEEE TSP 2003) is one of this form. 27 C multiplications per pixel.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(48 * _CELLS * _CELLS, channels, 3)

    def forward(self, cells: Tensor) -> Tensor:
        padded = functional.pad(cells, (_CELLS,) * 4, mode="replicate")
        l: Tensor = self.conv(functional.pixel_unshuffle(padded, _CELLS))
        return l


class LinearSynthesis(nn.Module):
    """3 x 3 positions of l -> 16 x 16 pixels: (B, C, h, w) -> (B, 3, 16h, 16w) about [-1, 1].

    Beyond the border positions repeat. 27 C multiplications per pixel.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 768, 3)

    def forward(self, l: Tensor) -> Tensor:
        padded = functional.pad(l, (1,) * 4, mode="replicate")
        return functional.pixel_shuffle(self.conv(padded), 16)


class RealismGain(nn.Module):
    """A factor per channel for every realism, interpolated between two anchors.

    ``forward(realism)``: (B,) float in [0, 1] -> (B, C, 1, 1). 0 is faithful, 1 is realistic:
    one file, two ways to show it ("Multi-Realism Image Compression with a Conditional Generator",
    Agustsson et al., arXiv 2212.13824). No cost per pixel.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.anchors = nn.Parameter(torch.ones(2, channels))

    def forward(self, realism: Tensor) -> Tensor:
        share = realism.to(self.anchors)[:, None]
        return (self.anchors[0] + share * (self.anchors[1] - self.anchors[0]))[:, :, None, None]


def start_at_zero(conv: nn.Conv2d) -> None:
    """Make the last layer of a network that stands beside a linear map say nothing at first."""
    nn.init.zeros_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
