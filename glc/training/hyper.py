"""Keeps the categorical hyper-latent in use: a start that spreads it, and a reward for staying so.

Nothing else does: an index of z costs the same whatever it says, and before the entropy model has
learned to listen, saying the same everywhere is as good as anything. docs/decisions.md, section 14.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from glc.networks.hyperprior import HyperAnalysis, HyperCodebook

_TEMPERATURE = 0.3
"""Of the soft assignment, in squared distances between neighbouring levels."""
_SPREAD = 0.8
"""Standard deviation of each digit before its tanh: all four levels are then about as frequent."""


def soft_indices(z: Tensor, codebook: HyperCodebook) -> Tensor:
    """Return the share of every index in every position.

    Args:
        z: (B, D, h, w), as h_a gives it; gradients flow.
        codebook: of the model.

    Returns:
        (B * h * w, hyper_size) float32; rows sum to 1, columns are in the order of the indices.
    """
    joint = z.new_ones((z.shape[0] * z.shape[2] * z.shape[3], 1), dtype=torch.float32)
    for digit, levels in enumerate(codebook.levels):
        centres = torch.arange(levels, device=z.device) - (levels - 1) / 2.0
        place = codebook.bound(z[:, digit].float(), levels).flatten()
        share = (-(place[:, None] - centres).square() / _TEMPERATURE).softmax(dim=1)
        # Digit 0 is the least significant one: later digits are the slower axis.
        joint = (share[:, :, None] * joint[:, None, :]).flatten(1)
    return joint


def information(z: Tensor, codebook: HyperCodebook) -> Tensor:
    """Return how much the soft indices of a batch say about their position, in nats.

    Mutual information of position and index: entropy of the mean assignment less the mean entropy
    (the usage reward of arXiv 2310.05737, section 3.1). It is at most log(positions).

    Args:
        z: (B, D, h, w), as h_a gives it; gradients flow.
        codebook: of the model.

    Returns:
        Scalar, float32.
    """
    share = soft_indices(z, codebook)
    return _entropy(share.mean(dim=0)) - _entropy(share).mean()


def _entropy(share: Tensor) -> Tensor:
    return -(share * share.clamp_min(1e-12).log()).sum(dim=-1)


def missing_information(z: Tensor, codebook: HyperCodebook) -> Tensor:
    """Return how far ``information`` is below what this batch could say; scalar, nats, >= 0."""
    positions = z.shape[0] * z.shape[2] * z.shape[3]
    most = math.log(min(positions, math.prod(codebook.levels)))
    return most - information(z, codebook)


@torch.no_grad()
def spread(analysis: HyperAnalysis, y: Tensor) -> None:
    """Set the head of h_a so that the digits of these latents are spread and uncorrelated.

    The head becomes the strongest principal directions of its inputs, scaled to equal variance:
    an initialisation from data (arXiv 1602.07868, section 3) that also revives a dead z.

    Args:
        analysis: h_a; its head is overwritten.
        y: (B, C_y, 4h, 4w) latents with at least twice as many positions of z as channels.
    """
    features = analysis.features(y).movedim(1, -1).flatten(0, -2).cpu().double()
    mean = features.mean(dim=0)
    _, strength, directions = torch.linalg.svd(features - mean, full_matrices=False)
    digits = analysis.head.out_channels
    deviation = (strength[:digits] / math.sqrt(len(features))).clamp_min(1e-6)
    weight = directions[:digits] * (_SPREAD / deviation).unsqueeze(1)
    analysis.head.weight.copy_(weight[:, :, None, None])
    if analysis.head.bias is not None:
        analysis.head.bias.copy_(-(weight @ mean))
