"""The rate during training: likelihood of the symbols, and control of bits per pixel."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from glc.config import QUALITY_MAX

SIGMA_MIN, SIGMA_MAX, LAST_ROW = 0.11, 64.0, 63
"""Row r of the scale table has sigma SIGMA_MIN * (SIGMA_MAX / SIGMA_MIN)^((r - 1) / 62)."""


def sigma_of_rows(rows: Tensor) -> Tensor:
    """Return the standard deviation of (possibly fractional) rows; any shape."""
    growth = math.log(SIGMA_MAX / SIGMA_MIN) / (LAST_ROW - 1)
    return SIGMA_MIN * ((rows - 1.0) * growth).exp()


def gaussian_bits(x: Tensor, sigma: Tensor) -> Tensor:
    """Bits of the unit interval around x under N(0, sigma^2); any shape, float32, >= 0."""
    magnitude = x.abs()
    upper = torch.special.log_ndtr((0.5 - magnitude) / sigma)
    lower = torch.special.log_ndtr((-0.5 - magnitude) / sigma)
    log_mass = upper + torch.log(-torch.expm1((lower - upper).clamp_max(-1e-6)))
    return -log_mass / math.log(2.0)


def symbol_bits(residual: Tensor, rows: Tensor) -> Tensor:
    """Bits of the rounded residual, with useful gradients to both arguments.

    The value and the gradient to ``rows`` are those of the integers that will be coded. The
    gradient to ``residual`` is that of the same density at the unrounded value, which also pulls
    what rounds to zero towards zero. At ultra-low rates nearly all symbols are zero, where
    additive noise would overstate both rate and scale.

    Args:
        residual: (y - mean) / step, any shape, float32.
        rows: rows of the scale table, same shape, gradients allowed.
    """
    sigma = sigma_of_rows(rows)
    hard = gaussian_bits(residual.detach().round(), sigma)
    soft = gaussian_bits(residual, sigma.detach())
    return hard + (soft - soft.detach())


class RateControl:
    """Steers the rate weight of every quality anchor so that its mean rate meets a target.

    An integral controller in the logarithm: begin with little rate pressure above the wanted rate
    and raise it into the band (DLF; DESIGN section 6). The state is a plain tensor, so that it
    resumes with the run.
    """

    def __init__(self, anchors: int, bpp_low: float, bpp_high: float, start: float = 0.5) -> None:
        ratio = math.log(bpp_high / bpp_low)
        self.log_target = math.log(bpp_low) + ratio * torch.linspace(0.0, 1.0, anchors)
        self.log_weight = torch.full((anchors,), math.log(start))
        self.gain = 0.01

    def _parts(self, quality: Tensor) -> Tensor:
        """Shares of each anchor in each quality: (B,) -> (B, K)."""
        position = quality.float().cpu() * ((len(self.log_weight) - 1) / QUALITY_MAX)
        anchors = torch.arange(len(self.log_weight))
        return (1.0 - (position.unsqueeze(1) - anchors).abs()).clamp_min(0.0)

    def weight(self, quality: Tensor) -> Tensor:
        """Return the rate weight of each sample: (B,) -> (B,), same device."""
        return (self._parts(quality) @ self.log_weight).exp().to(quality.device)

    def update(self, quality: Tensor, bpp: Tensor, excess: float) -> None:
        """Move the weights after a step whose samples had these rates.

        Args:
            quality: (B,) int64.
            bpp: (B,) measured bits per pixel.
            excess: factor on the wanted rates, above 1 while the run warms up.
        """
        parts = self._parts(quality)
        wanted = parts @ self.log_target + math.log(excess)
        error = (bpp.detach().float().cpu().clamp_min(1e-4).log() - wanted).clamp(-1.0, 1.0)
        self.log_weight += self.gain * (parts * error.unsqueeze(1)).sum(0)
        self.log_weight.clamp_(-5.0, 7.0)
