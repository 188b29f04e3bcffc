"""A second reader of .glc files: docs/format.md in two hundred lines of the standard library.

    python examples/read_symbols.py tests/golden/v2/grey.glc tests/golden/v2/golden.safetensors

Decodes every integer of a file and compares the checksum; makes no picture. Slow, and short enough
to port: numbers in comments are sections of docs/format.md.
"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
import zlib
from itertools import accumulate
from math import prod
from pathlib import Path
from typing import Any

CORNERS = ((0, 3, 2, 1), (3, 0, 1, 2), (1, 2, 3, 0), (2, 1, 0, 3))  # 7.3
CLASSES = [1 << (15 - k) for k in range(14)] + [4]  # 8.4
BIT = [1 << 15, 1 << 15]


def varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at an offset, and the offset after it (1)."""
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return value, at


def header(data: bytes) -> tuple[int, int, int, int]:
    """Return width and height, and where the payload begins and ends (2)."""
    if data[0] != 0x67 or data[1] not in (0xC1, 0xC2):
        raise ValueError("not a .glc file of version 1 or 2")
    width, at = varint(data, 6)
    height, at = varint(data, at)
    size, start = varint(data, at)
    return width + 1, height + 1, start, start + size


def weights_of(data: bytes) -> tuple[dict[str, Any], dict[str, list[int]]]:
    """Return configuration and integer tensors, flat, of a safetensors file (7.1)."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    config = json.loads(header.pop("__metadata__")["glc"])["config"]
    kinds = {"I8": "b", "I32": "i"}
    tensors = {}
    for name, entry in header.items():
        if entry["dtype"] in kinds:
            count, (begin, _) = prod(entry["shape"]), entry["data_offsets"]
            form = f"<{count}{kinds[entry['dtype']]}"
            tensors[name] = list(struct.unpack_from(form, data, 8 + size + begin))
    return config, tensors


class RangeDecoder:
    """Section 8.2."""

    def __init__(self, payload: bytes) -> None:
        self.data, self.at, self.range = payload, 8, (1 << 64) - 1
        self.offset = int.from_bytes(payload[:8].ljust(8, b"\0"), "big")

    def symbol(self, table: list[int]) -> int:
        """Read one symbol."""
        if len(table) == 1:
            return 0
        scale = self.range >> 24
        quantile = self.offset // scale
        if quantile >= 1 << 24:
            raise ValueError("corrupt payload")
        ends = list(accumulate(table))
        i = next(i for i, end in enumerate(ends) if quantile < 256 * end)
        self.offset -= scale * 256 * (ends[i] - table[i])
        self.range = scale * 256 * table[i]
        if self.range < 1 << 32:
            word = self.data[self.at : self.at + 4].ljust(4, b"\0")
            self.at, self.range = self.at + 4, self.range << 32
            self.offset = self.offset << 32 | int.from_bytes(word, "big")
        return i

    def scaled(self, rows: list[int], weights: dict[str, list[int]], version: int) -> list[int]:
        """Read one message of scaled symbols (8.4)."""
        frequencies, halves = (weights["tables.scale." + n] for n in ("frequencies", "half_widths"))
        columns, symbols, escapes = len(frequencies) // 64, [0] * len(rows), []
        for row in range(63, 0, -1) if version == 2 else range(1, 64):
            half = halves[row]
            table = frequencies[row * columns : row * columns + 2 * half + 2]
            for at in (at for at, mine in enumerate(rows) if mine == row):
                code = self.symbol(table)
                symbols[at] = code // 2 if code % 2 == 0 else -(code + 1) // 2
                if code == 2 * half + 1:
                    escapes.append((at, half))
        classes = [self.symbol(CLASSES) for _ in escapes]
        for (at, half), k in zip(escapes, classes, strict=True):
            sign, suffix = self.symbol(BIT), 0
            for _ in range(k):
                suffix = 2 * suffix + self.symbol(BIT)
            symbols[at] = (half + (1 << k) + suffix) * (-1 if sign else 1)
        return symbols


def read(data: bytes, weights_file: bytes) -> bytes:
    """Return the bytes of 7.5, checksum compared."""
    width, height, start, end = header(data)
    quality = data[5] & 0x7F
    identity = hashlib.sha256(weights_file).digest()  # 4
    config, tensors = weights_of(weights_file)
    channels, hidden = config["y_channels"], config["scale_hidden"]
    anchors, levels = config["quality_anchors"], config["hyper_levels"]
    a, a0, b, b0, e, e0, f = (
        tensors[f"scale_map.{name}"]
        for name in (
            *("hidden_weight", "hidden_bias", "weight", "bias"),
            *("context_hidden_weight", "context_hidden_bias", "context_weight"),
        )
    )
    zh, zw, yh, yw = -(-height // 64), -(-width // 64), -(-height // 16), -(-width // 16)  # 7.2
    decoder, count = RangeDecoder(data[start:end]), prod(levels)
    bank = (quality * (anchors - 1) + 50) // 100  # 7.3
    table = tensors["tables.index.frequencies"][bank * count : (bank + 1) * count]
    indices = [decoder.symbol(table) for _ in range(zh * zw)]

    def tap(plane: list[int], y: int, x: int, rows: int, columns: int) -> int:
        return plane[y * columns + x] if 0 <= y < rows and 0 <= x < columns else 0

    digits, radix = [], 1  # 7.4
    for level in levels:
        digits.append([2 * (index // radix % level) - level + 1 for index in indices])
        radix *= level
    u = [
        [
            min(
                max(a0[k] + sum(a[k * len(levels) + d] * g[i] for d, g in enumerate(digits)), 0),
                127,
            )
            for i in range(zh * zw)
        ]
        for k in range(hidden)
    ]
    span = 100 // (anchors - 1)
    n = min(quality // span, anchors - 2)
    p = quality - n * span

    def from_z(c: int, y: int, x: int) -> int:
        bias = (b0[n * channels + c] * (span - p) + b0[(n + 1) * channels + c] * p) // span
        line = (16 * c + 4 * (y % 4) + x % 4) * 9 * hidden
        return bias + sum(
            b[line + 9 * k + 3 * r + s] * tap(u[k], y // 4 + r - 1, x // 4 + s - 1, zh, zw)
            for k in range(hidden)
            for r in range(3)
            for s in range(3)
        )

    def context(m: list[list[int]], t: int, y: int, x: int) -> list[int]:
        near = [
            tap(plane, y + r - 1, x + s - 1, 4 * zh, 4 * zw)
            for plane in m
            for r in range(3)
            for s in range(3)
        ]
        values = []
        for k in range(t * 2 * hidden, (t + 1) * 2 * hidden):
            total = sum(w * g for w, g in zip(e[k * len(near) :], near, strict=False))
            values.append(min(max(e0[k] + total, 0), 127))
        return values

    symbols = [[0] * (16 * zh * zw) for _ in range(channels)]
    for step in range(4):
        m = [[min(abs(value), 3) for value in plane] for plane in symbols]
        message = [
            (c, y, x)
            for c in range(channels)
            for y in range(yh)
            for x in range(yw)
            if CORNERS[step][4 * c // channels] == 2 * (y % 2) + x % 2
        ]
        v: dict[tuple[int, int], list[int]] = {}
        rows = []
        for c, y, x in message:
            total = from_z(c, y, x)
            if step:
                if (y, x) not in v:
                    v[y, x] = context(m, step - 1, y, x)
                line = ((step - 1) * channels + c) * 2 * hidden
                total += sum(w * g for w, g in zip(f[line:], v[y, x], strict=False))
            rows.append(min(max((total + 256) // 512, 0), 63))
        decoded = decoder.scaled(rows, tensors, data[1] & 15)
        for (c, y, x), value in zip(message, decoded, strict=True):
            symbols[c][y * 4 * zw + x] = value
    flat = [value for plane in symbols for value in plane]
    canonical = struct.pack(f"<{len(indices)}H{len(flat)}h", *indices, *flat)  # 7.5
    covered = data[:start] + identity + data[end:-4] + canonical  # 6
    if zlib.crc32(covered) != int.from_bytes(data[-4:], "little"):
        raise ValueError("the checksum does not hold")
    return canonical


if __name__ == "__main__":
    result = read(Path(sys.argv[1]).read_bytes(), Path(sys.argv[2]).read_bytes())
    print(f"{len(result) // 2} integers, SHA-256 {hashlib.sha256(result).hexdigest()}")
