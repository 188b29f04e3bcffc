"""The range coder's stream: integers in, the shortest sufficient bytes out, and back.

Knows nothing of tables: every call brings its model. See docs/format.md, section 8.
"""

from __future__ import annotations

import constriction
import numpy as np

from glc.entropy.arrays import Int32Array
from glc.entropy.categorical import Categorical
from glc.errors import CorruptError

_WORD_BYTES = 4
_STATE_BYTES = 8
_STATE = 1 << (8 * _STATE_BYTES)


class RangeEncoder:
    """Appends symbols to one stream; ``to_bytes`` closes it."""

    def __init__(self) -> None:
        self._coder = constriction.stream.queue.RangeEncoder()

    def encode(self, symbols: Int32Array, model: Categorical) -> None:
        """Append symbols, all with the same model.

        Args:
            symbols: (n,), int32, in [0, model.size).
            model: the probabilities.

        Raises:
            ValueError: a symbol outside of the model's alphabet; nothing is appended.
        """
        if symbols.size == 0:
            return
        if int(symbols.min()) < 0 or int(symbols.max()) >= model.size:
            raise ValueError(
                f"symbols: expected values in [0, {model.size}), "
                f"found [{symbols.min()}, {symbols.max()}]"
            )
        if model.size > 1:
            self._coder.encode(np.ascontiguousarray(symbols, dtype=np.int32), model.model)

    def to_bytes(self) -> bytes:
        """Return the shortest bytes from which a decoder reads all symbols so far.

        The coder's state says which numbers all mean this message: an interval. Of those the one
        with most zero bytes at its end is taken, and the zeros are dropped, since a decoder reads
        zeros past the end. This costs less than one byte on average above the information; the
        library's own ending costs up to eight.

        The encoder can go on afterwards; the result is then a different one.
        """
        position, (lower, width) = self._coder.pos()
        words = self._coder.get_compressed()
        size = int(position) * _WORD_BYTES + _STATE_BYTES
        sealed = int.from_bytes(words.astype(">u4").tobytes().ljust(size, b"\0"), "big")
        # The sealed value lies less than 2**64 above the interval's lower end, of which the
        # state keeps the low 64 bits; the difference restores the bits above, carries included.
        start = sealed - (sealed - int(lower)) % _STATE
        stop = start + int(width)
        value = start
        for zero_bytes in range(1, _STATE_BYTES + 1):
            shift = 8 * zero_bytes
            candidate = -(-start >> shift) << shift
            if candidate >= stop:
                break
            value = candidate
        return value.to_bytes(size, "big").rstrip(b"\0")


class RangeDecoder:
    """Reads symbols from one stream, in the order and with the models of the encoder.

    Past the end of the data it reads zeros, so every sequence of bytes decodes to something, in
    a time that the number of symbols asked for bounds.
    """

    def __init__(self, data: bytes) -> None:
        padded = data.ljust(-(-len(data) // _WORD_BYTES) * _WORD_BYTES, b"\0")
        words = np.frombuffer(padded, dtype=">u4").astype(np.uint32)
        self._coder = constriction.stream.queue.RangeDecoder(words)

    def decode(self, model: Categorical, count: int) -> Int32Array:
        """Return the next ``count`` symbols, all of the same model: (count,), int32.

        Raises:
            CorruptError: no encoder writes such data.
            ValueError: count is negative.
        """
        if count < 0:
            raise ValueError(f"count: expected 0 or more, found {count}")
        if count == 0 or model.size == 1:
            return np.zeros(count, dtype=np.int32)
        try:
            symbols: Int32Array = self._coder.decode(model.model, count)
        except AssertionError as error:
            raise CorruptError(
                "payload: expected range-coded data, found bytes that no encoder writes; "
                "the file is damaged, get it again"
            ) from error
        return symbols
