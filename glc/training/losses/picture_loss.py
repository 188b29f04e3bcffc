"""What a decoded picture is asked for, but for the adversary: one weighted sum, term by term.

Squared error and what keeps colours and kills grids act from the first step; the feature networks
join later (``TrainingSettings.perceptual_share``). A term whose weight is zero is not computed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from glc.training.losses.features import Perceived, PerceptualLoss
from glc.training.losses.grid import (
    SEGMENT,
    area_loss,
    colour_loss,
    grid_loss,
    line_loss,
    smooth_loss,
)
from glc.training.settings import NETWORKS, TrainingSettings

_LEAST = 1e-6
"""Below it a loss has no logarithm worth the name."""


def squared_error(x: Tensor, x_hat: Tensor) -> Tensor:
    """Mean squared error of each picture: (B, 3, H, W) twice -> (B,)."""
    return (x - x_hat).float().square().flatten(1).mean(1)


def absolute_error(x: Tensor, x_hat: Tensor) -> Tensor:
    """Mean absolute error of each picture: (B, 3, H, W) twice -> (B,)."""
    return (x - x_hat).float().abs().flatten(1).mean(1)


@dataclass(frozen=True)
class Term:
    """A loss on pixels alone."""

    logged: str
    weight: str
    """Field of the settings."""
    function: Callable[[Tensor, Tensor], Tensor]
    """(B, 3, H, W) in [-1, 1] twice -> (B,)."""
    smallest_side: int = 1
    """Crops below it go without this term."""


TERMS = (
    Term("mse", "mse_weight", squared_error),
    Term("l1", "l1_weight", absolute_error),
    Term("colour", "colour_weight", colour_loss),
    Term("smooth", "smooth_weight", smooth_loss),
    Term("area", "area_weight", area_loss),
    Term("grid", "grid_weight", grid_loss),
    Term("lines", "line_weight", line_loss, SEGMENT),
)


@dataclass
class Judged:
    """The losses of one batch."""

    loss: Tensor
    """Scalar, weighted."""
    parts: dict[str, Tensor]
    """Unweighted means by name, without gradients."""
    perceived: Perceived
    """Features that a discriminator may share."""


class PictureLoss:
    """The weighted sum of all losses on x_hat but the adversary's.

    Args:
        settings: their weights.
        perceptual: networks, at least those of ``settings.networks``.
    """

    def __init__(self, settings: TrainingSettings, perceptual: PerceptualLoss) -> None:
        self.settings, self.perceptual = settings, perceptual

    def __call__(
        self, x: Tensor, x_hat: Tensor, share: float = 1.0, shared: Collection[str] = (),
        realism: Tensor | None = None,
    ) -> Judged:  # fmt: skip
        """Judge decoded pictures.

        Args:
            x: (B, 3, H, W) in [-1, 1], the original.
            x_hat: same shape; gradients flow into it.
            share: factor on the weights of all feature networks; at 0 none runs.
            shared: networks whose features a discriminator needs.
            realism: (B,) in [0, 1], factor on what feature networks say of each sample; None is 1.
                Those after the first ``settings.realistic`` are 0, and no network looks at them.
        """
        s = self.settings
        seen = len(x) if realism is None else s.realistic(len(x))
        loss, parts = x_hat.new_zeros((), dtype=torch.float32), {}
        for term in TERMS:
            weight = getattr(s, term.weight)
            if weight > 0 and min(x.shape[2:]) >= term.smallest_side:
                each = term.function(x, x_hat)
                parts[term.logged] = each.detach().mean()
                loss = loss + weight * self._counted(each).mean()
        weights = {name: share * getattr(s, f"{name}_weight") for name in NETWORKS}
        wanted = [name for name, weight in weights.items() if weight > 0]
        perceived = Perceived({})
        original, decoded = x[:seen], x_hat[:seen]
        if wanted or shared:
            part = max(1, round(s.mobilenet_share * seen))
            textures = share * s.texture_weight > 0
            perceived = self.perceptual(original, decoded, wanted, part, shared, textures)
        distances = dict(perceived.distances)
        for name, distance in perceived.textures.items():
            distances[f"texture_{name}"] = distance
            weights[f"texture_{name}"] = share * s.texture_weight
        if share > 0 and (s.afar_weight > 0 or s.meaning_weight > 0):
            weights |= {"afar": share * s.afar_weight, "meaning": share * s.meaning_weight}
            distances["afar"], distances["meaning"] = self.perceptual.from_afar(original, decoded)
        for name, distance in distances.items():
            parts[name] = distance.detach().mean()
            each = self._counted(distance)
            each = each if realism is None else each * realism[: len(distance)]
            # As if the samples that are left out had a loss of 0.
            loss = loss + weights[name] * each.mean() * (seen / len(x))
        return Judged(loss, parts, perceived)

    def _counted(self, each: Tensor) -> Tensor:
        return each.clamp_min(_LEAST).log() if self.settings.logarithms else each
