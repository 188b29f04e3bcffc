"""A second reader of the payload, from FORMAT.md alone, reads the golden files and extreme ones.

It takes the integers of the weights file; networks, tensors and the coder's library
have no part.
"""

from __future__ import annotations

import json
import runpy
import zlib
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

from glc import Codec
from glc.bitstream import unpack

HERE = Path(__file__).parent
CORNERS = ((0, 3, 2, 1), (3, 0, 1, 2), (1, 2, 3, 0), (2, 1, 0, 3))


class Weights:
    """The integers of a weights file, as nested lists."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + size])
        self.config = json.loads(header["__metadata__"]["glc"])["config"]
        tensors = safetensors.numpy.load(data)
        prefix = "scale_map."
        names = [name for name in tensors if name.startswith(prefix)]
        self.scale_map = {name[len(prefix) :]: tensors[name].tolist() for name in names}
        self.index_tables = tensors["tables.index.frequencies"].tolist()
        self.scale_frequencies = tensors["tables.scale.frequencies"]
        self.half_widths = tensors["tables.scale.half_widths"]


class Tables:
    """What the reference decoder of scaled symbols asks for."""

    def __init__(self, weights: Weights) -> None:
        self.frequencies, self.half_widths = weights.scale_frequencies, weights.half_widths


def read(data: bytes, weights: Weights) -> bytes:
    """Return the bytes of section 7.5."""
    decoder_class = runpy.run_path(str(HERE.parent / "entropy" / "conftest.py"))["ReferenceDecoder"]
    map_class = runpy.run_path(str(HERE.parent / "networks" / "conftest.py"))["ReferenceScaleMap"]
    container, config = unpack(data), weights.config
    decoder, scale_map = decoder_class(container.payload), map_class(weights.scale_map)
    z_rows, z_columns = -(-container.height // 64), -(-container.width // 64)
    inside_rows, inside_columns = -(-container.height // 16), -(-container.width // 16)
    bank = (container.quality * (config["quality_anchors"] - 1) + 50) // 100
    indices = [decoder.symbol(weights.index_tables[bank]) for _ in range(z_rows * z_columns)]

    digits, radix = [], 1
    for levels in config["hyper_levels"]:
        values = [2 * (index // radix % levels) - (levels - 1) for index in indices]
        digits.append([values[z_columns * y : z_columns * (y + 1)] for y in range(z_rows)])
        radix *= levels
    base = scale_map.base(digits, container.quality)

    channels, rows, columns = config["y_channels"], 4 * z_rows, 4 * z_columns
    symbols = [[[0] * columns for _ in range(rows)] for _ in range(channels)]
    for step in range(4):
        totals = (base, scale_map.context(symbols, step)) if step else (base,)
        table_rows = scale_map.rows(*totals)
        message = [
            (c, y, x)
            for c in range(channels)
            for y in range(inside_rows)
            for x in range(inside_columns)
            if CORNERS[step][4 * c // channels] == 2 * (y % 2) + x % 2
        ]
        chosen = [table_rows[c][y][x] for c, y, x in message]
        values = decoder.scaled_symbols(Tables(weights), chosen, data[1] % 16)
        for (c, y, x), value in zip(message, values, strict=True):
            symbols[c][y][x] = value
    flat = [value for plane in symbols for line in plane for value in line]
    z_bytes = b"".join(index.to_bytes(2, "little") for index in indices)
    return z_bytes + b"".join(value.to_bytes(2, "little", signed=True) for value in flat)


def matches(data: bytes, symbols: bytes, identity: bytes) -> bool:
    """Compare with the checksum over header, identity, chunks and symbols: section 6."""
    container = unpack(data)
    payload = data.rindex(container.payload)
    covered = data[:payload] + identity + data[payload + len(container.payload) : -4] + symbols
    return zlib.crc32(covered) == container.checksum


@pytest.mark.parametrize("name", ["colour", "grey", "alpha"])
def test_it_reads_what_the_checksum_covers(name, version):
    path = HERE / f"v{version}" / f"{name}.glc"
    weights_path = path.parent / "golden.safetensors"
    data = path.read_bytes()
    symbols = read(data, Weights(weights_path))
    identity = bytes.fromhex(json.loads((path.parent / "expected.json").read_text())["identity"])
    assert matches(data, symbols, identity)


@pytest.mark.parametrize("seed", range(4))
def test_it_reads_files_of_extreme_weights(
    make_model, make_picture, export_model, tmp_path, seed, version
):
    """Weights of the scale map at their limits, and latents so large that symbols are clamped."""
    model = make_model(seed)
    generator = torch.Generator().manual_seed(seed)
    integers = model.scale_map.integers()
    for name, value in integers.items():
        signs = 2 * torch.randint(0, 2, value.shape, generator=generator) - 1
        if not name.endswith("bias"):
            value.copy_(127 * signs)
        elif name == "bias":
            # Rows from end to end of the table, and sums far outside of it.
            value.copy_(signs * torch.randint(0, 1 << 16, value.shape, generator=generator))
    model.scale_map.load_integers(integers)
    model.analysis.head.weight.requires_grad_(False).mul_(1e5 if seed % 2 else 20.0)
    identity = export_model(tmp_path / "extreme.safetensors", model, "extreme")
    codec = Codec.from_pretrained(tmp_path / "extreme.safetensors", device="cpu")
    (data,) = codec.encode_batch([make_picture(50, 90, seed)], 33 * seed, version=version)
    symbols = read(data, Weights(tmp_path / "extreme.safetensors"))
    assert matches(data, symbols, identity)
    y = np.frombuffer(symbols[4:], "<i2").astype(int)
    assert np.abs(y).max() == 32767 if seed % 2 else np.abs(y).max() > 3
