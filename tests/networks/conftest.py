"""A second scale map, written from docs/format.md, section 7.4."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Grid = list[list[list[int]]]


class ReferenceScaleMap:
    """Rows of the scale table from nested lists of integers; no tensor takes part."""

    def __init__(self, integers: dict[str, list]) -> None:
        self.p = integers

    @staticmethod
    def conv3x3(planes: Grid, weight: list[list[int]], bias: list[int] | None) -> Grid:
        """Weights are ordered channel, row, column; positions outside count as 0."""
        height, width = len(planes[0]), len(planes[0][0])
        out = []
        for index, kernel in enumerate(weight):
            plane = []
            for y in range(height):
                line = []
                for x in range(width):
                    total = bias[index] if bias else 0
                    for channel, source in enumerate(planes):
                        for tap in range(9):
                            row, column = y + tap // 3 - 1, x + tap % 3 - 1
                            if 0 <= row < height and 0 <= column < width:
                                total += kernel[9 * channel + tap] * source[row][column]
                    line.append(total)
                plane.append(line)
            out.append(plane)
        return out

    @staticmethod
    def clamped(planes: Grid) -> Grid:
        return [[[min(max(v, 0), 127) for v in line] for line in plane] for plane in planes]

    def base(self, digits: Grid, quality: int) -> Grid:
        weight, bias = self.p["hidden_weight"], self.p["hidden_bias"]
        height, width = len(digits[0]), len(digits[0][0])
        hidden = [
            [
                [
                    sum(w * plane[y][x] for w, plane in zip(row, digits, strict=True)) + start
                    for x in range(width)
                ]
                for y in range(height)
            ]
            for row, start in zip(weight, bias, strict=True)
        ]
        packed = self.conv3x3(self.clamped(hidden), self.p["weight"], None)
        channels = len(packed) // 16
        start = self.quality_bias(quality)
        return [
            [
                [
                    packed[16 * c + 4 * (y % 4) + x % 4][y // 4][x // 4] + start[c]
                    for x in range(4 * width)
                ]
                for y in range(4 * height)
            ]
            for c in range(channels)
        ]

    def quality_bias(self, quality: int) -> list[int]:
        bias = self.p["bias"]
        span = 100 // (len(bias) - 1)
        lower = min(quality // span, len(bias) - 2)
        part = quality - lower * span
        pairs = zip(bias[lower], bias[lower + 1], strict=True)
        return [(a * (span - part) + b * part) // span for a, b in pairs]

    def context(self, symbols: Grid, step: int) -> Grid:
        magnitudes = [[[min(abs(v), 3) for v in line] for line in plane] for plane in symbols]
        weight = self.p["context_hidden_weight"][step - 1]
        hidden = self.conv3x3(magnitudes, weight, self.p["context_hidden_bias"][step - 1])
        hidden = self.clamped(hidden)
        height, width = len(symbols[0]), len(symbols[0][0])
        return [
            [
                [
                    sum(w * plane[y][x] for w, plane in zip(row, hidden, strict=True))
                    for x in range(width)
                ]
                for y in range(height)
            ]
            for row in self.p["context_weight"][step - 1]
        ]

    @staticmethod
    def rows(*totals: Grid) -> Grid:
        return [
            [
                [min(max((sum(values) + 256) // 512, 0), 63) for values in zip(*lines, strict=True)]
                for lines in zip(*planes, strict=True)
            ]
            for planes in zip(*totals, strict=True)
        ]


@pytest.fixture(scope="session")
def reference_map() -> Callable[[Any], ReferenceScaleMap]:
    """Return a function that gives the reference of a ScaleMap."""

    def make(scales: Any) -> ReferenceScaleMap:
        integers = scales.integers().items()
        return ReferenceScaleMap({name: value.long().tolist() for name, value in integers})

    return make
