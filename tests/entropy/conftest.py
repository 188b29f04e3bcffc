"""An independent reader of the format, and tables for the tests."""

from __future__ import annotations

import numpy as np
import pytest

from glc.entropy import Order, ScaleTables


class ReferenceDecoder:
    """The range decoder of docs/format.md, section 8.2, word by word from its text."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0
        self._range = 2**64 - 1
        self._offset = self._next(8)

    def _next(self, size: int) -> int:
        chunk = self._data[self._position : self._position + size]
        self._position += size
        return int.from_bytes(chunk.ljust(size, b"\0"), "big")

    def symbol(self, frequencies: list[int]) -> int:
        if len(frequencies) == 1:
            return 0
        scale = self._range >> 24
        quantile = self._offset // scale
        if quantile >= 2**24:
            raise ArithmeticError("corrupt")
        total = 0
        symbol = 0
        while quantile >= 256 * (total + frequencies[symbol]):
            total += frequencies[symbol]
            symbol += 1
        self._offset -= scale * 256 * total
        self._range = scale * 256 * frequencies[symbol]
        if self._range < 2**32:
            self._range <<= 32
            self._offset = (self._offset << 32) | self._next(4)
        return symbol

    def scaled_symbols(self, tables: ScaleTables, rows: list[int], version: int) -> list[int]:
        symbols = [0] * len(rows)
        escapes = []
        for row in {1: range(1, 64), 2: range(63, 0, -1)}[version]:
            half_width = int(tables.half_widths[row])
            frequencies = tables.frequencies[row, : 2 * half_width + 2].tolist()
            for position in [p for p, r in enumerate(rows) if r == row]:
                code = self.symbol(frequencies)
                if code == 2 * half_width + 1:
                    escapes.append((position, half_width))
                else:
                    symbols[position] = code // 2 if code % 2 == 0 else -(code + 1) // 2
        class_frequencies = [2 ** (15 - k) for k in range(14)] + [4]
        classes = [self.symbol(class_frequencies) for _ in escapes]
        for (position, half_width), k in zip(escapes, classes, strict=True):
            sign = self.symbol([2**15, 2**15])
            suffix = 0
            for _ in range(k):
                suffix = 2 * suffix + self.symbol([2**15, 2**15])
            magnitude = half_width + 2**k + suffix
            symbols[position] = -magnitude if sign else magnitude
        return symbols


@pytest.fixture(scope="session")
def reference() -> type[ReferenceDecoder]:
    return ReferenceDecoder


@pytest.fixture(params=Order, ids=lambda order: order.name.lower())
def order(request: pytest.FixtureRequest) -> Order:
    """Each of the orders that files have had."""
    found: Order = request.param
    return found


@pytest.fixture(scope="session")
def scale_tables() -> ScaleTables:
    return ScaleTables.build()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240607)
