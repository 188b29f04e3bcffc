from __future__ import annotations

import copy
import pickle
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glc.entropy import ROWS, Order, RangeDecoder, RangeEncoder, ScaleTables, sigma_of_row
from glc.entropy.order import coding_order
from glc.errors import CorruptError, WeightsError

TABLES = ScaleTables.build()


def coded(tables: ScaleTables, symbols: np.ndarray, rows: np.ndarray, order: Order) -> bytes:
    encoder = RangeEncoder()
    tables.encode(encoder, symbols, rows, order)
    return encoder.to_bytes()


def drawn(rng: np.random.Generator, rows: np.ndarray) -> np.ndarray:
    sigmas = np.array([0.0] + [sigma_of_row(row) for row in range(1, ROWS)])
    symbols: np.ndarray = np.rint(rng.normal(size=len(rows)) * sigmas[rows]).astype(np.int32)
    return symbols


symbol = st.one_of(st.integers(-3, 3), st.integers(-300, 300), st.integers(-32767, 32767))
pairs = st.lists(st.tuples(st.integers(0, 63), symbol), max_size=80).map(
    lambda drawn: [(row, value if row else 0) for row, value in drawn]
)


@given(st.lists(pairs, max_size=4), st.sampled_from(Order))
def test_round_trip_of_steps_on_one_stream(
    steps: list[list[tuple[int, int]]], order: Order
) -> None:
    parts = [np.array(step, dtype=np.int64).reshape(-1, 2).T for step in steps]
    encoder = RangeEncoder()
    for rows, symbols in parts:
        TABLES.encode(encoder, symbols, rows, order)
    decoder = RangeDecoder(encoder.to_bytes())
    for rows, symbols in parts:
        decoded = TABLES.decode(decoder, rows, order)
        assert decoded.dtype == np.int32
        assert decoded.flags.c_contiguous
        assert decoded.tolist() == symbols.tolist()


@pytest.mark.parametrize(("version", "order"), [(1, Order.SMALL_FIRST), (2, Order.LARGE_FIRST)])
def test_agrees_with_the_text_of_the_format(
    reference: Any, rng: np.random.Generator, version: int, order: Order
) -> None:
    for spread in (1, 1, 20):
        rows = rng.integers(0, ROWS, 300)
        symbols = np.clip(drawn(rng, rows) * spread, -32767, 32767)
        decoder = reference(coded(TABLES, symbols, rows, order))
        assert decoder.scaled_symbols(TABLES, rows.tolist(), version) == symbols.tolist()


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (Order.SMALL_FIRST, "fffaff570fc27498346b62ffff088bc0ab7b"),
        (Order.LARGE_FIRST, "b9c2ffc959b46dc49f2d56f8cef58dffff"),
    ],
)
def test_golden_bytes(order: Order, expected: str) -> None:
    """The bytes of this message are part of the format."""
    rows = np.array([5, 0, 63, 20, 20, 5, 1, 40, 63, 2, 20, 0, 33])
    symbols = np.array([0, 0, -70, 1, -2, 1, 0, 12, 9000, -1, -32767, 0, 3])
    data = coded(TABLES, symbols, rows, order)
    assert data.hex() == expected
    assert TABLES.decode(RangeDecoder(data), rows, order).tolist() == symbols.tolist()


@pytest.mark.parametrize(
    ("order", "expected"), [(Order.SMALL_FIRST, "d3c0"), (Order.LARGE_FIRST, "7d40")]
)
def test_worked_example(order: Order, expected: str) -> None:
    """That of docs/format.md, section 8.4."""
    frequencies, half_widths = np.zeros((ROWS, 4), np.int32), np.ones(ROWS, np.int32)
    frequencies[1:] = [65533, 1, 1, 1]
    frequencies[10], frequencies[20] = [32768, 16384, 8192, 8192], [16384] * 4
    frequencies[0, 0], half_widths[0] = 65536, 0
    tables = ScaleTables(frequencies, half_widths)
    rows, symbols = np.array([20, 10, 0, 20, 10]), np.array([-1, 1, 0, 3, -1])
    assert coded(tables, symbols, rows, order).hex() == expected
    decoded = tables.decode(RangeDecoder(bytes.fromhex(expected)), rows, order)
    assert decoded.tolist() == symbols.tolist()


def test_checksum_is_stable() -> None:
    assert TABLES.checksum() == 0xC0C483C2


@pytest.mark.parametrize("count", [0, 1, 1000])
def test_what_is_certain_costs_nothing(count: int, order: Order) -> None:
    nothing = np.zeros(count, dtype=np.int32)
    assert coded(TABLES, nothing, nothing, order) == b""
    assert TABLES.decode(RangeDecoder(b"\xff"), nothing, order).tolist() == nothing.tolist()
    assert not TABLES.bits(nothing, nothing).any()


