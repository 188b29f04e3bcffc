"""Discriminators of phases 1 and 3: a patch one on pixels, a projected one on frozen features."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from glc.training.settings import TrainingSettings

PROJECTED_LAYERS = {
    "lpips": {1: 128, 2: 256, 4: 384},
    "alex": {1: 192, 2: 384},
    "mobilenet": {1: 24, 2: 32, 3: 64, 4: 96},
}
"""Of each network (``glc.training.settings.NETWORKS``) the entries of its ``features`` that
a projected discriminator sees, with their channels."""


class PatchDiscriminator(nn.Module):
    """PatchGAN (pix2pix, arXiv 1611.07004, section 3.2.2) with spectral norm (arXiv 1802.05957).

    (B, 3, H, W) in [-1, 1] -> (B, 1, H / 8, W / 8) logits.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = (3, width, 2 * width, 4 * width)
        layers: list[nn.Module] = []
        for entering, leaving in zip(widths[:-1], widths[1:], strict=True):
            layers.append(spectral_norm(nn.Conv2d(entering, leaving, 4, stride=2, padding=1)))
            layers.append(nn.LeakyReLU(0.2))
        layers.append(spectral_norm(nn.Conv2d(widths[-1], 1, 3, padding=1)))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x)
        return logits.float()


class ProjectedDiscriminator(nn.Module):
    """Small heads on frozen features (Projected GANs, arXiv 2111.01007, section 3).

    Features of one network, normalised per position -> list of (B, 1, h, w) logits.

    Args:
        network: whose features, of ``PROJECTED_LAYERS``.
        width: half of the channels within a head.
    """

    def __init__(self, network: str, width: int) -> None:
        super().__init__()
        self.layers = tuple(PROJECTED_LAYERS[network])
        self.heads = nn.ModuleList(
            nn.Sequential(
                spectral_norm(nn.Conv2d(channels, 2 * width, 1)),
                nn.LeakyReLU(0.2),
                spectral_norm(nn.Conv2d(2 * width, 2 * width, 3, padding=1)),
                nn.LeakyReLU(0.2),
                spectral_norm(nn.Conv2d(2 * width, 1, 1)),
            )
            for channels in PROJECTED_LAYERS[network].values()
        )

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        # Normalised features have small entries; rescaled to unit variance per channel.
        chosen = [features[index] for index in self.layers]
        return [
            head(f * f.shape[1] ** 0.5).float() for head, f in zip(self.heads, chosen, strict=True)
        ]


class Adversary(nn.Module):
    """The discriminators in use, as one module: pictures and their features -> list of logits."""

    def __init__(self, settings: TrainingSettings) -> None:
        super().__init__()
        width = settings.discriminator_width
        self.patch = PatchDiscriminator(width) if settings.patch_discriminator else None
        self.projected = nn.ModuleDict(
            {name: ProjectedDiscriminator(name, width) for name in settings.projected}
        )

    def forward(self, x: Tensor, features: Mapping[str, list[Tensor]]) -> list[Tensor]:
        logits = [] if self.patch is None else [self.patch(x)]
        for name, heads in self.projected.items():
            logits += heads(features[name])
        return logits


def hinge_loss(real: list[Tensor], fake: list[Tensor], weight: Tensor | None = None) -> Tensor:
    """Discriminator's hinge loss (arXiv 1705.02894).

    Args:
        real: logits of originals, (b, 1, h, w) each; b may differ between the entries.
        fake: logits of decoded pictures, same shapes.
        weight: (B,) with B at least b, weights of the samples; None weighs all alike.

    Returns:
        Scalar: mean over the entries of the weighted mean over samples.
    """
    total = real[0].new_zeros(())
    for r, f in zip(real, fake, strict=True):
        each = (functional.relu(1.0 - r) + functional.relu(1.0 + f)).flatten(1).mean(1)
        if weight is None:
            total = total + each.mean()
        else:
            share = weight[: len(each)]
            total = total + (each * share).sum() / share.sum().clamp_min(1e-6)
    return total / len(real)


def generator_loss(fake: list[Tensor]) -> Tensor:
    """Generator's side of the hinge loss: minus the mean logit."""
    return -sum(f.mean() for f in fake) / len(fake)  # type: ignore[return-value]
