"""``glc.entropy``: any bytes against integer tables give symbols in range, or a CorruptError.

An input is four bytes that choose tables, rows, their order and counts, then the payload.
"""

from __future__ import annotations

from random import Random

import numpy as np

from glc.entropy import (
    MAX_MAGNITUDE,
    ROWS,
    IndexTables,
    Order,
    RangeDecoder,
    RangeEncoder,
    ScaleTables,
)
from glc.weights import checkpoint
from tests.fuzz.mutate import mutate_bytes
from tests.fuzz.targets.container import GOLDEN

_CHOICES = 4


class EntropyTarget:
    name = "entropy"
    max_bytes = 2048

    def __init__(self) -> None:
        tensors = checkpoint.load(GOLDEN / "golden.safetensors").tensors
        scale = {key: tensors[f"tables.scale.{key}"] for key in ("frequencies", "half_widths")}
        # Narrow rows, whose escapes are common, and the wide ones of a real model.
        self._scales = (ScaleTables.from_arrays(scale), ScaleTables.build())
        self._indices = IndexTables(tensors["tables.index.frequencies"])

    def seeds(self) -> list[bytes]:
        made = []
        for number in range(24):
            choices = bytes((number % 12 + 8, 40 * number % 256, number * 7 % 256, number))
            wide, z_count, rows = self._plan(choices)
            rng = np.random.default_rng(number)
            encoder = RangeEncoder()
            self._indices.encode(encoder, rng.integers(0, self._size, z_count), number % 3)
            for row in rows:
                spread = (row.astype(np.float64) + 1) ** 2 / 40
                symbols = np.rint(rng.normal(0, spread)).astype(np.int32) * (row > 0)
                self._scales[wide].encode(encoder, symbols, row, _order(choices))
            made.append(choices + encoder.to_bytes())
        return made

    @property
    def _size(self) -> int:
        return int(self._indices.frequencies.shape[1])

    def _plan(self, choices: bytes) -> tuple[int, int, list[np.ndarray]]:
        """Return which scale tables, how many indices, and the rows of each message."""
        rng = np.random.default_rng(choices[2])
        messages = (1, 1, 2, 4)[choices[3] % 4]
        # Mostly short messages, which are quick; the others have up to 2,040 symbols.
        kind, count = choices[0] >> 1 & 3, choices[1] // 8
        if choices[0] >= 0xF8:
            count = 8 * choices[1]
        rows = []
        for _ in range(messages):
            everywhere = np.full(count, choices[2] % ROWS)
            some = rng.integers(0, ROWS, count)
            rows.append((everywhere, some, np.sort(some), np.minimum(some, 2))[kind])
        return choices[0] & 1, choices[1] % 65, rows

    def mutate(self, data: bytes, rng: Random) -> bytes:
        if len(data) < _CHOICES:
            return data + rng.randbytes(_CHOICES)
        choices, payload = data[:_CHOICES], data[_CHOICES:]
        kind = rng.randrange(5)
        if kind == 0:
            choices = rng.randbytes(_CHOICES)
        elif kind == 1:
            payload = rng.choice((b"\0", b"\xff", b"\x7f", b"\x80")) * rng.randint(0, 64)
        elif kind == 2:
            payload = rng.randbytes(rng.randint(0, 200))
        else:
            payload = mutate_bytes(payload, rng)
        return choices + payload

    def run(self, data: bytes) -> str:
        choices, payload = data[:_CHOICES].ljust(_CHOICES, b"\0"), data[_CHOICES:]
        wide, z_count, rows = self._plan(choices)
        tables = self._scales[wide]
        decoder = RangeDecoder(payload)
        bank = choices[2] % 3
        indices = self._indices.decode(decoder, z_count, bank)
        assert indices.shape == (z_count,)
        assert not indices.size or 0 <= indices.min() <= indices.max() < self._size
        order = _order(choices)
        messages = [tables.decode(decoder, row, order) for row in rows]
        for row, symbols in zip(rows, messages, strict=True):
            assert symbols.shape == row.shape
            assert symbols.dtype == np.int32
            assert not symbols.size or np.abs(symbols).max() <= MAX_MAGNITUDE
            assert not symbols[row == 0].any()
        if choices[0] & 8:
            self._again(indices, bank, tables, rows, order, messages)
        largest = max(int(np.abs(symbols).max(initial=0)) for symbols in messages)
        return f"tables {('narrow', 'wide')[wide]}, largest symbol of {largest.bit_length()} bits"

    def _again(
        self,
        indices: np.ndarray,
        bank: int,
        tables: ScaleTables,
        rows: list[np.ndarray],
        order: Order,
        messages: list[np.ndarray],
    ) -> None:
        """What was decoded can be encoded, and then decodes to itself."""
        encoder = RangeEncoder()
        self._indices.encode(encoder, indices, bank)
        for row, symbols in zip(rows, messages, strict=True):
            tables.encode(encoder, symbols, row, order)
        decoder = RangeDecoder(encoder.to_bytes())
        assert np.array_equal(self._indices.decode(decoder, len(indices), bank), indices)
        for row, symbols in zip(rows, messages, strict=True):
            assert np.array_equal(tables.decode(decoder, row, order), symbols)

    def allowance(self, data: bytes) -> int:
        # At most 4 messages of 2,040 symbols, a few int64 and int32 copies of each.
        return 8 * len(data) + (2 << 20)


def _order(choices: bytes) -> Order:
    return Order.LARGE_FIRST if choices[3] & 16 else Order.SMALL_FIRST


def make() -> EntropyTarget:
    return EntropyTarget()
