"""ScaleTables: 64 integer tables for symbols whose scale is known, from near 0 to 64.

Knows nothing of where rows and symbols come from. See docs/format.md, section 8.
"""

from __future__ import annotations

import math
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
from glc.entropy.categorical import PRECISION, TOTAL, Categorical
from glc.entropy.escape import MAX_MAGNITUDE, decode_escapes, encode_escapes, escape_bits
from glc.entropy.order import Order, coding_order
from glc.entropy.range_coder import RangeDecoder, RangeEncoder
from glc.errors import WeightsError

ROWS = 64
SIGMA_MIN = 0.11
SIGMA_MAX = 64.0

_ESCAPE_RARITY = 1e-4


def sigma_of_row(row: int) -> float:
    """Return the standard deviation that a row is made for: SIGMA_MIN at 1, SIGMA_MAX at 63.

    Raises:
        ValueError: no such row, or row 0, whose symbols are not coded.
    """
    if not 1 <= row < ROWS:
        raise ValueError(f"row: expected 1 to {ROWS - 1}, found {row}")
    if row == ROWS - 1:
        return SIGMA_MAX
    return SIGMA_MIN * math.pow(SIGMA_MAX / SIGMA_MIN, (row - 1) / (ROWS - 2))


def _tail(sigma: float, magnitude: float) -> float:
    """Return P(abs(x) > magnitude) of a Gaussian of mean 0."""
    return math.erfc(magnitude / (sigma * math.sqrt(2)))


def _half_width(sigma: float) -> int:
    """Return the least half width >= 1 that a rounded Gaussian exceeds with P below 1e-4."""
    half_width = 1
    while _tail(sigma, half_width + 0.5) >= _ESCAPE_RARITY:
        half_width += 1
    return half_width


