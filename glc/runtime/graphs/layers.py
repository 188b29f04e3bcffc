"""The blocks of ``glc.networks.blocks`` as pieces of an ONNX graph.

Written for speed where that changes nothing but rounding: linear shortcuts are added into the
weights beside them, and space to channel followed by 1x1 is one convolution with a stride.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from glc.errors import WeightsError
from glc.runtime.graphs.proto import Graph

__all__ = ["Layers", "Weights"]

Floats = NDArray[np.floating]

_WEIGHT_MAX = 63
"""7 bits: two products of uint8 by such weights fit into the 16 bits in which processors without
VNNI add them up, so that all give the same sums."""

_STEP_MIN = 1e-12
_BIAS_MAX = (1 << 30) - 1
"""Leaves as much again for the sum of products."""


class _Levels(NamedTuple):
    """A quantised value, and the constants that say what its levels mean."""

    name: str
    step: str
    zero: str
    step_value: float


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

    def channels(self, x: str, start: int, stop: int) -> str:
        """Take some of the channels."""
        limits = (np.array([value], np.int64) for value in (start, stop, 1))
        return self.graph.node("Slice", x, *(self.graph.constant(limit) for limit in limits))

    def linear_analysis(self, cells: str, name: str, channels: int) -> str:
        """``LinearAnalysis``, as one convolution of stride 4 on cells of 4 x 4 pixels."""
        weight = self.weights.take(f"{name}.conv.weight", channels, 768, 3, 3)
        bias = self.weights.take(f"{name}.conv.bias", channels)
        kernels = weight.reshape(channels, 48, 4, 4, 3, 3).transpose(0, 1, 4, 2, 5, 3)
        padded = self._repeat_border(cells, 4)
        return self._conv(padded, kernels.reshape(channels, 48, 12, 12), bias, stride=4)

    def linear_synthesis(self, l: str, name: str, channels: int) -> str:
        """``LinearSynthesis``."""
        weight = self.weights.take(f"{name}.conv.weight", 768, channels, 3, 3)
        bias = self.weights.take(f"{name}.conv.bias", 768)
        return self.shuffle(self._conv(self._repeat_border(l, 1), weight, bias), 16)

    def means(self, l: str, name: str, channels: int) -> str:
        """The mean colours of ``RealisticDecoder.coarse``."""
        weight = self.weights.take(f"{name}.weight", 3, channels, 3, 3)
        bias = self.weights.take(f"{name}.bias", 3)
        return self._conv(self._repeat_border(l, 1), weight, bias)

    def with_means(self, x: str, means: str, name: str) -> str:
        """Shift a picture towards mean colours, as ``RealisticDecoder.fine`` does."""
        own = self.graph.node("AveragePool", x, kernel_shape=[16, 16], strides=[16, 16])
        missing = self.graph.node("Sub", means, own)
        return self.graph.node("Add", x, self.linear_synthesis(missing, name, 3))

    def _repeat_border(self, x: str, positions: int) -> str:
        pads = np.array([0, 0, positions, positions] * 2, np.int64)
        return self.graph.node("Pad", x, self.graph.constant(pads), mode="edge")

    def scale(self, name: str, channels: int) -> str:
        """A factor per channel, as a constant that is ready to multiply by."""
        factors = self.weights.take(name, channels).reshape(1, channels, 1, 1)
        return self.graph.constant(factors)

    def realism_gains(self, name: str, channels: int, depth: int, realism: str) -> list[str]:
        """The gains of ``depth`` blocks, each ``RealismGain``."""
        gains = []
        for index in range(depth):
            anchors = self.weights.take(f"{name}.{index}.anchors", 2, channels).astype(np.float32)
            faithful, change = anchors[:1], anchors[1:] - anchors[:1]
            first, second = (
                self.graph.constant(values.reshape(1, channels, 1, 1))
                for values in (faithful, change)
            )
            gains.append(self.graph.node("Add", first, self.graph.node("Mul", realism, second)))
        return gains

    def depthwise_block(self, x: str, name: str, channels: int, gain: str | None = None) -> str:
        """``DepthwiseBlock``."""
        weight = self.weights.take(f"{name}.spatial.weight", channels, 1, 3, 3)
        bias = self.weights.take(f"{name}.spatial.bias", channels)
        spatial = self._conv(x, weight, bias, 1, groups=channels)
        value, gate = self.halves(spatial, f"{name}.expand", channels, channels)
        gated = self._times(self.graph.node("Mul", value, self.silu(gate)), gain)
        return self.graph.node("Add", x, self.conv(gated, f"{name}.project", channels, channels))

    def _times(self, x: str, gain: str | None) -> str:
        return x if gain is None else self.graph.node("Mul", x, gain)

    def depthwise_blocks(
        self,
        x: str,
        name: str,
        channels: int,
        depth: int,
        ranges: Floats | None = None,
        gains: Sequence[str] | None = None,
        bound: float | None = None,
    ) -> str:
        """A sequence of ``depth`` depthwise blocks; their 1x1 in 8 bits if ranges are given.

        ``ranges`` are as ``glc.weights.checkpoint.Checkpoint`` has them, ``gains`` from
        ``realism_gains``; ``bound`` limits what each block hands on.
        """
        for index in range(depth):
            block, gain = f"{name}.{index}", gains[index] if gains else None
            if ranges is None:
                x = self.depthwise_block(x, block, channels, gain)
            else:
                x = self._depthwise_block_int8(x, block, channels, ranges[index], gain)
            if bound is not None:
                x = self.limited(x, bound)
        return x

    def limited(self, x: str, bound: float) -> str:
        """Cut values beyond ``bound``, on either side."""
        return self.graph.node("Clip", x, self.graph.scalar(-bound), self.graph.scalar(bound))

    def _depthwise_block_int8(
        self, x: str, name: str, channels: int, ranges: Floats, gain: str | None
    ) -> str:
        spread, of_value, of_gate, of_gated, behind = ranges
        weight = self.weights.take(f"{name}.spatial.weight", channels, 1, 3, 3)
        bias = self.weights.take(f"{name}.spatial.bias", channels)
        given = self._quantize(self._conv(x, weight, bias, 1, groups=channels), spread)
        weight = self.weights.take(f"{name}.expand.weight", 2 * channels, channels, 1, 1)
        bias = self.weights.take(f"{name}.expand.bias", 2 * channels)
        value = self._conv_int8(given, weight[:channels], bias[:channels], of_value)
        gate = self._conv_int8(given, weight[channels:], bias[channels:], of_gate)
        product = self._times(self.graph.node("Mul", value, self.silu(gate)), gain)
        gated = self._quantize(product, of_gated)
        weight = self.weights.take(f"{name}.project.weight", channels, channels, 1, 1)
        bias = self.weights.take(f"{name}.project.bias", channels)
        return self.graph.node("Add", x, self._conv_int8(gated, weight, bias, behind))

    def plain_blocks(
        self,
        x: str,
        name: str,
        channels: int,
        depth: int,
        ranges: Floats | None = None,
        gains: Sequence[str] | None = None,
    ) -> str:
        """A sequence of ``depth`` plain blocks; in 8 bits if ranges are given.

        ``ranges`` are as ``glc.weights.checkpoint.Checkpoint`` has them, ``gains`` from
        ``realism_gains``.
        """
        for index in range(depth):
            block, gain = f"{name}.{index}", gains[index] if gains else None
            if ranges is None:
                reduced = self.conv(x, f"{block}.reduce", channels, channels // 2, 3)
                project = f"{block}.project"
                active = self._times(self.silu(reduced), gain)
                changed = self.conv(active, project, channels // 2, channels, 3)
                x = self.graph.node("Add", x, changed)
            else:
                x = self._plain_block_int8(x, block, channels, ranges[index], gain)
        return x

    def _plain_block_int8(
        self, x: str, name: str, channels: int, ranges: Floats, gain: str | None
    ) -> str:
        before, between, active, behind = ranges
        weight = self.weights.take(f"{name}.reduce.weight", channels // 2, channels, 3, 3)
        bias = self.weights.take(f"{name}.reduce.bias", channels // 2)
        reduced = self._conv_int8(self._quantize(x, before), weight, bias, between)
        weight = self.weights.take(f"{name}.project.weight", channels, channels // 2, 3, 3)
        bias = self.weights.take(f"{name}.project.bias", channels)
        given = self._quantize(self._times(self.silu(reduced), gain), active)
        return self.graph.node("Add", x, self._conv_int8(given, weight, bias, behind))

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

    def _quantize(self, x: str, limits: Floats) -> _Levels:
        """Turn floats into 255 levels from lowest to highest; what is beyond becomes those."""
        step, zero = _step_and_zero(limits)
        names = self.graph.constant(step), self.graph.constant(zero)
        return _Levels(self.graph.node("QuantizeLinear", x, *names), *names, float(step))

    def _conv_int8(self, x: _Levels, weight: Floats, bias: Floats, limits: Floats) -> str:
        """Convolve uint8 by int8, keeping height and width; floats within ``limits`` come out.

        Weights have a step for every output channel.
        """
        graph = self.graph
        weight, bias = weight.astype(np.float64), bias.astype(np.float64)
        leaving, _, size, _ = weight.shape
        largest = np.abs(weight).reshape(leaving, -1).max(axis=1)
        # Where all weights are 0, or nearly, the step is as large as the bias needs it.
        smallest = np.maximum(np.abs(bias) / (x.step_value * _BIAS_MAX), _STEP_MIN)
        steps = np.maximum(largest / _WEIGHT_MAX, smallest).astype(np.float32)
        levels = np.clip(np.rint(weight / steps[:, None, None, None]), -_WEIGHT_MAX, _WEIGHT_MAX)
        offsets = np.clip(np.rint(bias / (x.step_value * steps)), -_BIAS_MAX, _BIAS_MAX)
        step, zero = (graph.constant(value) for value in _step_and_zero(limits))
        y = graph.node(
            "QLinearConv",
            *(x.name, x.step, x.zero),
            *(graph.constant(levels.astype(np.int8)), graph.constant(steps)),
            graph.constant(np.zeros(leaving, np.int8)),
            *(step, zero),
            graph.constant(offsets.astype(np.int32)),
            kernel_shape=[size] * 2,
            pads=[size // 2] * 4,
            strides=[1] * 2,
            group=1,
        )
        return graph.node("DequantizeLinear", y, step, zero)

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


def _step_and_zero(limits: Floats) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return step and zero point of uint8 values for a range from lowest to highest."""
    step = np.float32((float(limits[1]) - float(limits[0])) / 255)
    return np.array(step), np.array(np.clip(np.rint(-limits[0] / step), 0, 255), np.uint8)
