"""What the first bytes of a stream say for certain: never too much, and not too little."""

from __future__ import annotations

import numpy as np
import pytest

from glc.entropy import (
    Categorical,
    Order,
    PrefixDecoder,
    RangeDecoder,
    RangeEncoder,
    ScaleTables,
    decode_known,
    sigma_of_row,
)
from glc.errors import CorruptError

TABLES = [
    np.array([32768, 32768]),
    np.array([65535, 1]),
    np.array([1, 10, 100, 1000, 10000, 54425]),
    np.full(1024, 64),
    np.array([65536]),
]
MODELS = [Categorical(table) for table in TABLES]


def draw(rng: np.random.Generator, messages: int = 12) -> list[tuple[Categorical, np.ndarray]]:
    parts = []
    for _ in range(messages):
        kind = int(rng.integers(len(MODELS)))
        p = TABLES[kind] / 65536
        parts.append((MODELS[kind], rng.choice(len(p), rng.integers(1, 30), p=p).astype(np.int32)))
    return parts


def encode(parts: list[tuple[Categorical, np.ndarray]]) -> bytes:
    encoder = RangeEncoder()
    for model, symbols in parts:
        encoder.encode(symbols, model)
    return encoder.to_bytes()


def read(decoder: RangeDecoder, parts: list[tuple[Categorical, np.ndarray]]) -> np.ndarray:
    return np.concatenate([decoder.decode(model, len(symbols)) for model, symbols in parts])


def test_every_certain_symbol_is_right_and_nothing_beyond_is_used(rng):
    gaps = []
    for _ in range(12):
        parts = draw(rng)
        data, expected = encode(parts), np.concatenate([s for _, s in parts])
        bits = np.concatenate([16 - np.log2(TABLES[MODELS.index(m)][s]) for m, s in parts])
        before = -1
        for length in range(len(data) + 1):
            decoder = PrefixDecoder(data[:length], len(data))
            found = read(decoder, parts)
            certain = decoder.certain
            assert np.array_equal(found[:certain], expected[:certain])
            assert not found[certain:].any()
            assert decoder.ended == (certain < len(expected))
            assert certain >= before
            before = certain
            gaps.append(8 * length - bits[:certain].sum())
        assert before == len(expected)
    # A byte more or less of the information in a prefix is all that is not yet certain.
    assert np.mean(gaps) < 8.0


def test_certain_means_that_all_continuations_agree(rng):
    """Every possible last byte is tried: the symbols they share are the certain ones."""
    missed = 0
    for _ in range(8):
        parts = draw(rng, 3)
        data = encode(parts)
        for length in range(max(0, len(data) - 2), len(data)):
            decoder = PrefixDecoder(data[:length], length + 1)
            read(decoder, parts)
            streams = [data[:length] + bytes([last]) for last in range(256)]
            every = np.array([readable(stream, parts) for stream in streams])
            agreed = (every == every[0]).all(axis=0)
            shared = len(agreed) if agreed.all() else int(np.argmin(agreed))
            assert decoder.certain <= shared
            missed += decoder.certain < shared
    assert missed == 0


def readable(stream: bytes, parts: list[tuple[Categorical, np.ndarray]]) -> np.ndarray:
    """Read symbol by symbol; -1 from the first that no encoder writes."""
    decoder = RangeDecoder(stream)
    found = [np.full(1, -1)] * sum(len(s) for _, s in parts)
    position = 0
    try:
        for model, symbols in parts:
            for _ in symbols:
                found[position] = decoder.decode(model, 1)
                position += 1
    except CorruptError:
        pass
    return np.concatenate(found)


def narrow_tables() -> ScaleTables:
    wide = ScaleTables.build()
    half_widths = np.minimum(wide.half_widths, 2)
    frequencies = np.zeros((len(half_widths), 6), np.int32)
    for row, half_width in enumerate(half_widths):
        used = 2 * half_width + 1 if row else 1
        frequencies[row, :used] = wide.frequencies[row, :used]
        if row:
            frequencies[row, used] = wide.frequencies[row, used:].sum()
    return ScaleTables(frequencies, half_widths)


def test_scaled_symbols_with_escapes_of_every_prefix(rng, order):
    tables = narrow_tables()
    rows = rng.integers(0, 45, 300)
    symbols = np.round(rng.normal(0.0, 3.0, 300)).astype(np.int32) * (rows > 0)
    symbols[rng.integers(0, 300, 3)] = 9000
    symbols[rows == 0] = 0
    assert (np.abs(symbols) > tables.half_widths[rows]).sum() > 40
    encoder = RangeEncoder()
    tables.encode(encoder, symbols, rows, order)
    data = encoder.to_bytes()
    counts = []
    for length in range(len(data) + 1):
        found, known = decode_known(tables, PrefixDecoder(data[:length], len(data)), rows, order)
        assert np.array_equal(found, np.where(known, symbols, 0))
        assert not known[rows == 0].any()
        counts.append(int(known.sum()))
    assert counts == sorted(counts)
    assert counts[0] == 0
    assert counts[-1] == np.count_nonzero(rows)
    # Escapes become known one by one, not all at the end.
    held = np.abs(symbols) <= tables.half_widths[rows]
    assert len({count for count in counts if count > (held & (rows > 0)).sum()}) > 20


def test_the_first_rows_of_the_order_are_known_first(rng):
    tables = ScaleTables.build()
    rows = rng.integers(0, 64, 2000)
    sigmas = np.array([0.0, *map(sigma_of_row, range(1, 64))])
    symbols = np.round(rng.normal(0.0, sigmas[rows])).astype(np.int32)
    for order in Order:
        encoder = RangeEncoder()
        tables.encode(encoder, symbols, rows, order)
        data = encoder.to_bytes()
        prefix = PrefixDecoder(data[: len(data) // 3], len(data))
        _, known = decode_known(tables, prefix, rows, order)
        there, missing = rows[known], rows[~known & (rows > 0)]
        assert 100 < len(there) < 1900
        if order is Order.LARGE_FIRST:
            assert there.min() >= missing.max()
        else:
            assert there.max() <= missing.min()


def test_a_long_unknown_rest_costs_no_memory():
    decoder = PrefixDecoder(b"\x12\x34", 1 << 40)
    decoder.decode(MODELS[0], 100)
    assert 14 <= decoder.certain <= 16


def test_a_size_below_the_data():
    with pytest.raises(ValueError, match="size: expected at least 2"):
        PrefixDecoder(b"ab", 1)
    with pytest.raises(ValueError, match="count"):
        PrefixDecoder(b"ab", 2).decode(MODELS[0], -1)


def test_a_whole_stream_that_no_encoder_writes():
    # All ones is above the last interval, whatever follows.
    for size in (16, 99):
        with pytest.raises(CorruptError):
            PrefixDecoder(b"\xff" * 16, size).decode(MODELS[2], 50)
