"""One row of integer frequencies as an exact model of the range coder.

Knows nothing of what the symbols mean.
"""

from __future__ import annotations

from typing import Any

import constriction
import numpy as np

from glc.entropy.arrays import Int32Array, frozen_int32
from glc.errors import WeightsError

PRECISION = 16
"""Frequencies of a row sum to ``2**PRECISION``."""

TOTAL = 1 << PRECISION

# The coder works with 24-bit probabilities: every frequency is scaled by this, without rounding.
_CODER_STEP = 1 << (24 - PRECISION)


class Categorical:
    """Probabilities ``frequencies / 2**16`` of the symbols 0 .. size - 1, exactly.

    constriction takes probabilities as floats. Its fast quantiser gives every one of the n
    symbols one unit of the 2**24, and shares the other 2**24 - n in proportion to the floats,
    rounding cumulative sums down. Weights ``256 * f - 1`` sum to exactly 2**24 - n, so that its
    scale factor is 1 and all of its arithmetic is on integers below 2**24, which float32
    represents: the model is ``256 * f`` out of 2**24 on every IEEE machine.

    A row with a single symbol costs nothing and never reaches the coder, which refuses it.
    """

    __slots__ = ("model", "size")

    def __init__(self, frequencies: object, name: str = "frequencies") -> None:
        """Build the model; ``name`` is how an error calls it.

        Args:
            frequencies: (size,) integers, each >= 1, sum 2**16; so size is in 1 .. 2**16.
            name: subject of the error message.

        Raises:
            WeightsError: the frequencies break one of these rules.
        """
        row: Int32Array = frozen_int32(frequencies, name, ndim=1)
        if row.size == 0 or int(row.min()) < 1:
            raise WeightsError(
                f"{name}: expected frequencies >= 1, found "
                f"{int(row.min()) if row.size else 'none'}; reinstall the model"
            )
        total = int(row.sum(dtype=np.int64))
        if total != TOTAL:
            raise WeightsError(
                f"{name}: expected frequencies that sum to {TOTAL}, found {total}; "
                "reinstall the model"
            )
        self.size: int = row.size
        self.model: Any = None
        if row.size > 1:
            weights = (row * _CODER_STEP - 1).astype(np.float32)
            self.model = constriction.stream.model.Categorical(weights, perfect=False)
