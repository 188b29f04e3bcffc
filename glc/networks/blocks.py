"""Residual blocks and resampling layers shared by every network.

Shapes are (B, C, h, w). No normalisation and no global operation: the receptive field is bounded,
so a picture can be cut into overlapping tiles. Depthwise blocks where weights are dear (1/16 of the
resolution), plain 3x3 blocks where memory traffic is (1/8 and 1/4): measured in docs/decisions.md.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class DepthwiseBlock(nn.Module):
    """Residual block: 3x3 depthwise, 1x1 to 2C, gate of one half by the other, 1x1 back.

    The gated depthwise shape of NAFNet (arXiv 2204.04676, section 3) and DCVC-RT (arXiv
    2502.20762, section 3), without their normalisation. (B, C, h, w) -> same; 3 C^2 + 9 C
    multiplications per position. ``gain`` (B, C, 1, 1) scales what enters the last 1x1.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.expand = nn.Conv2d(channels, 2 * channels, 1)
        self.project = nn.Conv2d(channels, channels, 1)
        _shrink(self.project)

    def forward(self, x: Tensor, gain: Tensor | None = None) -> Tensor:
        value, gate = self.expand(self.spatial(x)).chunk(2, dim=1)
        gated = value * functional.silu(gate)
        changed: Tensor = self.project(gated if gain is None else gated * gain)
        return x + changed


class PlainBlock(nn.Module):
    """Residual block: 3x3 to C / 2, SiLU, 3x3 back to C (ResNet, arXiv 1512.03385, narrowed).

    (B, C, h, w) -> same; 9 C^2 multiplications per position. ``gain`` (B, C / 2, 1, 1) scales what
    enters the second 3x3.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, channels // 2, 3, padding=1)
        self.project = nn.Conv2d(channels // 2, channels, 3, padding=1)
        _shrink(self.project)

    def forward(self, x: Tensor, gain: Tensor | None = None) -> Tensor:
        active = functional.silu(self.reduce(x))
        changed: Tensor = self.project(active if gain is None else active * gain)
        return x + changed


class Downsample(nn.Module):
    """Halve height and width: space to channel, 1x1, plus the parameter-free shortcut of DC-AE.

    The shortcut averages groups of the 4 C rearranged channels (arXiv 2410.10733, section 3.1).
    (B, C_in, 2h, 2w) -> (B, C_out, h, w); 4 C_in C_out multiplications per output position.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(4 * in_channels, out_channels, 1)
        self.out_channels = out_channels

    def forward(self, x: Tensor) -> Tensor:
        x = functional.pixel_unshuffle(x, 2)
        mixed: Tensor = self.mix(x)
        if x.shape[1] % self.out_channels:
            return mixed
        groups = x.unflatten(1, (self.out_channels, x.shape[1] // self.out_channels))
        shortcut: Tensor = groups.mean(dim=2)
        return mixed + shortcut


class Upsample(nn.Module):
    """Double height and width: 1x1, channel to space, plus a shortcut without parameters.

    The shortcut averages groups of channels and repeats each average over its 2x2 cell. DC-AE's
    (arXiv 2410.10733, section 3.1) repeats channels before the shuffle, so that the phases of a
    cell come from different channels and every layer begins with a grid; here the phases begin
    equal. For the same reason the 1x1 starts with equal weights for the four phases (ICNR, arXiv
    1707.02937). No shortcut where C_in is no multiple of C_out. (B, C_in, h, w) ->
    (B, C_out, 2h, 2w); C_in C_out multiplications per output position.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(in_channels, 4 * out_channels, 1)
        self.out_channels = out_channels
        self.group = in_channels // out_channels if in_channels % out_channels == 0 else 0
        equal_phases(self.mix, 2)

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.mix(x)
        if self.group:
            if self.group > 1:
                x = x.unflatten(1, (self.out_channels, self.group)).mean(dim=2)
            mixed = mixed + x.repeat_interleave(4, dim=1)
        return functional.pixel_shuffle(mixed, 2)


def equal_phases(conv: nn.Conv2d, factor: int) -> None:
    """Make the ``factor``^2 phases that a pixel shuffle interleaves start out equal (ICNR)."""
    phases = factor * factor
    with torch.no_grad():
        conv.weight.copy_(conv.weight[::phases].repeat_interleave(phases, dim=0))
        if conv.bias is not None:
            conv.bias.copy_(conv.bias[::phases].repeat_interleave(phases, dim=0))


def _shrink(conv: nn.Conv2d) -> None:
    """Start a residual branch small, so that a deep stack without normalisation starts near 1."""
    with torch.no_grad():
        conv.weight.mul_(0.2)
        if conv.bias is not None:
            conv.bias.zero_()