class ScaleTables:
    """64 rows of frequencies; the row chosen for a symbol says how large it may be.

    Row 0 means "not coded, the symbol is 0". Row r >= 1 holds the symbols -M .. M, M its half
    width, and an escape for the larger ones. Within a row the order is 0, -1, 1, -2, 2, ..., -M,
    M, escape (so column 0 is the symbol 0 in every row, and a stream that ends early reads as
    zeros), then unused columns of frequency 0.
    """

    def __init__(self, frequencies: object, half_widths: object) -> None:
        """Check and keep the tables.

        Args:
            frequencies: (64, A) integers; row r sums to 2**16 over its 2 * M + 2 first columns,
                each >= 1 there and 0 beyond; row 0 is 2**16 in column 0.
            half_widths: (64,) integers >= 0; 0 for row 0.

        Raises:
            WeightsError: the tables break one of these rules.
        """
        self.frequencies: Int32Array = frozen_int32(frequencies, "scale tables", ndim=2)
        self.half_widths: Int32Array = frozen_int32(half_widths, "scale tables: half widths", 1)
        columns = self.frequencies.shape[1]
        if len(self.frequencies) != ROWS or self.half_widths.shape != (ROWS,):
            raise WeightsError(
                f"scale tables: expected {ROWS} rows and half widths, found "
                f"{len(self.frequencies)} and {len(self.half_widths)}; reinstall the model"
            )
        models = []
        for row, half_width in enumerate(self.half_widths.tolist()):
            used = 2 * half_width + 2 if row else 1
            fits = 0 <= half_width < MAX_MAGNITUDE and used <= columns
            if not fits or (row == 0 and half_width):
                raise WeightsError(
                    f"scale tables: row {row} has half width {half_width}, which {columns} columns "
                    "cannot hold; reinstall the model"
                )
            if np.any(self.frequencies[row, used:]):
                raise WeightsError(
                    f"scale tables: row {row} has frequencies beyond its {used} columns; "
                    "reinstall the model"
                )
            models.append(Categorical(self.frequencies[row, :used], f"scale tables, row {row}"))
        self._models = tuple(models)

    def __reduce__(self) -> tuple[type[ScaleTables], tuple[Int32Array, Int32Array]]:
        # The coder's models cannot be pickled; worker processes build their own.
        return type(self), (self.frequencies, self.half_widths)

    def encode(
        self, encoder: RangeEncoder, symbols: IntArray, rows: IntArray, order: Order
    ) -> None:
        """Append symbols: row after row, within a row in order of position, then all escapes.

        Args:
            encoder: the stream.
            symbols: (n,), integers of magnitude <= MAX_MAGNITUDE; 0 where the row is 0.
            rows: (n,), integers in [0, 64).
            order: which rows come first.

        Raises:
            TypeError, ValueError: arguments that break these rules; nothing is appended.
        """
        rows = _checked_rows(rows)
        symbols = _checked_symbols(symbols, rows)
        positions, groups = coding_order(rows, order)
        values = symbols[positions]
        half_widths = self.half_widths[rows[positions]]
        magnitudes = np.abs(values)
        escaped = magnitudes > half_widths
        codes = np.where(escaped, 2 * half_widths + 1, 2 * magnitudes - (values < 0))
        start = 0
        for row, count in groups:
            encoder.encode(codes[start : start + count], self._models[row])
            start += count
        if escaped.any():
            encode_escapes(encoder, values[escaped], half_widths[escaped])

    def decode(self, decoder: RangeDecoder, rows: IntArray, order: Order) -> Int32Array:
        """Return the symbols that encode wrote with the same rows and order: (n,), int32.

        Args:
            decoder: the stream.
            rows: (n,), integers in [0, 64).
            order: which rows come first.

        Raises:
            CorruptError: data that no encoder writes.
            TypeError, ValueError: rows that break these rules.
        """
        rows = _checked_rows(rows)
        positions, groups = coding_order(rows, order)
        half_widths = self.half_widths[rows[positions]]
        codes = np.empty(len(positions), dtype=np.int32)
        start = 0
        for row, count in groups:
            codes[start : start + count] = decoder.decode(self._models[row], count)
            start += count
        magnitudes = (codes + 1) >> 1
        values = np.where(codes & 1, -magnitudes, magnitudes)
        escaped = magnitudes > half_widths
        if escaped.any():
            values[escaped] = decode_escapes(decoder, half_widths[escaped])
        symbols = np.zeros(len(rows), dtype=np.int32)
        symbols[positions] = values
        return symbols

    def bits(self, symbols: IntArray, rows: IntArray) -> NDArray[np.float64]:
        """Return what ``encode`` spends on each symbol, in bits: (n,), float64, >= 0.

        The sum is the size of the stream but for its ending (below one byte on average) and the
        coder's own rounding (about 0.0001 bits per symbol).

        Args:
            symbols: (n,), integers of magnitude <= MAX_MAGNITUDE; 0 where the row is 0.
            rows: (n,), integers in [0, 64).

        Raises:
            TypeError, ValueError: arguments that break these rules.
        """
        rows = _checked_rows(rows)
        symbols = _checked_symbols(symbols, rows)
        half_widths = self.half_widths[rows]
        magnitudes = np.abs(symbols)
        escaped = (magnitudes > half_widths) & (rows > 0)
        codes = np.where(escaped, 2 * half_widths + 1, 2 * magnitudes - (symbols < 0))
        costs: NDArray[np.float64] = self._costs[rows, codes]
        if escaped.any():
            costs[escaped] += escape_bits(symbols[escaped], half_widths[escaped])
        return costs

    @cached_property
    def _costs(self) -> NDArray[np.float64]:
        # Unused columns are never looked up; 1 keeps the logarithm finite there.
        return PRECISION - np.log2(np.maximum(self.frequencies, 1).astype(np.float64))

    def checksum(self) -> int:
        """Return a CRC-32 that is the same for the same tables on every machine."""
        return checksum(self.frequencies, self.half_widths)

    def to_arrays(self) -> dict[str, Int32Array]:
        """Return the tables as named int32 arrays, for a checkpoint."""
        return {"frequencies": self.frequencies, "half_widths": self.half_widths}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> ScaleTables:
        """Return the tables that to_arrays gave.

        Raises:
            WeightsError: missing, unknown or malformed arrays.
        """
        return cls(*entries(arrays, ("frequencies", "half_widths")))

    @classmethod
    def build(cls, counts: IntArray | None = None, prior_strength: float = 256.0) -> ScaleTables:
        """Return tables made from Gaussians, or from those and what was observed.

        Build time only: it uses floats, and its result is stored. A row is the Dirichlet estimate
        (counts + prior_strength * Gaussian) / (all counts + prior_strength), symmetric in sign.

        Args:
            counts: (64, 2 * B + 1), integers >= 0: how often symbol s appeared at row r in
                column B + s. Row 0 is ignored; magnitudes beyond a half width count as escapes.
            prior_strength: how many observations the rounded Gaussian is worth, > 0.

        Raises:
            ValueError: counts of another shape, or negative; a strength <= 0.
        """
        if counts is None:
            counts = np.zeros((ROWS, 1), dtype=np.int64)
        integers = np.issubdtype(counts.dtype, np.integer) and counts.ndim == 2
        if not integers or len(counts) != ROWS or counts.shape[1] % 2 == 0 or counts.min() < 0:
            raise ValueError(
                f"counts: expected ({ROWS}, an odd number) integers >= 0, "
                f"found {counts.shape} of {counts.dtype}"
            )
        if not prior_strength > 0:
            raise ValueError(f"prior_strength: expected above 0, found {prior_strength}")
        half_widths = [0] + [_half_width(sigma_of_row(row)) for row in range(1, ROWS)]
        frequencies = np.zeros((ROWS, 2 * max(half_widths) + 2), dtype=np.int32)
        frequencies[0, 0] = TOTAL
        for row in range(1, ROWS):
            observed = _fold(counts[row].astype(np.int64).tolist(), half_widths[row])
            prior = _folded_gaussian(sigma_of_row(row), half_widths[row])
            copies = [1] + [2] * half_widths[row] + [1]
            weights = [
                (seen + prior_strength * expected) / symbols
                for seen, expected, symbols in zip(observed, prior, copies, strict=True)
            ]
            folded = apportion(weights, copies)
            frequencies[row, : sum(copies)] = np.repeat(folded, copies)
        return cls(frequencies, np.array(half_widths, dtype=np.int32))


