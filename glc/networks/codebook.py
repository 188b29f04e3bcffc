"""Phase-1 bottlenecks of the autoencoder: a vector codebook, finite scalars, or a Gaussian.

Each takes l (B, C, h, w) on the unit-mean-square sphere and returns what the decoder sees, the
indices (none for the Gaussian) and a loss. Training only: coded files never contain these indices.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from glc.networks.quantize import round_through


class VectorCodebook(nn.Module):
    """Nearest code in a codebook that one linear layer moves as a whole (SimVQ, arXiv 2411.02038).

    The random codes stay frozen and share a learned basis, so that no code can die alone; codes
    lie on the sphere of l. The loss rewards entropy of the mean soft assignment (arXiv 2310.05737,
    section 3.1): short runs use a tenth of the codes without it (docs/decisions.md).
    (B, C, h, w) -> same; C * codes multiplications per position at 1/16.
    """

    def __init__(
        self, channels: int, codes: int, commitment: float = 0.25, diversity: float = 0.3
    ) -> None:
        super().__init__()
        self.commitment, self.diversity = commitment, diversity
        self.register_buffer("frozen", torch.randn(codes, channels))
        self.basis = nn.Linear(channels, channels, bias=False)
        nn.init.eye_(self.basis.weight)
        self.frozen: Tensor

    def codes(self) -> Tensor:
        """Return the codebook: (codes, C) float32, unit mean square."""
        moved = functional.linear(self.frozen.float(), self.basis.weight.float())
        return moved * moved.square().mean(dim=1, keepdim=True).add(1e-6).rsqrt()

    def nearest(self, l: Tensor) -> Tensor:
        """Return the index of the closest code at every position.

        Args:
            l: (B, C, h, w), float, on the unit-mean-square sphere.

        Returns:
            (B, h, w) int64 in [0, codes); ties go to the lower index.
        """
        with torch.no_grad():
            scores = torch.einsum("bchw,kc->bkhw", l.float(), self.codes())
            return scores.argmax(dim=1)

    def forward(self, l: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        codes = self.codes()
        cosines = torch.einsum("bchw,kc->bhwk", l.float(), codes) / l.shape[1]
        indices = cosines.detach().argmax(dim=3)
        chosen = codes[indices].permute(0, 3, 1, 2)
        loss = functional.mse_loss(chosen, l.detach())
        loss = loss + self.commitment * functional.mse_loss(l, chosen.detach())
        usage = (cosines / 0.07).softmax(dim=3).mean(dim=(0, 1, 2))
        entropy = -(usage * usage.clamp_min(1e-12).log()).sum()
        loss = loss + self.diversity * (math.log(len(codes)) - entropy)
        return l + (chosen - l).detach(), indices, loss


class ScalarCodebook(nn.Module):
    """Finite scalar quantisation (FSQ, arXiv 2309.15505): project, bound, round, project back.

    ``codes`` must be a power of four: each digit has four levels. (B, C, h, w) -> same.

    Raises:
        ValueError: it is none.
    """

    def __init__(self, channels: int, codes: int) -> None:
        super().__init__()
        digits = (codes.bit_length() - 1) // 2
        if 4**digits != codes:
            raise ValueError(f"an FSQ codebook of four levels needs 4^n codes, got {codes}")
        self.reduce = nn.Conv2d(channels, digits, 1)
        self.expand = nn.Conv2d(digits, channels, 1)
        self.register_buffer("radix", 4 ** torch.arange(digits))
        self.radix: Tensor

    def _levels(self, l: Tensor) -> Tensor:
        return round_through(torch.tanh(self.reduce(l.float())) * 2.0 - 0.5).clamp(-2, 1)

    def nearest(self, l: Tensor) -> Tensor:
        """Return the index at every position: (B, C, h, w) -> (B, h, w) int64."""
        with torch.no_grad():
            levels = (self._levels(l) + 2).round().long()
            return (levels * self.radix.view(1, -1, 1, 1)).sum(dim=1)

    def forward(self, l: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        levels = self._levels(l)
        seen = self.expand((levels + 0.5) / 2.0)
        # Keeps l close to what the decoder sees, so that phase 2 may aim at l itself.
        loss = functional.mse_loss(l, seen.detach()) * 0.25 + functional.mse_loss(seen, l.detach())
        return seen, self.nearest(l), loss


class GaussianBottleneck(nn.Module):
    """The variational bottleneck (Kingma & Welling, arXiv 1312.6114): mean, variance, sample.

    (B, C, h, w) -> same; the loss is the divergence from N(0, I) in nats per element.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.moments = nn.Conv2d(channels, 2 * channels, 1)
        self.expand = nn.Conv2d(channels, channels, 1)

    def clean(self, l: Tensor) -> Tensor:
        """Return what the decoder sees of l without noise: (B, C, h, w) -> same."""
        expanded: Tensor = self.expand(self.moments(l.float()).chunk(2, dim=1)[0])
        return expanded

    def forward(self, l: Tensor) -> tuple[Tensor, None, Tensor]:
        mean, log_variance = self.moments(l.float()).chunk(2, dim=1)
        log_variance = log_variance.clamp(-20.0, 10.0)
        sample = mean
        if self.training:
            sample = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        loss = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).mean()
        return self.expand(sample), None, loss
