"""The latent autoencoder: picture <-> generative latent l at 1/16 of the resolution.

Trained in phase 1 with a codebook between the two halves (GLC, arXiv 2512.20194, section 3.1);
written for the budget of DESIGN section 2: bodies at 1/16 and 1/8, a small renderer at 1/4.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from glc.config import CodecConfig
from glc.networks.blocks import (
    DepthwiseBlock,
    Downsample,
    PlainBlock,
    Upsample,
    equal_phases,
)


class ImageEncoder(nn.Module):
    """E: picture -> l. (B, 3, 16h, 16w) in [-1, 1] -> (B, C_l, h, w) with unit mean square.

    Every position of l lies on a sphere, as in ViT-VQGAN (arXiv 2110.04627, section 3.2), after
    each channel was centred by the statistics of phase 1: without the centring all of l points
    the same way at first, and the codebook collapses (docs/decisions.md). About 4.5 kMAC per pixel
    in ``tiny``, 21 in ``base``. ``forward`` is ``coarse`` after ``fine``.
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
        self.centre = nn.BatchNorm2d(config.latent_channels, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.coarse(self.fine(x))

    def fine(self, x: Tensor) -> Tensor:
        """Run the layers above 1/16: (B, 3, 16h, 16w) -> (B, C_16, h, w)."""
        x = self.stem(functional.pixel_unshuffle(x, 4))
        x = self.body_8(self.down_8(self.body_4(x)))
        features: Tensor = self.down_16(x)
        return features

    def coarse(self, features: Tensor) -> Tensor:
        """Run the layers at 1/16: (B, C_16, h, w) -> l."""
        l: Tensor = self.centre(self.head(self.body_16(features)).float())
        scale: Tensor = l.square().mean(dim=1, keepdim=True).add(1e-6).rsqrt()
        return l * scale


class ImageDecoder(nn.Module):
    """D: l -> picture. (B, C_l, h, w) any range -> (B, 3, 16h, 16w), about [-1, 1], not clamped.

    A body at 1/16 and 1/8, a renderer at 1/4 and one shuffle to full size, as in PULSE (arXiv
    2609.18602, table 2); a few channels at full resolution take away the grid of the shuffle.
    About 16 kMAC per pixel in ``tiny``, 44 in ``base``. ``forward`` is ``fine`` after ``coarse``.
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

    def forward(self, l: Tensor) -> Tensor:
        return self.fine(self.coarse(l))

    def coarse(self, l: Tensor) -> Tensor:
        """Run the layers at 1/16: l -> (B, C_16, h, w)."""
        features: Tensor = self.body_16(self.stem(l))
        return features

    def fine(self, features: Tensor) -> Tensor:
        """Run the layers above 1/16: (B, C_16, h, w) -> (B, 3, 16h, 16w)."""
        x = self.body_8(self.up_8(features))
        x = self.body_4(self.up_4(x))
        x = functional.pixel_shuffle(self.render(x), 4)
        x_hat: Tensor = x + self.refine_out(functional.silu(self.refine_in(x)))
        return x_hat.float()
