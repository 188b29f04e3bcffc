from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glc.entropy import Categorical, RangeDecoder, RangeEncoder
from glc.errors import CorruptError

TABLES = [
    [65536],
    [32768, 32768],
    [65535, 1],
    [1, 65535],
    [3, 65530, 3],
    [1, 10, 100, 1000, 10000, 54425],
    [1] * 65536,
]
MODELS = [Categorical(np.array(table)) for table in TABLES]

message = st.tuples(
    st.integers(0, len(MODELS) - 1),
    st.lists(st.integers(0, 2**16 - 1), max_size=40),
)


def vector(values: list[int]) -> np.ndarray:
    return np.array(values, dtype=np.int32)


@given(st.lists(message, max_size=12))
def test_round_trip_of_interleaved_models(messages: list[tuple[int, list[int]]]) -> None:
    encoder = RangeEncoder()
    parts = [(k, [v % len(TABLES[k]) for v in values]) for k, values in messages]
    for k, values in parts:
        encoder.encode(vector(values), MODELS[k])
    data = encoder.to_bytes()
    assert not data.endswith(b"\0")
    for padding in (b"", b"\0", b"\0" * 9):
        decoder = RangeDecoder(data + padding)
        for k, values in parts:
            decoded = decoder.decode(MODELS[k], len(values))
            assert decoded.dtype == np.int32
            assert decoded.tolist() == values


@given(st.lists(message, max_size=8))
def test_no_shorter_bytes_mean_the_same(messages: list[tuple[int, list[int]]]) -> None:
    encoder = RangeEncoder()
    parts = [(k, [v % len(TABLES[k]) for v in values]) for k, values in messages]
    for k, values in parts:
        encoder.encode(vector(values), MODELS[k])
    data = encoder.to_bytes()
    if not data:
        return
    prefix = int.from_bytes(data[:-1], "big")
    for candidate in (prefix, prefix + 1):
        if candidate >= 256 ** (len(data) - 1):
            continue
        decoder = RangeDecoder(candidate.to_bytes(len(data) - 1, "big"))
        try:
            same = all(decoder.decode(MODELS[k], len(v)).tolist() == v for k, v in parts)
        except CorruptError:
            same = False
        assert not same


def test_golden_bytes() -> None:
    """The bytes of this message are part of the format: a library that changes them is refused."""
    encoder = RangeEncoder()
    encoder.encode(vector([5, 5, 4, 0, 1, 5, 3, 2, 5, 5]), MODELS[5])
    encoder.encode(vector([1, 0, 0, 1, 1, 1, 0, 1]), MODELS[1])
    encoder.encode(vector([0, 65535, 12345, 54321]), MODELS[6])
    encoder.encode(vector([0, 0, 1, 0]), MODELS[2])
    assert encoder.to_bytes().hex() == "527073ca77f9b325ec9a5041333ac2224915"


def test_agrees_with_the_text_of_the_format(reference: Any, rng: np.random.Generator) -> None:
    for _ in range(40):
        parts = [
            (k, rng.integers(0, len(TABLES[k]), rng.integers(0, 9)).astype(np.int32))
            for k in rng.integers(0, 6, 8)
        ]
        encoder = RangeEncoder()
        for k, values in parts:
            encoder.encode(values, MODELS[k])
        decoder = reference(encoder.to_bytes())
        for k, values in parts:
            assert [decoder.symbol(TABLES[k]) for _ in values] == values.tolist()


def test_a_carry_through_many_words_survives(reference: Any) -> None:
    """Symbols in the middle keep the interval across a word boundary, where carries propagate."""
    table = [32767, 2, 32767]
    model = Categorical(np.array(table))
    for last in range(3):
        values = vector([1] * 200 + [last])
        encoder = RangeEncoder()
        encoder.encode(values, model)
        data = encoder.to_bytes()
        assert RangeDecoder(data).decode(model, 201).tolist() == values.tolist()
        decoder = reference(data)
        assert [decoder.symbol(table) for _ in values] == values.tolist()


def test_ending_costs_less_than_a_byte_on_average(rng: np.random.Generator) -> None:
    table = np.array([20000, 15000, 10000, 5000, 15536])
    model = Categorical(table)
    waste = []
    for _ in range(400):
        values = rng.choice(5, rng.integers(1, 200), p=table / 65536).astype(np.int32)
        encoder = RangeEncoder()
        encoder.encode(values, model)
        waste.append(8 * len(encoder.to_bytes()) + np.log2(table[values] / 65536).sum())
    assert np.mean(waste) < 8
    assert max(waste) < 16


def test_encoder_can_go_on_after_its_bytes_were_taken() -> None:
    encoder = RangeEncoder()
    assert encoder.to_bytes() == b""
    encoder.encode(vector([3, 1]), MODELS[5])
    first = encoder.to_bytes()
    assert encoder.to_bytes() == first
    encoder.encode(vector([2, 0]), MODELS[5])
    assert RangeDecoder(encoder.to_bytes()).decode(MODELS[5], 4).tolist() == [3, 1, 2, 0]


def test_a_certain_symbol_costs_nothing() -> None:
    encoder = RangeEncoder()
    encoder.encode(vector([0] * 1000), MODELS[0])
    assert encoder.to_bytes() == b""
    assert not RangeDecoder(b"\x12").decode(MODELS[0], 5).any()


def test_past_the_end_come_zeros() -> None:
    decoder = RangeDecoder(b"")
    assert not decoder.decode(MODELS[1], 10_000).any()
    assert decoder.decode(MODELS[1], 0).shape == (0,)


@given(st.binary(max_size=64))
def test_any_bytes_decode_or_are_corrupt(data: bytes) -> None:
    decoder = RangeDecoder(data)
    try:
        for table, model in zip(TABLES, MODELS, strict=True):
            decoded = decoder.decode(model, 50)
            assert decoded.shape == (50,)
            assert decoded.min() >= 0
            assert decoded.max() < len(table)
    except CorruptError:
        pass


def test_bytes_that_no_encoder_writes_are_corrupt() -> None:
    with pytest.raises(CorruptError, match="payload"):
        RangeDecoder(b"\xff" * 16).decode(MODELS[1], 40)


def test_garbage_takes_no_longer_than_data(rng: np.random.Generator) -> None:
    start = time.perf_counter()
    for _ in range(20):
        try:
            RangeDecoder(rng.bytes(200)).decode(MODELS[5], 100_000)
        except CorruptError:
            continue
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("symbol", [-1, 6, 2**31 - 1])
def test_symbols_outside_the_alphabet_are_refused(symbol: int) -> None:
    encoder = RangeEncoder()
    with pytest.raises(ValueError, match="symbols"):
        encoder.encode(vector([0, symbol]), MODELS[5])
    with pytest.raises(ValueError, match="symbols"):
        encoder.encode(vector([1]), MODELS[0])
    assert encoder.to_bytes() == b""


def test_negative_count_is_refused() -> None:
    with pytest.raises(ValueError, match="count"):
        RangeDecoder(b"").decode(MODELS[1], -1)
