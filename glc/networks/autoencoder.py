"""The latent autoencoder: picture <-> generative latent l at 1/16 of the resolution.

Trained in phase 1 with a codebook between the two halves (GLC, arXiv 2512.20194, section 3.1);
written for the budget of docs/architecture.md: bodies at 1/16 and 1/8, a small renderer at 1/4.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from glc.config import (
    LATENT_STRIDE,
    REALISTIC_FEATURE_LIMIT,
    REALISTIC_INPUT_LIMIT,
    CodecConfig,
)
from glc.networks.blocks import (
    DepthwiseBlock,
    Downsample,
    PlainBlock,
    Upsample,
    equal_phases,
)
from glc.networks.linear import LinearAnalysis, LinearSynthesis, RealismGain, start_at_zero


class ImageEncoder(nn.Module):
    """E: picture -> l. (B, 3, 16h, 16w) in [-1, 1] -> (B, C_l, h, w).

    With architecture 2 l is a lapped transform of the picture plus what the network adds, in units
    of ``scale``, the deviation of each component; amplitudes are those of the picture. About
    7 kMAC per pixel in ``tiny``, 24 in ``base``. ``forward`` is ``coarse`` after ``fine``.

    With architecture 1 every position of l lies on a sphere, as in ViT-VQGAN (arXiv 2110.04627,
    section 3.2), after each channel was centred by the statistics of phase 1: without the centring
    all of l points the same way at first, and the codebook collapses (docs/decisions.md).
    """

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        width_4, width_8 = config.encoder_width_4, config.encoder_width_8
        width_16 = config.encoder_width_16
        self.stem = nn.Conv2d(48, width_4, 3, padding=1)
        self.body_4 = nn.Sequential(*(PlainBlock(width_4) for _ in range(config.encoder_depth_4)))
        self.down_8 = Downsample(width_4, width_8)
        self.body_8 = nn.Sequential(*(PlainBlock(width_8) for _ in range(config.encoder_depth_8)))
        self.down_16 = Downsample(width_8, width_16)
        self.body_16 = nn.Sequential(
            *(DepthwiseBlock(width_16) for _ in range(config.encoder_depth_16))
        )
        self.head = nn.Conv2d(width_16, config.latent_channels, 1)
        self.width = width_16
        self.linear: LinearAnalysis | None = None
        if config.linear:
            self.linear = LinearAnalysis(config.latent_channels)
            self.register_buffer("scale", torch.ones(config.latent_channels))
            self.scale: Tensor
            start_at_zero(self.head)
        else:
            self.centre = nn.BatchNorm2d(config.latent_channels, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.coarse(self.fine(x))

    def fine(self, x: Tensor) -> Tensor:
        """Run the layers above 1/16: (B, 3, 16h, 16w) -> (B, C_16, h, w).

        With architecture 2 the components of the lapped transform follow, C_l channels more.
        """
        cells = functional.pixel_unshuffle(x, 4)
        components = None if self.linear is None else self.linear(cells).float()
        x = self.stem(cells)
        # As large as the picture, and not needed any more.
        del cells
        x = self.body_8(self.down_8(self.body_4(x)))
        features: Tensor = self.down_16(x)
        return features if components is None else torch.cat([features.float(), components], dim=1)

    def coarse(self, features: Tensor) -> Tensor:
        """Run the layers at 1/16: what ``fine`` gives -> l."""
        if self.linear is not None:
            features, components = features[:, : self.width], features[:, self.width :]
            added: Tensor = self.head(self.body_16(features)).float()
            return components + added * self.scale[:, None, None]
        l: Tensor = self.centre(self.head(self.body_16(features)).float())
        scale: Tensor = l.square().mean(dim=1, keepdim=True).add(1e-6).rsqrt()
        return l * scale


class ImageDecoder(nn.Module):
    """D: l -> picture. (B, C_l, h, w) any range -> (B, 3, 16h, 16w), about [-1, 1], not clamped.

    With architecture 2 a linear map of l gives the picture and the network adds to it;
    ``realism`` (B,) in [0, 1] says how: 0 the most faithful, 1 (also when omitted) the most
    realistic picture. The network sees l in units of ``scale``.

    A body at 1/16 and 1/8, a renderer at 1/4 and one shuffle to full size, as in PULSE (arXiv
    2609.18602, table 2); a few channels at full resolution take away the grid of the shuffle.
    About 19 kMAC per pixel in ``tiny``, 46 in ``base``. ``forward`` is ``fine`` after ``coarse``.
    """

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        width_4, width_8 = config.decoder_width_4, config.decoder_width_8
        width_16 = config.decoder_width_16
        self.stem = nn.Conv2d(config.latent_channels, width_16, 3, padding=1)
        self.body_16 = nn.Sequential(
            *(DepthwiseBlock(width_16) for _ in range(config.decoder_depth_16))
        )
        self.up_8 = Upsample(width_16, width_8)
        self.body_8 = nn.Sequential(*(PlainBlock(width_8) for _ in range(config.decoder_depth_8)))
        self.up_4 = Upsample(width_8, width_4)
        self.body_4 = nn.Sequential(*(PlainBlock(width_4) for _ in range(config.decoder_depth_4)))
        self.render = nn.Conv2d(width_4, 48, 3, padding=1)
        equal_phases(self.render, 4)
        self.refine_in = nn.Conv2d(3, config.refine_channels, 5, padding=2)
        self.refine_out = nn.Conv2d(config.refine_channels, 3, 3, padding=1)
        self.width = width_16
        self.linear: LinearSynthesis | None = None
        if config.linear:
            self.linear = LinearSynthesis(config.latent_channels)
            self.register_buffer("scale", torch.ones(config.latent_channels))
            self.scale: Tensor
            self.gains_16 = _gains(width_16, config.decoder_depth_16)
            self.gains_8 = _gains(width_8 // 2, config.decoder_depth_8)
            self.gains_4 = _gains(width_4 // 2, config.decoder_depth_4)
            start_at_zero(self.render)
            start_at_zero(self.refine_out)

    def forward(self, l: Tensor, realism: Tensor | None = None) -> Tensor:
        return self.fine(self.coarse(l, realism), realism)

    def coarse(self, l: Tensor, realism: Tensor | None = None) -> Tensor:
        """Run the layers at 1/16: l -> (B, C_16, h, w), with architecture 2 followed by l."""
        if self.linear is None:
            features: Tensor = self.body_16(self.stem(l))
            return features
        x = self.stem(l / self.scale[:, None, None])
        x = _run(self.body_16, self.gains_16, x, _full(realism, l))
        return torch.cat([x.float(), l.float()], dim=1)

    def fine(self, features: Tensor, realism: Tensor | None = None) -> Tensor:
        """Run the layers above 1/16: what ``coarse`` gives -> (B, 3, 16h, 16w)."""
        if self.linear is None:
            x = self.body_4(self.up_4(self.body_8(self.up_8(features))))
            x = functional.pixel_shuffle(self.render(x), 4)
        else:
            x, l = features[:, : self.width], features[:, self.width :]
            realism = _full(realism, l)
            x = _run(self.body_8, self.gains_8, self.up_8(x), realism)
            x = _run(self.body_4, self.gains_4, self.up_4(x), realism)
            x = functional.pixel_shuffle(self.render(x), 4) + self.linear(l)
        x_hat: Tensor = x + self.refine_out(functional.silu(self.refine_in(x)))
        return x_hat.float()


_PULL = 10.0
"""About what squared error weighs in a loss (``glc.training.settings``)."""


class RealisticDecoder(ImageDecoder):
    """D of realism 1 with architecture 3: l / scale -> picture, shapes as ``ImageDecoder``.

    The layers of architecture 1, whose widths and depths are the fields ``realistic_*``; what they
    are given, and what each block at 1/16 hands on, is limited (``glc.config``). What they show is
    shifted so that areas of 16 x 16 pixels have the mean colours that a linear map of l gives them:
    texture is up to the network, and colours never are.

    Args:
        config: of architecture 3.
    """

    def __init__(self, config: CodecConfig) -> None:
        super().__init__(config.realistic_shape)
        self.means = nn.Conv2d(config.latent_channels, 3, 3)
        self.spread = LinearSynthesis(3)
        with torch.no_grad():
            self.spread.conv.weight.copy_(_bilinear(LATENT_STRIDE))
            nn.init.zeros_(self.spread.conv.bias)  # type: ignore[arg-type]

    def coarse(self, l: Tensor, realism: Tensor | None = None) -> Tensor:
        """Run the layers at 1/16: l / scale -> (B, C_16 + 3, h, w), the last three the means."""
        x = self.stem(l.clamp(-REALISTIC_INPUT_LIMIT, REALISTIC_INPUT_LIMIT))
        for block in self.body_16:
            x = block(x).clamp(-REALISTIC_FEATURE_LIMIT, REALISTIC_FEATURE_LIMIT)
        means = self.means(functional.pad(l, (1,) * 4, mode="replicate"))
        return torch.cat([x.float(), means.float()], dim=1)

    def fine(self, features: Tensor, realism: Tensor | None = None) -> Tensor:
        """Run the layers above 1/16: what ``coarse`` gives -> (B, 3, 16h, 16w)."""
        x = super().fine(features[:, : self.width])
        # In training the means have no gradient, but are pulled.
        own = functional.avg_pool2d(x.detach() if self.training else x, LATENT_STRIDE)
        shift: Tensor = self.spread(features[:, self.width :] - own).float()
        if self.training and x.requires_grad:
            _pull(x, shift.detach())
        return x + shift


def _pull(x: Tensor, shift: Tensor) -> None:
    """Add to the gradient of x that of ``_PULL`` times the mean of ``shift`` squared, over x alone.

    What is shifted anyway has no gradient of its own: the network's own means would drift until
    what the shift cannot take back, a grid of its period, is all there is. Samples that nobody
    asked for, and so without a gradient, are left alone.
    """
    factor = 2.0 * _PULL / x.numel()

    def pulled(gradient: Tensor) -> Tensor:
        asked = (gradient != 0).flatten(1).any(1)[:, None, None, None]
        return gradient - factor * asked * shift.to(gradient)

    x.register_hook(pulled)


def _bilinear(stride: int) -> Tensor:
    """Kernels of ``LinearSynthesis`` that interpolate three channels: (3 stride^2, 3, 3, 3)."""
    distance = (torch.arange(stride) + 0.5) / stride - 0.5
    line = torch.stack([(-distance).clamp_min(0), 1 - distance.abs(), distance.clamp_min(0)], dim=1)
    plane = line[:, None, :, None] * line[None, :, None, :]
    kernels = torch.einsum("cd,yxij->cyxdij", torch.eye(3), plane)
    return kernels.reshape(3 * stride * stride, 3, 3, 3)


def _gains(channels: int, depth: int) -> nn.ModuleList:
    return nn.ModuleList(RealismGain(channels) for _ in range(depth))


def _full(realism: Tensor | None, like: Tensor) -> Tensor:
    """Return the realism of every sample of a batch, 1 where it was left out: (B,)."""
    return like.new_ones(like.shape[0]) if realism is None else realism


def _run(body: nn.Sequential, gains: nn.ModuleList, x: Tensor, realism: Tensor) -> Tensor:
    """Run blocks in turn, each with the gain that it has at this realism."""
    for block, gain in zip(body, gains, strict=True):
        x = block(x, gain(realism))
    return x