def test_an_early_end_reads_as_zeros(order: Order) -> None:
    rows = np.arange(ROWS).repeat(50)
    assert not TABLES.decode(RangeDecoder(b""), rows, order).any()
    assert coded(TABLES, np.zeros_like(rows), rows, order) == b""


def test_the_order_is_of_rows_alone(rng: np.random.Generator) -> None:
    """Each order is that of the other one with its rows turned round; within a row none differs."""
    for count in (0, 1, 40, 5000):
        rows = rng.integers(0, ROWS, count).astype(np.uint8)
        first, groups = coding_order(rows, Order.SMALL_FIRST)
        last, turned = coding_order(rows, Order.LARGE_FIRST)
        assert turned == groups[::-1]
        assert [row for row, _ in groups] == sorted({*rows.tolist()} - {0})
        ends = np.cumsum([0] + [size for _, size in groups])
        parts = [first[a:b].tolist() for a, b in zip(ends, ends[1:], strict=False)]
        assert last.tolist() == [position for part in parts[::-1] for position in part]
        for (row, _), part in zip(groups, parts, strict=True):
            assert part == np.flatnonzero(rows == row).tolist()


def test_equal_symbols_take_as_many_bytes_in_either_order(rng: np.random.Generator) -> None:
    for spread in (1, 20):
        rows = rng.integers(0, ROWS, 3000)
        symbols = np.clip(drawn(rng, rows) * spread, -32767, 32767)
        sizes = [len(coded(TABLES, symbols, rows, order)) for order in Order]
        assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("spread", [0.5, 1.0, 3.0], ids=["narrow", "true", "wide"])
def test_estimate_is_what_the_coder_spends(
    rng: np.random.Generator, spread: float, order: Order
) -> None:
    rows = rng.integers(0, ROWS, 20_000)
    symbols = (drawn(rng, rows) * spread).astype(np.int32)
    # Zeros at the end of a stream need no bytes: neither order ends in them here.
    rows[-2:], symbols[-2:] = (1, ROWS - 1), 1
    spent = 8 * len(coded(TABLES, symbols, rows, order))
    estimate = TABLES.bits(symbols, rows)
    assert estimate.shape == rows.shape
    assert estimate.min() >= 0
    assert abs(spent - estimate.sum()) < 0.001 * estimate.sum() + 16


def test_rows_are_near_the_entropy_of_their_gaussian(rng: np.random.Generator) -> None:
    for row in (10, 30, 50, 63):
        rows = np.full(20_000, row)
        symbols = drawn(rng, rows)
        p = np.unique(symbols, return_counts=True)[1] / len(symbols)
        assert TABLES.bits(symbols, rows).mean() < -(p * np.log2(p)).sum() * 1.01 + 0.02


def test_built_rows_keep_their_rules() -> None:
    assert sigma_of_row(1) == pytest.approx(0.11)
    assert sigma_of_row(63) == 64.0
    assert TABLES.half_widths.min() == TABLES.half_widths[0] == 0
    for row in range(1, ROWS):
        half_width = int(TABLES.half_widths[row])
        used = TABLES.frequencies[row, : 2 * half_width + 2]
        assert half_width >= 1
        assert used.min() >= 1
        assert used.sum() == TABLES.frequencies[row].sum() == 65536
        assert used[1:-1:2].tolist() == used[2:-1:2].tolist()
        assert used[-1] <= 1e-4 * 65536 + 1


@pytest.mark.parametrize("row", [-1, 0, 64])
def test_rows_without_a_scale_are_refused(row: int) -> None:
    with pytest.raises(ValueError, match="row"):
        sigma_of_row(row)


def test_counts_move_rows_toward_what_was_seen(rng: np.random.Generator) -> None:
    reach = 30
    rows = np.full(50_000, 25)
    symbols = np.clip(np.rint(rng.laplace(size=50_000) * 1.5), -reach, reach).astype(np.int32)
    counts = np.zeros((ROWS, 2 * reach + 1), dtype=np.int64)
    counts[25] = np.bincount(symbols + reach, minlength=2 * reach + 1)
    learned = ScaleTables.build(counts)
    assert learned.bits(symbols, rows).sum() < 0.99 * TABLES.bits(symbols, rows).sum()
    untouched = np.arange(ROWS) != 25
    assert np.array_equal(learned.frequencies[untouched], TABLES.frequencies[untouched])
    assert learned.checksum() == ScaleTables.build(counts).checksum() != TABLES.checksum()


