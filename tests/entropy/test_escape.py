from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glc.entropy import Categorical, RangeDecoder, RangeEncoder
from glc.entropy.escape import MAX_MAGNITUDE, decode_escapes, encode_escapes, escape_bits
from glc.errors import CorruptError

CLASSES = Categorical(np.array([2 ** (15 - k) for k in range(14)] + [4]))
BITS = Categorical(np.array([2**15, 2**15]))


@st.composite
def escaped(draw: st.DrawFn) -> tuple[int, int]:
    half_width = draw(st.integers(0, MAX_MAGNITUDE - 1))
    magnitude = draw(st.integers(half_width + 1, MAX_MAGNITUDE))
    return half_width, draw(st.sampled_from([-1, 1])) * magnitude


def coded(pairs: list[tuple[int, int]]) -> tuple[bytes, np.ndarray, np.ndarray]:
    half_widths, symbols = np.array(pairs, dtype=np.int32).T
    encoder = RangeEncoder()
    encode_escapes(encoder, symbols, half_widths)
    return encoder.to_bytes(), symbols, half_widths


@given(st.lists(escaped(), min_size=1, max_size=60))
def test_round_trip_and_cost(pairs: list[tuple[int, int]]) -> None:
    data, symbols, half_widths = coded(pairs)
    decoded = decode_escapes(RangeDecoder(data), half_widths)
    assert decoded.dtype == np.int32
    assert decoded.tolist() == symbols.tolist()
    assert 8 * len(data) <= escape_bits(symbols, half_widths).sum() + 16


def test_every_class_has_its_length() -> None:
    for k in range(15):
        for excess in (2**k, 2 ** (k + 1) - 1):
            bits = escape_bits(np.array([-excess]), np.array([0]))
            assert bits.tolist() == [min(k + 1, 14) + k + 1]


def test_golden_bytes() -> None:
    data, _, _ = coded([(0, 1), (0, -1), (3, 4), (3, -9), (249, 32767), (0, -32767), (7, 100)])
    assert data.hex() == "1bfffffffc6d00292d79d4"


@pytest.mark.parametrize(("half_width", "corrupt"), [(0, False), (1, True), (32766, True)])
def test_too_large_a_magnitude_is_corrupt(half_width: int, corrupt: bool) -> None:
    """An excess of 32767, the largest that can be written, fits only half width 0."""
    encoder = RangeEncoder()
    encoder.encode(np.array([14], dtype=np.int32), CLASSES)
    encoder.encode(np.array([1] + [1] * 14, dtype=np.int32), BITS)
    decoder = RangeDecoder(encoder.to_bytes())
    widths = np.array([half_width], dtype=np.int32)
    if corrupt:
        with pytest.raises(CorruptError, match="at most 32767"):
            decode_escapes(decoder, widths)
    else:
        assert decode_escapes(decoder, widths).tolist() == [-32767]
