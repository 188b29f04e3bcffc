"""Make a part of a model's qualities all of them: the start of a model for some rates alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from glc.config import QUALITY_MAX
from glc.networks.scale_map import ScaleMap
from glc.networks.transforms import QualityGain, interpolate_anchors


def take_qualities(model: nn.Module, log_weight: Tensor, qualities: Sequence[float]) -> Tensor:
    """Turn some qualities of a model into its qualities 0 to 100.

    Everything that depends on the quality is a row per anchor, linear between two of them. The new
    rows are those that the old ones give at the qualities in question, so at the new anchors the
    model is the same function as before; between them it may differ a little, since the old anchors
    lay elsewhere.

    Args:
        model: changed in place; every ``QualityGain`` and ``ScaleMap`` in it.
        log_weight: (K,) logarithm of the rate weight at each anchor.
        qualities: rising, 0 to 100: what becomes each of the K anchors; or of the first and the
            last one alone, and those between lie evenly.

    Returns:
        (K,): the logarithm of the rate weight at the new anchors.

    Raises:
        ValueError: neither two qualities nor K of them, or not in rising order.

    Example:
        >>> from glc.networks.transforms import QualityGain
        >>> gain = QualityGain(1, 6, 1.0, 16.0)
        >>> take_qualities(gain, torch.zeros(6), (50, 100)).shape
        torch.Size([6])
        >>> round(gain(torch.tensor([0])).item(), 3)
        4.0
    """
    anchors = len(log_weight)
    if len(qualities) not in (2, anchors):
        raise ValueError(
            f"--init-qualities: expected 2 or {anchors} qualities, found {len(qualities)}"
        )
    rising = all(low < high for low, high in pairwise(qualities))
    if not rising or qualities[0] < 0 or qualities[-1] > QUALITY_MAX:
        raise ValueError(f"--init-qualities: expected rising ones of 0 to 100, found {qualities}")
    wanted = torch.tensor(qualities, dtype=torch.float32, device=log_weight.device)
    if len(qualities) == 2:
        wanted = torch.linspace(qualities[0], qualities[1], anchors, device=log_weight.device)
    with torch.no_grad():
        for part in model.modules():
            if isinstance(part, QualityGain):
                part.log_gain.copy_(interpolate_anchors(part.log_gain, wanted))
            elif isinstance(part, ScaleMap):
                part.bias.copy_(interpolate_anchors(part.bias, wanted))
    return interpolate_anchors(log_weight[:, None], wanted)[:, 0]
