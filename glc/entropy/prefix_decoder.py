"""What the beginning of a stream says for certain, when the rest of it has not arrived.

Knows nothing of tables' meaning, files or pictures.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glc.entropy.arrays import Int32Array, IntArray
from glc.entropy.categorical import Categorical
from glc.entropy.order import Order, coding_order
from glc.entropy.range_coder import RangeDecoder
from glc.entropy.scale_tables import ScaleTables
from glc.errors import CorruptError

__all__ = ["PrefixDecoder", "decode_known"]

# The coder looks at 8 bytes at a time. Once all of them are unknown, what it sees may be anything,
# and no symbol is certain; so more unknown bytes than that never matter.
_LOOKAHEAD = 8


class PrefixDecoder(RangeDecoder):
    """Reads a stream of which only the first bytes are known, up to the last certain symbol.

    The unknown bytes may be anything from all 00 to all FF. A symbol's interval has no holes, so
    where these two read the same symbol, every stream between them does; where they part, the
    symbol depends on bytes that have not come. From there on ``decode`` gives zeros. A stream that
    no encoder writes counts as another symbol, so that now and then the last certain symbols are
    not taken.

    Attributes:
        certain: symbols read so far that every continuation agrees on.
        ended: a symbol was asked for that is not certain.
    """

    def __init__(self, data: bytes, size: int) -> None:
        """Begin to read.

        Args:
            data: the bytes that are known.
            size: bytes of the whole stream, at least ``len(data)``.

        Raises:
            ValueError: a size below that of the data.
        """
        if size < len(data):
            raise ValueError(f"size: expected at least {len(data)}, found {size}")
        super().__init__(data)
        unknown = b"\xff" * min(size - len(data), _LOOKAHEAD + 8)
        self._upper = RangeDecoder(data + unknown)._coder
        self.certain = 0
        self.ended = False

    def decode(self, model: Categorical, count: int) -> Int32Array:
        """Return the next ``count`` symbols, zeros from the first uncertain one on.

        Args:
            model: the row of frequencies that they were written with.
            count: >= 0.

        Returns:
            (count,), int32; ``certain`` and ``ended`` tell how many of them are known.

        Raises:
            CorruptError: no continuation of the data is what an encoder writes.
            ValueError: count is negative.
        """
        if count < 0:
            raise ValueError(f"count: expected 0 or more, found {count}")
        symbols = np.zeros(count, dtype=np.int32)
        if self.ended or count == 0:
            return symbols
        if model.size == 1:
            self.certain += count
            return symbols
        # A call reads many symbols and only tells whether all of them agree: on a failure half as
        # many are tried, down to a single one.
        known, tried = 0, count
        while tried:
            found = self._agreed(model, tried)
            if found is not None:
                symbols[known : known + tried] = found
                known += tried
                tried = min(tried, count - known)
            else:
                tried //= 2
        self.certain += known
        self.ended = known < count
        return symbols

    def _agreed(self, model: Categorical, count: int) -> Int32Array | None:
        """Read symbols that are certain and go on behind them; None if one is not."""
        lower, upper = self._coder.clone(), self._upper.clone()
        try:
            symbols: Int32Array = lower.decode(model.model, count)
        except AssertionError as error:
            if count > 1:
                return None
            # Data that no encoder writes lies at the upper end: more bytes would not help.
            raise CorruptError(
                "payload: expected range-coded data, found bytes that no encoder writes; "
                "the file is damaged, get it again"
            ) from error
        try:
            if not np.array_equal(symbols, upper.decode(model.model, count)):
                return None
        except AssertionError:
            return None
        self._coder, self._upper = lower, upper
        return symbols


def decode_known(
    tables: ScaleTables, decoder: PrefixDecoder, rows: IntArray, order: Order
) -> tuple[Int32Array, NDArray[np.bool_]]:
    """Decode what is certain of a message of scaled symbols (docs/format.md, section 8.4).

    Args:
        tables: the tables it was coded with.
        decoder: the stream.
        rows: (n,), integers in [0, 64).
        order: which rows come first.

    Returns:
        symbols: (n,) int32, 0 where they are not certain; an escaped one is certain only with all
            of its bits.
        known: (n,) bool: coded and certain.

    Raises:
        CorruptError: data that no encoder writes.
    """
    before = decoder.certain
    symbols = tables.decode(decoder, rows, order)
    certain = decoder.certain - before
    positions, _ = coding_order(rows.astype(np.uint8), order)
    known = np.zeros(len(rows), np.bool_)
    known[positions[:certain]] = True
    if decoder.ended:
        escaped = positions[np.abs(symbols[positions]) > tables.half_widths[rows[positions]]]
        excess = np.abs(symbols[escaped]) - tables.half_widths[rows[escaped]]
        # Behind all codes come the classes of the escapes, then k + 1 bits for class k.
        bits = np.cumsum(np.frexp(excess.astype(np.float64))[1])
        known[escaped[bits > certain - len(positions) - len(escaped)]] = False
        symbols[~known] = 0
    return symbols, known
