"""A network of random weights in place of SqueezeNet's, which are not part of the repository."""

from __future__ import annotations

import torch

from glc.effort.perception import Perception


def random_network() -> Perception:
    generator = torch.Generator().manual_seed(3)
    network = Perception()
    for parameter in network.parameters():
        fan_in = max(1, parameter[0].numel()) if parameter.ndim > 1 else 1
        size = (2.0 / fan_in) ** 0.5 if parameter.ndim > 1 else 0.02
        drawn = torch.randn(parameter.shape, generator=generator) * size
        parameter.data = drawn if parameter.ndim > 1 else drawn.abs()
    return network.eval().requires_grad_(False)
