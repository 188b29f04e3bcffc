"""Which windows of which pictures make a batch: the only randomness of the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional


class Pictures(Protocol):
    """A source of training crops."""

    count: int
    """Pictures in use."""
    pixels: int
    """Their pixels in all."""
    skipped: int
    """Pictures that were broken or too small."""
    smallest_side: int
    """Shortest side of any picture, in pixels."""

    def crops(
        self, batch: int, crop: int, rescale_max: float, generator: torch.Generator
    ) -> Tensor:
        """Draw random crops, half of the batches reduced from larger ones, half of them mirrored.

        Args:
            batch: number of crops; pictures are drawn in proportion to their area.
            crop: side in pixels.
            rescale_max: largest reduction.
            generator: CPU generator; the only source of randomness.

        Returns:
            (batch, 3, crop, crop) float32 in [-1, 1], channels last, on the pictures' device.
        """
        ...


@dataclass(frozen=True)
class Windows:
    """The windows of one batch: (B,) tensors on the CPU, and one side in pixels."""

    picture: Tensor
    top: Tensor
    left: Tensor
    flip: Tensor
    side: int

    def same_as(self, other: Windows) -> bool:
        """Say whether both cut the same pixels."""
        mine = (self.picture, self.top, self.left, self.flip)
        theirs = (other.picture, other.top, other.left, other.flip)
        return self.side == other.side and all(map(torch.equal, mine, theirs))


@dataclass(frozen=True)
class Sizes:
    """Heights and widths of all pictures: (N,) int64 on the CPU."""

    height: Tensor
    width: Tensor

    def draw(
        self, batch: int, crop: int, rescale_max: float, generator: torch.Generator
    ) -> Windows:
        """Draw the windows of one batch; arguments as in ``Pictures.crops``."""
        area = (self.height * self.width).double()
        picture = torch.multinomial(area, batch, replacement=True, generator=generator)
        draws = torch.rand(5, batch, generator=generator)
        height, width = self.height[picture], self.width[picture]
        scale = 1.0
        if draws[3, 0] < 0.5:
            scale += (rescale_max - 1.0) * float(draws[4, 0])
        side = min(round(crop * scale), int(height.min()), int(width.min()))
        top = torch.minimum((draws[0] * (height - side + 1)).long(), height - side)
        left = torch.minimum((draws[1] * (width - side + 1)).long(), width - side)
        return Windows(picture, top, left, draws[2] < 0.5, side)


def finish(pixels: Tensor, crop: int) -> Tensor:
    """Turn cut windows into a batch: (B, 3, side, side) uint8 -> (B, 3, crop, crop) float32."""
    crops = pixels.float() / 127.5 - 1.0
    if crops.shape[-1] != crop:
        crops = functional.interpolate(
            crops, size=(crop, crop), mode="bilinear", antialias=True, align_corners=False
        )
    return crops.contiguous(memory_format=torch.channels_last)
