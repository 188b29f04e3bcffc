"""Bits of symbols as a smooth function, for whoever descends on them: training, and ``glc.effort``.

What a file takes is counted by the tables of ``glc.entropy`` alone.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from glc.entropy import ROWS, SIGMA_MAX, SIGMA_MIN
from glc.networks.quantize import round_from

__all__ = ["gaussian_bits", "sigma_of_rows", "symbol_bits"]


def sigma_of_rows(rows: Tensor) -> Tensor:
    """Return the standard deviation of (possibly fractional) rows; any shape.

    ``glc.entropy.sigma_of_row`` with gradients.
    """
    growth = math.log(SIGMA_MAX / SIGMA_MIN) / (ROWS - 2)
    return SIGMA_MIN * ((rows - 1.0) * growth).exp()


def gaussian_bits(x: Tensor, sigma: Tensor) -> Tensor:
    """Bits of the unit interval around x under N(0, sigma^2); any shape, float32, >= 0."""
    magnitude = x.abs()
    upper = torch.special.log_ndtr((0.5 - magnitude) / sigma)
    lower = torch.special.log_ndtr((-0.5 - magnitude) / sigma)
    log_mass = upper + torch.log(-torch.expm1((lower - upper).clamp_max(-1e-6)))
    return -log_mass / math.log(2.0)  # type: ignore[no-any-return]


def symbol_bits(residual: Tensor, rows: Tensor, threshold: float = 0.5) -> Tensor:
    """Bits of the rounded residual, with useful gradients to both arguments.

    The value and the gradient to ``rows`` are those of the integers that will be coded. The
    gradient to ``residual`` is that of the same density at the unrounded value, which also pulls
    what rounds to zero towards zero. At ultra-low rates nearly all symbols are zero, where
    additive noise would overstate both rate and scale.

    Args:
        residual: (y - mean) / step, any shape, float32.
        rows: rows of the scale table, same shape, gradients allowed.
        threshold: of the rounding, as ``CodecConfig.rounding`` has it.
    """
    sigma = sigma_of_rows(rows)
    hard = gaussian_bits(round_from(residual.detach(), threshold), sigma)
    soft = gaussian_bits(residual, sigma.detach())
    return hard + (soft - soft.detach())
