"""IndexTables: integer tables for codebook indices, one row per bank.

Knows nothing of codebooks, nor of what a row stands for. See docs/format.md, section 8.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glc.entropy.apportion import apportion
from glc.entropy.arrays import (
    Int32Array,
    IntArray,
    checksum,
    entries,
    frozen_int32,
    message_integers,
)
from glc.entropy.categorical import PRECISION, Categorical
from glc.entropy.range_coder import RangeDecoder, RangeEncoder
from glc.errors import WeightsError


class IndexTables:
    """K rows of frequencies over the same N indices; a call codes with one of the rows."""

    def __init__(self, frequencies: object) -> None:
        """Check and keep the tables.

        Args:
            frequencies: (K, N) integers >= 1, K >= 1, N in 1 .. 2**16; each row sums to 2**16.

        Raises:
            WeightsError: the tables break one of these rules.
        """
        self.frequencies: Int32Array = frozen_int32(frequencies, "index tables", ndim=2)
        if len(self.frequencies) == 0:
            raise WeightsError("index tables: expected 1 row or more, found 0; reinstall the model")
        self._models = tuple(
            Categorical(row, f"index tables, row {number}")
            for number, row in enumerate(self.frequencies)
        )

    def __reduce__(self) -> tuple[type[IndexTables], tuple[Int32Array]]:
        # The coder's models cannot be pickled; worker processes build their own.
        return type(self), (self.frequencies,)

    def encode(self, encoder: RangeEncoder, indices: IntArray, row: int) -> None:
        """Append indices in the order given.

        Args:
            encoder: the stream.
            indices: (n,), integers in [0, N).
            row: in [0, K).

        Raises:
            TypeError, ValueError: arguments that break these rules; nothing is appended.
        """
        encoder.encode(self._checked_indices(indices), self._models[self._checked_row(row)])

    def decode(self, decoder: RangeDecoder, count: int, row: int) -> Int32Array:
        """Return the next ``count`` indices: (count,), int32.

        Args:
            decoder: the stream.
            count: >= 0.
            row: in [0, K), that they were written with.

        Raises:
            CorruptError: data that no encoder writes.
            ValueError: no such row, or a negative count.
        """
        return decoder.decode(self._models[self._checked_row(row)], count)

    def bits(self, indices: IntArray, row: int) -> NDArray[np.float64]:
        """Return what ``encode`` spends on each index, in bits: (n,), float64.

        Args:
            indices: (n,), integers in [0, N).
            row: in [0, K).

        Raises:
            TypeError, ValueError: arguments that break these rules.
        """
        costs: NDArray[np.float64] = self._costs[
            self._checked_row(row), self._checked_indices(indices)
        ]
        return costs

    @cached_property
    def _costs(self) -> NDArray[np.float64]:
        return PRECISION - np.log2(self.frequencies.astype(np.float64))

    def checksum(self) -> int:
        """Return a CRC-32 that is the same for the same tables on every machine."""
        return checksum(self.frequencies)

    def to_arrays(self) -> dict[str, Int32Array]:
        """Return the tables as a named int32 array, for a checkpoint."""
        return {"frequencies": self.frequencies}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> IndexTables:
        """Return the tables that to_arrays gave.

        Raises:
            WeightsError: missing, unknown or malformed arrays.
        """
        return cls(*entries(arrays, ("frequencies",)))

    @classmethod
    def build(cls, counts: IntArray, prior_strength: float = 256.0) -> IndexTables:
        """Return tables made from what was observed.

        Build time only: it uses floats, and its result is stored. What all rows have in common,
        with half an observation of every index added, is worth prior_strength observations in
        each row; so a row with few of its own is like the others.

        Args:
            counts: (K, N), integers >= 0: how often each index appeared at each row.
            prior_strength: > 0.

        Raises:
            ValueError: counts of another shape, or negative; a strength <= 0.
        """
        integers = np.issubdtype(counts.dtype, np.integer) and counts.ndim == 2
        if not integers or 0 in counts.shape or counts.min() < 0:
            raise ValueError(
                f"counts: expected (K, N) integers >= 0, found {counts.shape} of {counts.dtype}"
            )
        if not prior_strength > 0:
            raise ValueError(f"prior_strength: expected above 0, found {prior_strength}")
        common = counts.sum(axis=0, dtype=np.int64) + 0.5
        prior = common * (prior_strength / float(common.sum()))
        rows = [apportion((row + prior).tolist()) for row in counts]
        return cls(np.array(rows, dtype=np.int32))

    def _checked_row(self, row: int) -> int:
        if not 0 <= row < len(self._models):
            raise ValueError(f"row: expected 0 to {len(self._models) - 1}, found {row}")
        return row

    def _checked_indices(self, indices: IntArray) -> Int32Array:
        indices = message_integers(indices, "indices")
        size = self.frequencies.shape[1]
        if indices.size and not (int(indices.min()) >= 0 and int(indices.max()) < size):
            raise ValueError(
                f"indices: expected [0, {size}), found [{indices.min()}, {indices.max()}]"
            )
        return indices.astype(np.int32)
