"""The coder in JavaScript writes and reads the bytes of the one in Python."""

from __future__ import annotations

import numpy as np
import pytest

from glc.coding.versions import order_of
from glc.entropy import IndexTables, Order, RangeEncoder, ScaleTables
from tests.conftest import narrow_tables

pytestmark = pytest.mark.system


def messages_of(rng: np.random.Generator, tables: ScaleTables, count: int) -> list[tuple]:
    """Return rows and symbols: some ordinary, some far beyond the half width, some empty."""
    found = []
    for number in range(count):
        size = int(rng.integers(0, 400)) if number else 0
        rows = rng.integers(0, 64, size).astype(np.uint8)
        if number % 3 == 1:
            rows[:] = rng.integers(1, 3)
        spread = tables.half_widths[rows] * rng.choice([0.3, 1.5, 400.0])
        symbols = np.rint(rng.normal(0, 1, size) * spread).clip(-32767, 32767).astype(np.int32)
        symbols[rows == 0] = 0
        found.append((rows, symbols))
    return found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("narrow", [False, True])
def test_messages(seed, narrow, version, probe):
    rng = np.random.default_rng(seed)
    scales = narrow_tables() if narrow else ScaleTables.build()
    # Some indices are nearly certain: streams of few bytes, and long runs of carries.
    indices = IndexTables.build((rng.random((3, 700)) ** 40 * 1e6).astype(np.int64))
    of_z = rng.choice(700, 200, p=indices.frequencies[2] / 65536).astype(np.int32)
    messages = messages_of(rng, scales, 6)
    encoder = RangeEncoder()
    indices.encode(encoder, of_z, 2)
    for rows, symbols in messages:
        scales.encode(encoder, symbols, rows, order_of(version))
    answer = probe(
        "messages",
        {
            "scales": [scales.frequencies.tolist(), scales.half_widths.tolist()],
            "index": indices.frequencies.tolist(),
            "row": 2,
            "version": version,
            "indices": of_z.tolist(),
            "messages": [[rows.tolist(), symbols.tolist()] for rows, symbols in messages],
        },
    )
    assert answer["bytes"] == encoder.to_bytes().hex()
    assert answer["indices"] == of_z.tolist()
    assert answer["symbols"] == [symbols.tolist() for _, symbols in messages]


def test_both_orders_are_tried():
    assert {order_of(1), order_of(2)} == set(Order)
