"""What an encoder that searches looks through on this machine. Knows nothing of codecs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor
from torch.nn import functional

from glc.effort.perception import installed
from glc.effort.texture import Texture
from glc.errors import WeightsError

__all__ = ["Look", "Smaller", "looks_through"]


class Look(Protocol):
    """Features of pictures, and distances by them."""

    @property
    def weight(self) -> float:
        """Of the logarithm of its distances, against that of LPIPS."""

    def features(self, x: Tensor) -> list[Tensor]:
        """Return the features of (B, 3, H, W) in [-1, 1], from 32 x 32 on."""

    def distance(self, x: list[Tensor], x_hat: list[Tensor], seen: Tensor) -> Tensor:
        """Return the distance of each pair, where (B, 1, H, W) ``seen`` is 1: (B,)."""


@dataclass(frozen=True)
class Smaller:
    """A look at pictures that were shrunk first, which takes less time."""

    look: Look
    factor: int
    """1 leaves them as they are."""

    @property
    def weight(self) -> float:
        """That of the look."""
        return self.look.weight

    def features(self, x: Tensor) -> list[Tensor]:
        """Shrink, and look."""
        return self.look.features(functional.avg_pool2d(x, self.factor) if self.factor > 1 else x)

    def distance(self, x: list[Tensor], x_hat: list[Tensor], seen: Tensor) -> Tensor:
        """Return what the look says; ``seen`` is of full size."""
        return self.look.distance(x, x_hat, seen)


def looks_through(device: str = "cpu", shrink: int = 1) -> Look:
    """Return SqueezeNet with the heads of LPIPS where both are installed, else textures.

    Args:
        device: where they compute.
        shrink: by how much pictures are smaller that the network sees.
    """
    try:
        return Smaller(installed(device), shrink)
    except WeightsError:
        return Texture().to(device)
