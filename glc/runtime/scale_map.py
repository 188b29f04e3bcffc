"""The integer function of ``glc.networks.scale_map`` with numpy: the same integers, exactly.

Knows nothing of ONNX; here because the graphs are floats and this selects probability tables.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from glc.config import QUALITY_MAX, CodecConfig
from glc.errors import WeightsError

__all__ = ["ScaleMap"]

Reals = NDArray[np.floating]
"""Integers held by floats: see ``ScaleMap``."""

_SCALE_ROWS = 64
_HIDDEN_MAX = 127
_ROW_UNIT = 512
_MAGNITUDE_MAX = 3
_INT8, _INT24 = 127, 1 << 23


class ScaleMap:
    """Rows of the scale table from z digits, quality and decoded symbols. Exact.

    Integers are held by float32 if no sum of these weights can reach 2^24, else by float64, which
    is exact below 2^53; in both, sums come out the same in any order. Shapes: digits (B, D, h, w),
    symbols (B, C, 4h, 4w) -> rows (B, C, 4h, 4w).

    Attributes:
        kind: the type that holds the integers.
    """

    def __init__(
        self, config: CodecConfig, steps: int, tensors: Mapping[str, NDArray[np.generic]]
    ) -> None:
        """Check and keep the integers.

        Args:
            config: of the model.
            steps: coding steps.
            tensors: those of a weights file below ``scale_map.``, without that prefix.

        Raises:
            WeightsError: a tensor is missing, unknown, of another shape, or out of range.
        """
        channels, hidden = config.y_channels, config.scale_hidden
        shapes: dict[str, tuple[tuple[int, ...], int]] = {
            "hidden_weight": ((hidden, len(config.hyper_levels)), _INT8),
            "hidden_bias": ((hidden,), _INT24),
            "weight": ((16 * channels, 9 * hidden), _INT8),
            "bias": ((config.quality_anchors, channels), _INT24),
            "context_hidden_weight": ((steps - 1, 2 * hidden, 9 * channels), _INT8),
            "context_hidden_bias": ((steps - 1, 2 * hidden), _INT24),
            "context_weight": ((steps - 1, channels, 2 * hidden), _INT8),
        }
        unknown = sorted(set(tensors) - set(shapes))
        if unknown:
            raise WeightsError(f"weights: unexpected tensors: scale_map.{unknown[0]}")
        found = {name: _checked(name, tensors.get(name), *rule) for name, rule in shapes.items()}
        self.kind = np.float32 if _largest_sum(config, found) < 1 << 24 else np.float64
        found = {name: array.astype(self.kind) for name, array in found.items()}
        self._hidden_weight, self._hidden_bias = found["hidden_weight"], found["hidden_bias"]
        self._bias, self._context_weight = found["bias"], found["context_weight"]
        self._context_hidden_bias = found["context_hidden_bias"]
        self._weight = _by_offset(found["weight"])
        self._context_hidden_weight = _by_offset(found["context_hidden_weight"])

    def base(self, digits: Reals, quality: int) -> Reals:
        """Return what z and quality alone say, in units of 1/512 row: (B, C, 4h, 4w)."""
        batch, _, height, width = digits.shape
        hidden = np.einsum("bdyx,hd->bhyx", digits.astype(self.kind), self._hidden_weight)
        hidden = np.clip(hidden + self._hidden_bias[:, None, None], 0, _HIDDEN_MAX)
        total = _conv3x3(hidden, self._weight)
        cells = total.reshape(batch, -1, 4, 4, height, width).transpose(0, 1, 4, 2, 5, 3)
        total = cells.reshape(batch, -1, 4 * height, 4 * width)
        found: Reals = total + self._quality_bias(quality)[:, None, None]
        return found

    def context(self, symbols: Reals | NDArray[np.integer], step: int) -> Reals:
        """Return what the decoded symbols add before step ``step`` >= 1, in the same units."""
        magnitude = np.minimum(np.abs(symbols.astype(self.kind)), _MAGNITUDE_MAX)
        hidden = _conv3x3(magnitude, self._context_hidden_weight[:, step - 1])
        hidden += self._context_hidden_bias[step - 1][:, None, None]
        np.clip(hidden, 0, _HIDDEN_MAX, out=hidden)
        batch, _, height, width = hidden.shape
        flat = hidden.reshape(batch, -1, height * width)
        added: Reals = (self._context_weight[step - 1] @ flat).reshape(batch, -1, height, width)
        return added

    @staticmethod
    def to_rows(total: Reals) -> NDArray[np.uint8]:
        """Round 1/512 rows to rows in [0, 63], half up."""
        rows = np.floor((total + _ROW_UNIT // 2) / _ROW_UNIT)
        return np.clip(rows, 0, _SCALE_ROWS - 1).astype(np.uint8)

    def _quality_bias(self, quality: int) -> Reals:
        """Interpolate integer biases per anchor: floor of the exact value."""
        span = QUALITY_MAX // (len(self._bias) - 1)
        lower = min(quality // span, len(self._bias) - 2)
        part = quality - lower * span
        below, above = self._bias[lower].astype(np.int64), self._bias[lower + 1].astype(np.int64)
        floored: Reals = ((below * (span - part) + above * part) // span).astype(self.kind)
        return floored


def _checked(
    name: str, array: NDArray[np.generic] | None, shape: tuple[int, ...], limit: int
) -> Reals:
    if array is None or array.shape != shape or array.dtype.kind != "i":
        found = "nothing" if array is None else f"{array.dtype} {tuple(array.shape)}"
        raise WeightsError(
            f"weights: scale_map.{name}: expected shape {shape} of integers, found {found}"
        )
    if np.abs(array.astype(np.int64)).max() > limit:
        raise WeightsError(f"weights: scale_map.{name} holds integers that are out of range")
    return array.astype(np.float64)


def _largest_sum(config: CodecConfig, integers: Mapping[str, Reals]) -> float:
    """Return a bound of every partial sum, in units of 1/512 row for the last of them."""

    def reach(weight: str, largest: int) -> float:
        return largest * float(np.abs(integers[weight]).sum(axis=-1).max(initial=0.0))

    def bias(name: str) -> float:
        return float(np.abs(integers[name]).max())

    digit = max(config.hyper_levels) - 1
    hidden = reach("hidden_weight", digit) + bias("hidden_bias")
    context = reach("context_hidden_weight", _MAGNITUDE_MAX) + bias("context_hidden_bias")
    rows = reach("weight", _HIDDEN_MAX) + reach("context_weight", _HIDDEN_MAX) + bias("bias")
    return max(hidden, context, rows + _ROW_UNIT)


def _by_offset(weight: Reals) -> Reals:
    """(..., N, 9 C), ordered channel, row, column -> (9, ..., N, C)."""
    nine = weight.reshape(*weight.shape[:-1], -1, 9)
    return np.ascontiguousarray(np.moveaxis(nine, -1, 0))


def _conv3x3(x: Reals, weight: Reals) -> Reals:
    """3x3 convolution with zero padding as nine matrix products, one per offset.

    Integers do not mind the order in which a sum is taken. x (B, C, h, w), weight (9, N, C) ->
    (B, N, h, w).
    """
    batch, channels, height, width = x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    total = np.zeros((batch, weight.shape[1], height * width), x.dtype)
    for offset in range(9):
        row, column = divmod(offset, 3)
        shifted = padded[:, :, row : row + height, column : column + width]
        total += weight[offset] @ shifted.reshape(batch, channels, height * width)
    return total.reshape(batch, -1, height, width)
