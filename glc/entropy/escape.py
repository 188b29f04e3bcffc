"""The code of magnitudes that a row of a scale table does not hold: Exp-Golomb of order 0.

Knows nothing of rows: every symbol brings the half width that it exceeds. docs/format.md, 8.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glc.entropy.arrays import Int32Array
from glc.entropy.categorical import Categorical
from glc.entropy.range_coder import RangeDecoder, RangeEncoder
from glc.errors import CorruptError

MAX_MAGNITUDE = 32767
"""Largest magnitude of a symbol; a larger one is refused on both sides."""

# Excesses 1 .. 32767 have 1 .. 15 bits: classes 0 .. 14.
_CLASSES = 15
_LAST = _CLASSES - 1

# The unary prefix of Exp-Golomb as one symbol: class k has probability 2**-(k + 1), and the last
# one needs no end mark. All prefixes of a call can then be read at once, without a loop.
_CLASS_MODEL = Categorical(
    np.array([1 << (15 - k) for k in range(_LAST)] + [1 << (16 - _LAST)], dtype=np.int32)
)
_BIT_MODEL = Categorical(np.array([1 << 15, 1 << 15], dtype=np.int32))


def _classes(excess: Int32Array) -> Int32Array:
    """Return floor(log2(excess)) for excesses in 1 .. 32767."""
    powers = np.int32(1) << np.arange(1, _CLASSES, dtype=np.int32)
    return np.searchsorted(powers, excess, side="right").astype(np.int32)


def _layout(classes: Int32Array) -> tuple[NDArray[np.intp], Int32Array, NDArray[np.intp]]:
    """Return, for the sign-and-suffix bits of a call: owner and shift of each, start of each owner.

    An escaped symbol of class k owns k + 1 bits, of shifts k (its sign) down to 0.
    """
    lengths = classes.astype(np.intp) + 1
    starts = np.cumsum(lengths) - lengths
    owner = np.repeat(np.arange(len(classes)), lengths)
    shift = (classes[owner] - (np.arange(len(owner)) - starts[owner])).astype(np.int32)
    return owner, shift, starts


def encode_escapes(encoder: RangeEncoder, symbols: Int32Array, half_widths: Int32Array) -> None:
    """Append symbols whose magnitude is above their half width and at most MAX_MAGNITUDE.

    Args:
        encoder: the stream.
        symbols: (n,), int32.
        half_widths: (n,), int32, >= 0.
    """
    excess = np.abs(symbols) - half_widths
    classes = _classes(excess)
    owner, shift, _ = _layout(classes)
    words = (excess - (1 << classes)) | ((symbols < 0).astype(np.int32) << classes)
    encoder.encode(classes, _CLASS_MODEL)
    encoder.encode((words[owner] >> shift) & 1, _BIT_MODEL)


def decode_escapes(decoder: RangeDecoder, half_widths: Int32Array) -> Int32Array:
    """Return what encode_escapes wrote: (n,), int32.

    Raises:
        CorruptError: a magnitude above MAX_MAGNITUDE, or data that no encoder writes.
    """
    classes = decoder.decode(_CLASS_MODEL, len(half_widths))
    owner, shift, starts = _layout(classes)
    bits = decoder.decode(_BIT_MODEL, len(owner))
    words = np.add.reduceat(bits << shift, starts)
    power = np.int32(1) << classes
    magnitudes = half_widths + power + (words & (power - 1))
    if int(magnitudes.max()) > MAX_MAGNITUDE:
        raise CorruptError(
            f"symbol: expected a magnitude of at most {MAX_MAGNITUDE}, found {magnitudes.max()}; "
            "the file is damaged, get it again"
        )
    symbols: Int32Array = np.where(words >> classes, -magnitudes, magnitudes).astype(np.int32)
    return symbols


def escape_bits(symbols: Int32Array, half_widths: Int32Array) -> NDArray[np.float64]:
    """Return what encode_escapes spends on each symbol, in bits: (n,), float64."""
    classes = _classes(np.abs(symbols) - half_widths)
    return (np.minimum(classes + 1, _LAST) + classes + 1).astype(np.float64)
