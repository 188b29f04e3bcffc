"""The blocks of ``glc.networks.blocks`` as pieces of an ONNX graph.

Written for speed where that changes nothing but rounding: linear shortcuts are added into the
weights beside them, and space to channel followed by 1x1 is one convolution with a stride.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np
from numpy.typing import NDArray

from glc.errors import WeightsError
from glc.onnx.proto import Graph

__all__ = ["Layers", "Weights"]

Floats = NDArray[np.floating]


class Weights:
    """The float tensors of a weights file, each to be taken with the shape that is expected."""

    def __init__(self, tensors: Mapping[str, NDArray[np.generic]]) -> None:
        self._tensors = tensors
        self.taken: set[str] = set()

    def take(self, name: str, *shape: int) -> Floats:
        """Return a tensor.

        Raises:
            WeightsError: it is missing, or of another shape or type.
        """
        array = self._tensors.get(name)
        if array is None or array.shape != shape or array.dtype.kind != "f":
            found = "nothing" if array is None else f"{array.dtype} {tuple(array.shape)}"
            raise WeightsError(f"weights: {name}: expected shape {shape} of floats, found {found}")
        self.taken.add(name)
        return cast(Floats, array)


class Layers:
    """Adds layers to a graph; ``name`` is a prefix of tensor names, values are (B, C, h, w)."""

    def __init__(self, graph: Graph, weights: Weights) -> None:
        self.graph, self.weights = graph, weights

    def conv(self, x: str, name: str, entering: int, leaving: int, size: int = 1) -> str:
        """Convolve with zero padding, keeping height and width."""
        weight = self.weights.take(f"{name}.weight", leaving, entering, size, size)
        return self._conv(x, weight, self.weights.take(f"{name}.bias", leaving), size // 2)

    def halves(self, x: str, name: str, entering: int, leaving: int) -> tuple[str, str]:
        """A 1x1 convolution to 2 ``leaving`` channels as two, so that nothing is cut afterwards."""
        weight = self.weights.take(f"{name}.weight", 2 * leaving, entering, 1, 1)
        bias = self.weights.take(f"{name}.bias", 2 * leaving)
        first = self._conv(x, weight[:leaving], bias[:leaving])
        return first, self._conv(x, weight[leaving:], bias[leaving:])

    def depthwise_block(self, x: str, name: str, channels: int) -> str:
        """``DepthwiseBlock``."""
        weight = self.weights.take(f"{name}.spatial.weight", channels, 1, 3, 3)
        bias = self.weights.take(f"{name}.spatial.bias", channels)
        spatial = self._conv(x, weight, bias, 1, groups=channels)
        value, gate = self.halves(spatial, f"{name}.expand", channels, channels)
        gated = self.graph.node("Mul", value, self.silu(gate))
        return self.graph.node("Add", x, self.conv(gated, f"{name}.project", channels, channels))

    def depthwise_blocks(self, x: str, name: str, channels: int, depth: int) -> str:
        """A sequence of ``depth`` depthwise blocks."""
        for index in range(depth):
            x = self.depthwise_block(x, f"{name}.{index}", channels)
        return x

    def plain_blocks(self, x: str, name: str, channels: int, depth: int) -> str:
        """A sequence of ``depth`` plain blocks."""
        for index in range(depth):
            reduced = self.conv(x, f"{name}.{index}.reduce", channels, channels // 2, 3)
            project = f"{name}.{index}.project"
            changed = self.conv(self.silu(reduced), project, channels // 2, channels, 3)
            x = self.graph.node("Add", x, changed)
        return x

    def downsample(self, x: str, name: str, entering: int, leaving: int) -> str:
        """``Downsample`` as one 2x2 convolution of stride 2, the mean of the shortcut included."""
        weight = self.weights.take(f"{name}.mix.weight", leaving, 4 * entering, 1, 1)
        bias = self.weights.take(f"{name}.mix.bias", leaving)
        if 4 * entering % leaving == 0:
            group = 4 * entering // leaving
            shortcut = np.repeat(np.eye(leaving, dtype=np.float32), group, axis=1) / group
            weight = weight.astype(np.float32) + shortcut[:, :, None, None]
        return self._conv(x, weight.reshape(leaving, entering, 2, 2), bias, stride=2)

    def upsample(self, x: str, name: str, entering: int, leaving: int) -> str:
        """``Upsample``, the means and repetitions of the shortcut inside the 1x1."""
        weight = self.weights.take(f"{name}.mix.weight", 4 * leaving, entering, 1, 1)
        bias = self.weights.take(f"{name}.mix.bias", 4 * leaving)
        if entering % leaving == 0:
            group = entering // leaving
            cell = np.full((4, group), 1 / group, np.float32)
            shortcut = np.kron(np.eye(leaving, dtype=np.float32), cell)
            weight = weight.astype(np.float32) + shortcut[:, :, None, None]
        return self.shuffle(self._conv(x, weight, bias), 2)

    def shuffle(self, x: str, factor: int) -> str:
        """Pixel shuffle: (B, C factor^2, h, w) -> (B, C, h factor, w factor)."""
        return self.graph.node("DepthToSpace", x, blocksize=factor, mode="CRD")

    def silu(self, x: str) -> str:
        """``x * sigmoid(x)``."""
        return self.graph.node("Mul", x, self.graph.node("Sigmoid", x))

    def _conv(
        self,
        x: str,
        weight: Floats,
        bias: Floats,
        padding: int = 0,
        stride: int = 1,
        groups: int = 1,
    ) -> str:
        graph = self.graph
        return graph.node(
            "Conv",
            x,
            graph.constant(weight),
            graph.constant(bias),
            kernel_shape=list(weight.shape[2:]),
            pads=[padding] * 4,
            strides=[stride] * 2,
            group=groups,
        )
