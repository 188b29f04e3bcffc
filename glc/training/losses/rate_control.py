"""The rate during training: control of bits per pixel."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from glc.config import QUALITY_MAX


class RateControl:
    """Steers the rate weight of every quality anchor so that its mean rate meets a target.

    An integral controller in the logarithm: begin with little rate pressure above the wanted rate
    and raise it into the band (as DLF does). The state is a plain tensor on the device,
    so that it resumes with the run and nobody waits for it.

    Args:
        anchors: of the model.
        bpp_low: wanted rate at quality 0.
        bpp_high: wanted rate at quality 100; between them it is geometric.
        device: where qualities and rates are.
        start: first rate weight.
    """

    def __init__(
        self,
        anchors: int,
        bpp_low: float,
        bpp_high: float,
        device: torch.device | str = "cpu",
        start: float = 0.5,
    ) -> None:
        ratio = math.log(bpp_high / bpp_low)
        share = torch.linspace(0.0, 1.0, anchors, device=device)
        self.log_target = math.log(bpp_low) + ratio * share
        self.log_weight = torch.full((anchors,), math.log(start), device=device)
        self.gain = 0.02
        self._anchor = torch.arange(anchors, device=device)

    def begin_between(self, low: float, high: float) -> None:
        """Set the rate weights of qualities 0 and 100; those between are geometric."""
        ends = math.log(low), math.log(high)
        self.log_weight = torch.linspace(*ends, len(self._anchor), device=self.log_weight.device)

    def _parts(self, quality: Tensor) -> Tensor:
        """Shares of each anchor in each quality: (B,) -> (B, K)."""
        position = quality.float() * ((len(self._anchor) - 1) / QUALITY_MAX)
        return (1.0 - (position.unsqueeze(1) - self._anchor).abs()).clamp_min(0.0)

    def weight(self, quality: Tensor) -> Tensor:
        """Return the rate weight of each sample: (B,) int64 -> (B,)."""
        return (self._parts(quality) @ self.log_weight).exp()

    def balance(self, quality: Tensor, power: float) -> Tensor:
        """Return the factor on the whole loss of each sample: (B,) int64 -> (B,).

        The rate weight, against its geometric mean over the anchors, to the power of ``-power``.
        """
        return (-power * (self._parts(quality) @ self.log_weight - self.log_weight.mean())).exp()

    def begin_at(self, weights: Sequence[float]) -> None:
        """Set the rate weight of every anchor."""
        self.log_weight = torch.tensor(weights, device=self.log_weight.device).log()

    def error(self, quality: Tensor, bpp: Tensor, excess: float) -> Tensor:
        """Return by how much each anchor is above its wanted rate.

        Args:
            quality: (B,) int64.
            bpp: (B,) measured bits per pixel; a sample whose rate is not finite says nothing.
            excess: factor on the wanted rates, above 1 while the run warms up.

        Returns:
            (K,) in the logarithm, averaged over the batch so that its size does not matter, and
            scaled so that a sample per anchor counts fully.
        """
        parts = self._parts(quality)
        wanted = parts @ self.log_target + math.log(excess)
        error = bpp.detach().float().clamp_min(1e-4).log() - wanted
        error = error.nan_to_num(0.0, 0.0, 0.0).clamp(-1.0, 1.0)
        return (parts * error.unsqueeze(1)).mean(0) * len(self._anchor)

    def move(self, error: Tensor) -> None:
        """Move the weights of the anchors by what ``error`` gave, averaged over processes."""
        self.log_weight += self.gain * error
        self.log_weight.clamp_(-5.0, 7.0)