def _checked_rows(rows: IntArray) -> NDArray[np.uint8]:
    rows = message_integers(rows, "rows")
    if rows.size and not (int(rows.min()) >= 0 and int(rows.max()) < ROWS):
        raise ValueError(f"rows: expected 0 to {ROWS - 1}, found [{rows.min()}, {rows.max()}]")
    return rows.astype(np.uint8)


def _checked_symbols(symbols: IntArray, rows: NDArray[np.uint8]) -> Int32Array:
    symbols = message_integers(symbols, "symbols")
    if symbols.shape != rows.shape:
        raise ValueError(f"symbols: expected {len(rows)} as there are rows, found {len(symbols)}")
    if symbols.size and not (
        int(symbols.min()) >= -MAX_MAGNITUDE and int(symbols.max()) <= MAX_MAGNITUDE
    ):
        raise ValueError(
            f"symbols: expected magnitudes of at most {MAX_MAGNITUDE}, "
            f"found [{symbols.min()}, {symbols.max()}]"
        )
    if np.any(symbols[rows == 0]):
        raise ValueError("symbols: expected 0 wherever the row is 0 (not coded), found others")
    return symbols.astype(np.int32)


def _folded_gaussian(sigma: float, half_width: int) -> list[float]:
    """Return the probabilities of magnitude 0 .. half_width, and of the larger ones."""
    tails = [1.0] + [_tail(sigma, m + 0.5) for m in range(half_width + 1)]
    return [tails[m] - tails[m + 1] for m in range(half_width + 1)] + [tails[-1]]


def _fold(counts: list[int], half_width: int) -> list[int]:
    """Return how often magnitude 0 .. half_width, and larger ones, appeared."""
    reach = len(counts) // 2
    folded = [0] * (half_width + 2)
    for column, count in enumerate(counts):
        folded[min(abs(column - reach), half_width + 1)] += count
    return folded
