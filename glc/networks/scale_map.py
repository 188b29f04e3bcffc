"""The integer function that selects the probability table of every symbol.

One INT8 map from the hyper-latent to rows of a log-spaced table, with a bias per quality (PULSE,
arXiv 2609.18602, section 3), extended here: later coding steps also read the magnitudes of the
symbols already decoded, which are integers too. Each of the two branches has one hidden layer.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from glc.config import QUALITY_MAX, CodecConfig
from glc.networks.quantize import clamp_through, round_through

SCALE_ROWS = 64
"""Rows of the scale table; row 0 means that nothing is coded."""

_HIDDEN_MAX = 127
_HIDDEN_UNIT = 16
_WEIGHT_UNIT = 32
_ROW_UNIT = _HIDDEN_UNIT * _WEIGHT_UNIT
_MAGNITUDE_MAX = 3
_STRIP_ELEMENTS = 1 << 23


class ScaleMap(nn.Module):
    """Rows of the scale table from z digits, quality and decoded symbols. Exact.

    Parameters are kept in real units and rounded to integers wherever they are used: hidden
    weights to 1/16 within INT8, output weights to 1/32 within INT8, biases to 1/16 and 1/512.
    Activations are integers in [0, 127], symbols enter as min(|symbol|, 3). With ``hidden`` H and
    C channels every partial sum stays below 127 * 127 * (9 H + H) + 2^24 < 2^53, so float64
    arithmetic is exact in any order, on any device, with any number of threads; in training,
    float32 holds the same integers below 2^24.

    Shapes: digits (B, D, h, w), symbols (B, C, 4h, 4w) -> rows (B, C, 4h, 4w). About 0.8 kMAC per
    pixel in both presets.
    """

    def __init__(self, config: CodecConfig, steps: int) -> None:
        super().__init__()
        channels, hidden = config.y_channels, config.scale_hidden
        digits = len(config.hyper_levels)
        self.channels = channels
        self.hidden_weight = nn.Parameter(torch.randn(hidden, digits) * 0.3)
        self.hidden_bias = nn.Parameter(torch.rand(hidden))
        self.weight = nn.Parameter(torch.randn(16 * channels, 9 * hidden) * 0.02)
        start = torch.linspace(14.0, 26.0, config.quality_anchors).unsqueeze(1)
        self.bias = nn.Parameter(start.repeat(1, channels))
        self.context_hidden_weight = nn.Parameter(
            torch.randn(steps - 1, 2 * hidden, 9 * channels) * 0.15
        )
        self.context_hidden_bias = nn.Parameter(torch.rand(steps - 1, 2 * hidden) * 0.5)
        self.context_weight = nn.Parameter(torch.zeros(steps - 1, channels, 2 * hidden))

    def integers(self) -> dict[str, Tensor]:
        """Return every parameter as the integers that are used, as float64 tensors."""
        with torch.no_grad():
            return {
                name: _to_integer(parameter.double(), *_UNITS[name])
                for name, parameter in self.named_parameters()
            }

    def load_integers(self, integers: dict[str, Tensor]) -> None:
        """Set the parameters to stored integers (the inverse of ``integers``)."""
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                parameter.copy_(integers[name].to(parameter) / _UNITS[name][0])

    def base(self, digits: Tensor, quality: Tensor, exact: bool = True) -> Tensor:
        """Return what z and quality alone say, in units of 1/512 row.

        Args:
            digits: (B, D, h, w) odd integers as floats.
            quality: (B,) int64 in [0, 100].
            exact: float64 without gradients when True, else float32 with straight-through
                gradients; both hold the same integers.

        Returns:
            (B, C, 4h, 4w) integers as floats.
        """
        digits = digits.to(torch.float64 if exact else torch.float32)
        batch, _, height, width = digits.shape
        hidden = torch.einsum("bdyx,hd->bhyx", digits, self._integer("hidden_weight", digits))
        hidden = hidden + self._integer("hidden_bias", digits).view(1, -1, 1, 1)
        hidden = clamp_through(hidden, 0.0, _HIDDEN_MAX)
        total = _conv3x3(hidden, self._integer("weight", digits))
        total = functional.pixel_shuffle(total, 4)
        return total + self._quality_bias(self._integer("bias", digits), quality)[:, :, None, None]

    def context(self, symbols: Tensor, step: int, exact: bool = True) -> Tensor:
        """Return what the decoded symbols add before step ``step`` >= 1, in units of 1/512 row.

        Args:
            symbols: (B, C, h, w) integers as floats; 0 where nothing is decoded yet.
            step: coding step about to be decoded.
            exact: as in ``base``.

        Returns:
            (B, C, h, w) integers as floats.
        """
        symbols = symbols.to(torch.float64 if exact else torch.float32)
        magnitude = symbols.abs().clamp_max(_MAGNITUDE_MAX)
        hidden = _conv3x3(magnitude, self._integer("context_hidden_weight", symbols)[step - 1])
        hidden = hidden + self._integer("context_hidden_bias", symbols)[step - 1].view(1, -1, 1, 1)
        hidden = clamp_through(hidden, 0.0, _HIDDEN_MAX)
        return torch.einsum(
            "bkyx,ck->bcyx", hidden, self._integer("context_weight", symbols)[step - 1]
        )

    def rows(self, base: Tensor, symbols: Tensor, step: int, exact: bool = True) -> Tensor:
        """Return the rows of ``step`` from what ``base`` gave and the symbols decoded so far.

        Shapes and types as in ``context``; in step 0 the symbols say nothing.
        """
        if step:
            base = base + self.context(symbols.to(base.device), step, exact)
        return self.to_rows(base)

    @staticmethod
    def to_rows(total: Tensor) -> Tensor:
        """Round 1/512 rows to rows in [0, 63], half up; gradients pass straight through."""
        real = total / _ROW_UNIT
        rows = ((total.detach() + _ROW_UNIT // 2) / _ROW_UNIT).floor()
        return clamp_through(real + (rows - real).detach(), 0.0, SCALE_ROWS - 1)

    def _integer(self, name: str, like: Tensor) -> Tensor:
        """Return one parameter as integers in the type and place of ``like``; float64 is exact."""
        parameter: Tensor = getattr(self, name)
        if like.dtype == torch.float64:
            # First the place: not every device has float64.
            parameter = parameter.detach().to(like.device)
        return _to_integer(parameter.to(like.dtype), *_UNITS[name])

    @staticmethod
    def _quality_bias(bias: Tensor, quality: Tensor) -> Tensor:
        """Interpolate integer biases per anchor in integer arithmetic: floor of the exact value."""
        span = QUALITY_MAX // (bias.shape[0] - 1)
        quality = quality.to(bias.device).long()
        lower = (quality // span).clamp_max(bias.shape[0] - 2)
        part = (quality - lower * span).to(bias.dtype).unsqueeze(1)
        weighted = bias[lower] * (span - part) + bias[lower + 1] * part
        whole = (weighted.detach().long() // span).to(bias.dtype)
        if bias.dtype == torch.float64:
            # Not by way of a quotient, which a compiler may round in ways of its own.
            return whole
        real = weighted / span
        return real + (whole - real).detach()


_INT8 = 127.0
_INT24 = float(1 << 23)
_UNITS: dict[str, tuple[int, float]] = {
    "hidden_weight": (_HIDDEN_UNIT, _INT8),
    "hidden_bias": (_HIDDEN_UNIT, _INT24),
    "weight": (_WEIGHT_UNIT, _INT8),
    "bias": (_ROW_UNIT, _INT24),
    "context_hidden_weight": (_HIDDEN_UNIT, _INT8),
    "context_hidden_bias": (_HIDDEN_UNIT, _INT24),
    "context_weight": (_WEIGHT_UNIT, _INT8),
}
"""Integer units per real unit, and the largest magnitude, of every parameter."""


def _to_integer(parameter: Tensor, unit: int, limit: float) -> Tensor:
    return round_through(clamp_through(parameter * unit, -limit, limit))


def _conv3x3(x: Tensor, weight: Tensor) -> Tensor:
    """3x3 convolution with zero padding as matrix products: no Winograd, no FFT, ever.

    Works in strips of rows, so that a large picture does not need nine copies of itself at once;
    integers do not mind how a sum is cut. x (B, C, h, w), weight (N, 9 C) ordered channel, row,
    column -> (B, N, h, w).
    """
    batch, channels, height, width = x.shape
    rows = max(1, _STRIP_ELEMENTS // (9 * batch * channels * width))
    padded = functional.pad(x, (1, 1, 1, 1))
    strips = []
    for top in range(0, height, rows):
        columns = functional.unfold(padded[:, :, top : top + rows + 2], 3)
        strips.append((weight @ columns).unflatten(2, (-1, width)))
    return strips[0] if len(strips) == 1 else torch.cat(strips, dim=2)