@pytest.mark.parametrize(
    "counts",
    [np.zeros((63, 3), int), np.zeros((64, 4), int), np.full((64, 3), -1), np.zeros((64, 3))],
)
def test_malformed_counts_are_refused(counts: np.ndarray) -> None:
    with pytest.raises(ValueError, match="counts"):
        ScaleTables.build(counts)


def test_malformed_strength_is_refused() -> None:
    with pytest.raises(ValueError, match="prior_strength"):
        ScaleTables.build(None, 0.0)


def test_arrays_bring_back_the_same_tables(order: Order) -> None:
    arrays = TABLES.to_arrays()
    assert {name: array.dtype for name, array in arrays.items()} == {
        "frequencies": np.int32,
        "half_widths": np.int32,
    }
    again = ScaleTables.from_arrays(arrays)
    assert again.checksum() == TABLES.checksum()
    rows = np.arange(ROWS)
    for other in (again, pickle.loads(pickle.dumps(TABLES)), copy.deepcopy(TABLES)):
        few = np.minimum(rows, 4)
        assert coded(other, few, rows, order) == coded(TABLES, few, rows, order)


def tampered(name: str, where: Any, value: int) -> dict[str, np.ndarray]:
    arrays = {key: array.copy() for key, array in TABLES.to_arrays().items()}
    arrays[name][where] = value
    return arrays


@pytest.mark.parametrize(
    "arrays",
    [
        tampered("frequencies", (20, 0), 1),
        tampered("frequencies", (20, 1), 0),
        tampered("frequencies", (20, 1), -5),
        tampered("frequencies", (20, 499), 1),
        tampered("frequencies", (0, 0), 0),
        tampered("frequencies", (0, 1), 1),
        tampered("half_widths", 0, 1),
        tampered("half_widths", 20, -1),
        tampered("half_widths", 20, 0),
        tampered("half_widths", 20, 250),
        tampered("half_widths", 20, 2**31 - 1),
        {"frequencies": TABLES.frequencies},
        {**TABLES.to_arrays(), "more": TABLES.half_widths},
        {**TABLES.to_arrays(), "half_widths": TABLES.half_widths[:-1]},
        {**TABLES.to_arrays(), "frequencies": TABLES.frequencies[:-1]},
        {**TABLES.to_arrays(), "frequencies": TABLES.frequencies[:, :0]},
        {**TABLES.to_arrays(), "frequencies": TABLES.frequencies / 2.0},
    ],
)
def test_tampered_tables_are_refused(arrays: dict[str, np.ndarray]) -> None:
    with pytest.raises(WeightsError, match="reinstall the model"):
        ScaleTables.from_arrays(arrays)


@pytest.mark.parametrize(
    ("symbols", "rows", "error"),
    [
        (np.array([1]), np.array([0]), ValueError),
        (np.array([1]), np.array([64]), ValueError),
        (np.array([1]), np.array([-1]), ValueError),
        (np.array([1]), np.array([256 + 5]), ValueError),
        (np.array([32768]), np.array([63]), ValueError),
        (np.array([-32768]), np.array([63]), ValueError),
        (np.array([-(2**31)]), np.array([63]), ValueError),
        (np.array([2**63 - 1]), np.array([63]), ValueError),
        (np.array([1, 2]), np.array([63]), ValueError),
        (np.array([[1]]), np.array([[63]]), ValueError),
        (np.array([1.0]), np.array([63]), TypeError),
        ([1], np.array([63]), TypeError),
    ],
)
def test_wrong_calls_are_refused_and_write_nothing(
    symbols: Any, rows: np.ndarray, error: type[Exception], order: Order
) -> None:
    encoder = RangeEncoder()
    with pytest.raises(error):
        TABLES.encode(encoder, symbols, rows, order)
    with pytest.raises(error):
        TABLES.bits(symbols, rows)
    assert encoder.to_bytes() == b""


@given(st.binary(max_size=100), st.lists(st.integers(0, 63), max_size=200), st.sampled_from(Order))
def test_any_bytes_decode_or_are_corrupt(data: bytes, rows: list[int], order: Order) -> None:
    vector = np.array(rows, dtype=np.int32)
    try:
        decoded = TABLES.decode(RangeDecoder(data), vector, order)
    except CorruptError:
        return
    assert np.abs(decoded).max(initial=0) <= 32767
    assert not decoded[vector == 0].any()


def test_garbage_takes_no_longer_than_data(rng: np.random.Generator, order: Order) -> None:
    rows = rng.integers(0, ROWS, 100_000)
    start = time.perf_counter()
    for size in (0, 10, 1000, 100_000):
        try:
            TABLES.decode(RangeDecoder(rng.bytes(size)), rows, order)
        except CorruptError:
            continue
    assert time.perf_counter() - start < 5
