"""The Gaussian bottleneck of phase 1 in arrays: what some models' D was shown in the place of l.

The layers are those of ``glc.networks.codebook.GaussianBottleneck``; coded files do without.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

__all__ = ["Bottleneck"]

_Floats = NDArray[np.float32]


class Bottleneck:
    """Two 1x1 convolutions.

    Args:
        layers: as ``Checkpoint.bottleneck`` has them, checked.
    """

    def __init__(self, layers: Mapping[str, NDArray[np.generic]]) -> None:
        channels = len(layers["expand.bias"])
        # The other half of the first layer says the variance.
        self._mean = _layer(layers, "moments", channels)
        self._expand = _layer(layers, "expand", channels)

    def clean(self, l: _Floats) -> _Floats:
        """Return what D sees of l without noise: (B, C, h, w) -> same."""
        return self.expand(_apply(self._mean, l))

    def expand(self, z: _Floats) -> _Floats:
        """Return what D sees of a sample: (B, C, h, w) -> same."""
        return _apply(self._expand, z)


def _layer(
    layers: Mapping[str, NDArray[np.generic]], name: str, leaving: int
) -> tuple[_Floats, _Floats]:
    weight = layers[f"{name}.weight"][:leaving, :, 0, 0].astype(np.float32)
    return weight, layers[f"{name}.bias"][:leaving, None].astype(np.float32)


def _apply(layer: tuple[_Floats, _Floats], x: _Floats) -> _Floats:
    weight, bias = layer
    batch, _, height, width = x.shape
    # Numbers near 0 may vanish, whatever a program has numpy do about it.
    with np.errstate(all="ignore"):
        y = weight @ x.reshape(batch, -1, height * width) + bias
    found: _Floats = y.reshape(batch, -1, height, width)
    return found
