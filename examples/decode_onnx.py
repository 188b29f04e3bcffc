"""Decode a .glc file with nothing but ONNX Runtime and numpy, from what ``glc export`` wrote.

A model to follow for programs in other languages: container, range coder, the integers that select
the tables, and the networks, each as docs/format.md has it. Only files without alpha, and
in one piece. Writes a PPM.

    glc export --onnx base/
    python examples/decode_onnx.py base/ photo.glc photo.ppm
"""

from __future__ import annotations

import json
import os
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Else the runtime keeps a device id, and tells its maker of itself.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import numpy as np
import onnxruntime
from numpy.typing import NDArray

Array = NDArray[Any]


class Model:
    """The files of a model."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        self.config = self.about["config"]
        self.levels = self.config["hyper_levels"]
        arrays = self.about["arrays"]
        self.data = (folder / arrays["file"]).read_bytes()
        self.entries = arrays["entries"]

    def array(self, name: str) -> Array:
        """Return one of the arrays."""
        entry = self.entries[name]
        count = int(np.prod(entry["shape"]))
        kind = np.dtype(entry["type"]).newbyteorder("<")
        return np.frombuffer(self.data, kind, count, entry["offset"]).reshape(entry["shape"])

    def run(self, graph: str, **inputs: Array) -> list[Array]:
        """Run a network; returns its outputs."""
        path = self.folder / self.about["graphs"][graph]["file"]
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        wanted = {value.name for value in session.get_inputs()}
        given = {name: array for name, array in inputs.items() if name in wanted}
        return list(session.run(None, given))

    def gain(self, name: str, quality: int) -> Array:
        """Interpolate a gain in the log: (1, C, 1, 1)."""
        logs = self.array(f"{name}.log_gain")
        position = quality * (len(logs) - 1) / 100
        lower = min(int(position), len(logs) - 2)
        share = np.float32(position - lower)
        found = np.exp(logs[lower] * (1 - share) + logs[lower + 1] * share)
        return np.asarray(found[None, :, None, None], np.float32)


class Container:
    """What a file says: docs/format.md, section 2."""

    def __init__(self, data: bytes) -> None:
        if data[:1] != b"\x67" or data[1] >> 4 != 0xC:
            raise ValueError("not a .glc file")
        self.version, self.model, self.quality = data[1] & 15, data[2:5], data[5] & 127
        self.position, self.data = 6, data
        self.width, self.height = self.varint() + 1, self.varint() + 1
        size = self.varint()
        self.header = data[: self.position]
        self.payload = data[self.position : self.position + size]
        self.rest, self.checksum = data[self.position + size : -4], data[-4:]

    def varint(self) -> int:
        """Read a number of seven bits per byte."""
        value = shift = 0
        while True:
            byte = self.data[self.position]
            self.position += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value


class RangeDecoder:
    """docs/format.md, section 8.2."""

    def __init__(self, data: bytes) -> None:
        self.data, self.position = data, 8
        self.range, self.offset = 2**64 - 1, int.from_bytes(data[:8].ljust(8, b"\0"), "big")

    def symbol(self, frequencies: Array) -> int:
        """Read a symbol with one table."""
        if len(frequencies) == 1:
            return 0
        sums = np.cumsum(frequencies)
        scale = self.range >> 24
        found = int(np.searchsorted(sums, self.offset // scale >> 8, side="right"))
        if found == len(sums):
            raise ValueError("the payload is damaged")
        self.offset -= scale * 256 * int(sums[found] - frequencies[found])
        self.range = scale * 256 * int(frequencies[found])
        if self.range < 2**32:
            word = self.data[self.position : self.position + 4].ljust(4, b"\0")
            self.position += 4
            self.range <<= 32
            self.offset = self.offset << 32 | int.from_bytes(word, "big")
        return found


def conv3x3(x: Array, weight: Array) -> Array:
    """Convolve (C, h, w) by (N, 9 C) with zeros around, in integers: (N, h, w)."""
    channels, height, width = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    nine = weight.reshape(len(weight), channels, 9)
    total = np.zeros((len(weight), height * width), np.int64)
    for offset in range(9):
        row, column = divmod(offset, 3)
        part = padded[:, row : row + height, column : column + width]
        total += nine[:, :, offset] @ part.reshape(channels, -1)
    return total.reshape(-1, height, width)


def base_rows(model: Model, digits: Array, quality: int) -> Array:
    """What z says of the tables, in units of 1/512 row: section 7.4."""
    part = {name: model.array(f"scale_map.{name}").astype(np.int64) for name in MAP}
    hidden = np.tensordot(part["hidden_weight"], digits, 1) + part["hidden_bias"][:, None, None]
    total = conv3x3(hidden.clip(0, 127), part["weight"])
    _, height, width = total.shape
    cells = total.reshape(-1, 4, 4, height, width).transpose(0, 3, 1, 4, 2)
    span = 100 // (len(part["bias"]) - 1)
    lower = min(quality // span, len(part["bias"]) - 2)
    share = quality - lower * span
    bias = (part["bias"][lower] * (span - share) + part["bias"][lower + 1] * share) // span
    found: Array = cells.reshape(-1, 4 * height, 4 * width) + bias[:, None, None]
    return found


MAP = ("hidden_weight", "hidden_bias", "weight", "bias")


def context_rows(model: Model, symbols: Array, step: int) -> Array:
    """What decoded symbols add before a step."""
    weight, bias, out = (
        model.array(f"scale_map.context_{name}")[step - 1].astype(np.int64)
        for name in ("hidden_weight", "hidden_bias", "weight")
    )
    hidden = conv3x3(np.minimum(np.abs(symbols), 3), weight) + bias[:, None, None]
    return np.tensordot(out, hidden.clip(0, 127), 1)


def read_message(model: Model, decoder: RangeDecoder, rows: Array, version: int) -> Array:
    """Read one message of scaled symbols: docs/format.md, section 8.4."""
    tables, widths = (
        model.array(f"tables.scale.{name}") for name in ("frequencies", "half_widths")
    )
    symbols = np.zeros(len(rows), np.int64)
    escaped = []
    for row in range(1, 64) if version == 1 else range(63, 0, -1):
        width = int(widths[row])
        for position in np.flatnonzero(rows == row):
            code = decoder.symbol(tables[row, : 2 * width + 2])
            if code == 2 * width + 1:
                escaped.append((position, width))
            else:
                symbols[position] = -(code + 1) // 2 if code % 2 else code // 2
    classes = np.array([1 << (15 - k) for k in range(14)] + [4])
    sizes = [decoder.symbol(classes) for _ in escaped]
    for (position, width), size in zip(escaped, sizes, strict=True):
        bits = [decoder.symbol(np.array([1 << 15] * 2)) for _ in range(size + 1)]
        excess = int("1" + "".join(map(str, bits[1:])), 2)
        symbols[position] = -(width + excess) if bits[0] else width + excess
    return symbols


def decode(model: Model, data: bytes) -> Array:
    """Return the pixels of a file: (H, W, 3) uint8."""
    file, identity = Container(data), bytes.fromhex(model.about["identity"])
    if file.model != identity[:3]:
        raise ValueError(f"the file was made with model {file.model.hex()}")
    rows, columns = -(-file.height // 64), -(-file.width // 64)
    decoder = RangeDecoder(file.payload)
    bank = (file.quality * (model.config["quality_anchors"] - 1) + 50) // 100
    table = model.array("tables.index.frequencies")[bank]
    flat = [decoder.symbol(table) for _ in range(rows * columns)]
    indices = np.array(flat).reshape(rows, columns)
    levels = np.unravel_index(indices, model.levels, order="F")
    pairs = zip(levels, model.levels, strict=True)
    digits = np.stack([2 * level - (count - 1) for level, count in pairs])

    # Integers alone: which table every symbol has, and the symbols.
    base = base_rows(model, digits, file.quality)
    symbols = np.zeros(base.shape, np.int64)
    masks = [step_mask(model, step, base.shape) for step in range(4)]
    inside = np.zeros(base.shape, bool)
    inside[:, : -(-file.height // 16), : -(-file.width // 16)] = True
    for step, mask in enumerate(masks):
        total = base + context_rows(model, symbols, step) if step else base
        chosen = ((total + 256) // 512).clip(0, 63)
        coded = mask & inside
        symbols[coded] = read_message(model, decoder, chosen[coded], file.version)
    integers = indices.astype("<u2").tobytes() + symbols.astype("<i2").tobytes()
    if zlib.crc32(file.header + identity + file.rest + integers).to_bytes(4, "little") != (
        file.checksum
    ):
        raise ValueError("the checksum does not match: the file is damaged")

    # Networks: what the symbols mean, and the picture.
    names = ("hyper_synthesis", "synthesis")
    gains = {name: model.gain(f"{name}.gain", file.quality) for name in names}
    more = {}
    if model.config["architecture"] > 1:
        more["low_pass_gain"] = model.gain("hyper_synthesis.low_pass_gain", file.quality)
    z = digits[None].astype(np.float32)
    (features,) = model.run("hyper_synthesis", digits=z, gain=gains["hyper_synthesis"], **more)
    y_hat = np.zeros((1, *base.shape), np.float32)
    for step, mask in enumerate(masks):
        mean, size = model.run(f"context_{step}", features=features, y_hat=y_hat)
        y_hat += mask * (symbols.astype(np.float32) * size + mean)
    inner = model.gain("synthesis.gain_inner", file.quality)
    (l_hat,) = model.run("synthesis", y_hat=y_hat, gain=gains["synthesis"], gain_inner=inner)
    # The most realistic picture; from architecture 3 on it has a decoder of its own.
    decoder = "realistic" if model.config["architecture"] > 2 else "decoder"
    realism = np.ones(1, np.float32)
    (features,) = model.run(f"{decoder}_coarse", l_hat=l_hat, realism=realism)
    (pixels,) = model.run(f"{decoder}_fine", features=features, realism=realism)
    found: Array = pixels[0, : file.height, : file.width]
    return found


def step_mask(model: Model, step: int, shape: Sequence[int]) -> Array:
    """Return what a step codes: section 7.3."""
    mask = np.zeros(shape, bool)
    quarter = shape[0] // 4
    for index, corner in enumerate(model.about["step_corners"][step]):
        mask[index * quarter : (index + 1) * quarter, corner // 2 :: 2, corner % 2 :: 2] = True
    return mask


def main(arguments: Sequence[str]) -> int:
    """Decode a file; returns the exit code."""
    if len(arguments) != 3:
        sys.stderr.write("usage: decode_onnx.py DIR FILE.glc OUT.ppm\n")
        return 2
    folder, source, target = map(Path, arguments)
    pixels = decode(Model(folder), source.read_bytes())
    height, width, _ = pixels.shape
    target.write_bytes(b"P6 %d %d 255\n" % (width, height) + pixels.tobytes())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
