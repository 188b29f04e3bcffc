from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glc.entropy import IndexTables, Order, RangeDecoder, RangeEncoder, ScaleTables
from glc.errors import CorruptError, WeightsError

TABLES = IndexTables.build(np.arange(3 * 256).reshape(3, 256) ** 2 % 97)


@given(st.lists(st.tuples(st.integers(0, 2), st.lists(st.integers(0, 255), max_size=60))))
def test_round_trip(messages: list[tuple[int, list[int]]]) -> None:
    encoder = RangeEncoder()
    for row, indices in messages:
        TABLES.encode(encoder, np.array(indices, dtype=np.int64), row)
    decoder = RangeDecoder(encoder.to_bytes())
    for row, indices in messages:
        decoded = TABLES.decode(decoder, len(indices), row)
        assert decoded.dtype == np.int32
        assert decoded.tolist() == indices


def test_shares_a_stream_with_scale_tables(
    scale_tables: ScaleTables, rng: np.random.Generator, order: Order
) -> None:
    indices = rng.integers(0, 256, 96)
    steps = [(rng.integers(-3, 4, 50), rng.integers(1, 64, 50)) for _ in range(4)]
    encoder = RangeEncoder()
    TABLES.encode(encoder, indices, 1)
    for symbols, rows in steps:
        scale_tables.encode(encoder, symbols, rows, order)
    TABLES.encode(encoder, indices, 2)
    data = encoder.to_bytes()
    bits = TABLES.bits(indices, 1).sum() + TABLES.bits(indices, 2).sum()
    bits += sum(scale_tables.bits(symbols, rows).sum() for symbols, rows in steps)
    assert bits - 1 < 8 * len(data) < bits + 16
    decoder = RangeDecoder(data)
    assert TABLES.decode(decoder, 96, 1).tolist() == indices.tolist()
    for symbols, rows in steps:
        assert scale_tables.decode(decoder, rows, order).tolist() == symbols.tolist()
    assert TABLES.decode(decoder, 96, 2).tolist() == indices.tolist()


def test_golden_bytes_and_checksum() -> None:
    encoder = RangeEncoder()
    TABLES.encode(encoder, np.array([0, 255, 17, 128, 3, 3, 200]), 2)
    assert encoder.to_bytes().hex() == "01017277a34a21"
    assert TABLES.checksum() == 0xC26F0F5C


def test_estimate_is_what_the_coder_spends(rng: np.random.Generator) -> None:
    indices = rng.choice(256, 20_000, p=TABLES.frequencies[1] / 65536)
    encoder = RangeEncoder()
    TABLES.encode(encoder, indices, 1)
    estimate = TABLES.bits(indices, 1).sum()
    assert abs(8 * len(encoder.to_bytes()) - estimate) < 0.001 * estimate + 16


def test_few_counts_leave_a_row_near_the_others() -> None:
    counts = np.zeros((2, 8), dtype=np.int64)
    counts[0, 3] = 10_000
    tables = IndexTables.build(counts)
    assert tables.frequencies.sum(axis=1).tolist() == [65536, 65536]
    assert tables.frequencies.min() >= 1
    assert tables.frequencies[1, 3] > 60_000


def test_one_index_costs_nothing() -> None:
    tables = IndexTables.build(np.zeros((2, 1), dtype=np.int64))
    encoder = RangeEncoder()
    tables.encode(encoder, np.zeros(50, dtype=np.int32), 1)
    assert encoder.to_bytes() == b""
    assert tables.decode(RangeDecoder(b""), 50, 1).tolist() == [0] * 50


def test_arrays_bring_back_the_same_tables() -> None:
    for other in (
        IndexTables.from_arrays(TABLES.to_arrays()),
        pickle.loads(pickle.dumps(TABLES)),
        copy.deepcopy(TABLES),
    ):
        assert other.checksum() == TABLES.checksum()


@pytest.mark.parametrize(
    "frequencies",
    [
        np.zeros((0, 4), dtype=np.int32),
        np.zeros((2, 0), dtype=np.int32),
        np.array([[65536, 0]]),
        np.array([[65537, -1]]),
        np.array([[32768, 32768], [32768, 32767]]),
        np.array([65535, 1]),
        np.array([[0.5, 0.5]]),
    ],
)
def test_tampered_tables_are_refused(frequencies: np.ndarray) -> None:
    with pytest.raises(WeightsError, match=r"index tables.*reinstall the model"):
        IndexTables.from_arrays({"frequencies": frequencies})


@pytest.mark.parametrize(
    ("indices", "row", "error"),
    [
        (np.array([256]), 0, ValueError),
        (np.array([-1]), 0, ValueError),
        (np.array([2**40]), 0, ValueError),
        (np.array([1]), 3, ValueError),
        (np.array([1]), -1, ValueError),
        (np.array([[1]]), 0, ValueError),
        (np.array([1.0]), 0, TypeError),
    ],
)
def test_wrong_calls_are_refused(indices: Any, row: int, error: type[Exception]) -> None:
    encoder = RangeEncoder()
    with pytest.raises(error):
        TABLES.encode(encoder, indices, row)
    with pytest.raises(error):
        TABLES.bits(indices, row)
    assert encoder.to_bytes() == b""


@pytest.mark.parametrize("counts", [np.zeros((0, 4), int), np.array([[-1, 2]]), np.ones((1, 2))])
def test_malformed_counts_are_refused(counts: np.ndarray) -> None:
    with pytest.raises(ValueError, match="counts"):
        IndexTables.build(counts)


def test_malformed_strength_is_refused() -> None:
    with pytest.raises(ValueError, match="prior_strength"):
        IndexTables.build(np.ones((1, 2), int), -1.0)


@given(st.binary(max_size=60))
def test_any_bytes_decode_or_are_corrupt(data: bytes) -> None:
    try:
        decoded = TABLES.decode(RangeDecoder(data), 500, 0)
    except CorruptError:
        return
    assert decoded.min() >= 0
    assert decoded.max() < 256
