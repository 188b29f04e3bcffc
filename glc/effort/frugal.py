"""Rounding that counts bits: a symbol is made smaller where that saves more than it costs.

Knows nothing of networks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glc.entropy import ScaleTables
from glc.pipeline import to_symbols
from glc.runtime.protocol import Floats

__all__ = ["Frugal"]


class Frugal:
    """Rate-distortion optimised quantisation, greedy: each symbol for itself, in coding order.

    Of what the model rounds to and the next integer towards zero that is taken which has the lower
    (residual - symbol)^2 + weight * bits. The bits are those of the tables that code the symbol;
    what it changes of later means, steps and rows is left out.

    Args:
        scales: tables of the symbols.
        weights: (B,), one per picture, of a bit against the square of a quantisation step; >= 0.
        threshold: of the rounding, as ``CodecConfig.rounding`` has it.
    """

    def __init__(
        self, scales: ScaleTables, weights: NDArray[np.float64], threshold: float = 0.5
    ) -> None:
        self._scales, self._weights, self._threshold = scales, weights, threshold

    def __call__(self, residual: Floats, rows: NDArray[np.uint8]) -> Floats:
        """Round (B, C, h, w) residuals; see ``glc.pipeline.Quantiser``."""
        symbols = to_symbols(residual, self._threshold)
        # Few are not zero, and nothing is smaller than zero.
        where = (symbols != 0) & (rows > 0)
        rounded, tables, exact = symbols[where], rows[where], residual[where].astype(np.float64)
        smaller = rounded - np.sign(rounded)
        weights = np.broadcast_to(self._weights[:, None, None, None], symbols.shape)[where]

        def cost(values: Floats) -> NDArray[np.float64]:
            bits = self._scales.bits(values.astype(np.int32), tables)
            total: NDArray[np.float64] = np.square(exact - values) + weights * bits
            return total

        symbols[where] = np.where(cost(smaller) < cost(rounded), smaller, rounded)
        return symbols
