"""Mean colours: JavaScript reads what Python writes, and adds what Python adds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from glc import Codec
from glc.bitstream import Chunk, pack, unpack
from glc.coding.assembly import canonical
from glc.coding.mean_colors import from_chunk, to_chunk
from glc.entropy import RangeEncoder, ScaleTables
from glc.entropy.categorical import Categorical
from glc.entropy.escape import encode_escapes
from glc.errors import CorruptError
from glc.image.mean_colors import add
from glc.tiling.sizes import grid_of
from tests.conftest import narrow_tables
from tests.web.conftest import levels

pytestmark = pytest.mark.system

LARGEST = 32767
SIZES = (
    *((1, 1), (1, 300), (300, 1), (31, 33), (64, 64), (65, 64), (64, 65)),
    *((192, 128), (160, 97), (127, 129), (45, 130)),
)
"""Of one pixel, of one cell, of 3 x 2 cells, and of cells that are cut off."""

TABLES = {"wide": ScaleTables.build(), "narrow": narrow_tables()}


def symbols_of(rng: np.random.Generator, size: tuple[int, int], kind: str) -> np.ndarray:
    shape = 3, *grid_of(*size)
    found = {
        "none": np.zeros(shape),
        "grey": rng.normal(0, 3, shape) * [[[1]], [[0]], [[0]]],
        "tint": rng.normal(0, 3, shape) * [[[0]], [[1]], [[1]]],
        "strong": rng.normal(0, 40, shape),
        "extreme": rng.choice([-LARGEST, LARGEST], shape),
        "mixed": rng.choice([-LARGEST, -LARGEST + 1, -2, 0, 1, LARGEST], shape),
    }[kind]
    return np.rint(found).astype(np.int32)


KINDS = ("none", "grey", "tint", "strong", "extreme", "mixed")


@pytest.mark.parametrize("kind", KINDS)
def test_pixels(kind, probe):
    rng = np.random.default_rng(KINDS.index(kind))
    pictures = [
        (rng.integers(0, 256, (*size, 4), np.uint8), symbols_of(rng, size, kind)) for size in SIZES
    ]
    given = [[rgba.tobytes().hex(), s.ravel().tolist(), *rgba.shape[:2]] for rgba, s in pictures]
    for (rgba, symbols), found in zip(pictures, probe("addMeanColors", given), strict=True):
        expected = np.dstack((add(rgba[..., :3], symbols), rgba[..., 3]))
        shown = np.frombuffer(bytes.fromhex(found), np.uint8).reshape(rgba.shape)
        assert np.array_equal(shown, expected), rgba.shape


def test_every_symbol_of_one_cell(probe):
    """What is rounded, and what is clamped."""
    rng = np.random.default_rng(0)
    triples = rng.integers(-60, 61, (2000, 3)).tolist()
    triples += [[y, b, r] for y in (-LARGEST, LARGEST) for b in (y, -y) for r in (y, -y)]
    found = probe("addMeanColors", [["808080ff", triple, 1, 1] for triple in triples])
    grey = np.full((1, 1, 3), 128, np.uint8)
    added = [add(grey, np.array(triple, np.int32).reshape(3, 1, 1)) for triple in triples]
    assert found == [pixel.tobytes().hex() + "ff" for pixel in added]


def read(probe, tables: ScaleTables, chunks: list[tuple]) -> list:
    given = [[data.hex(), *size] for data, size in chunks]
    scales = [tables.frequencies.tolist(), tables.half_widths.tolist()]
    return probe("readMeanColors", {"scales": scales, "chunks": given})


def expected_of(tables: ScaleTables, data: bytes, size: tuple[int, int]) -> list | dict:
    try:
        return from_chunk(tables, data, *size).ravel().tolist()
    except CorruptError as error:
        return {"error": "CorruptError", "message": str(error)}


@pytest.mark.parametrize("name", TABLES)
def test_symbols(name, probe):
    rng, tables = np.random.default_rng(1), TABLES[name]
    drawn = [(symbols_of(rng, size, kind), size) for size in SIZES for kind in KINDS]
    chunks = [(to_chunk(tables, symbols), size) for symbols, size in drawn]
    for (symbols, size), (data, _), found in zip(
        drawn, chunks, read(probe, tables, chunks), strict=True
    ):
        assert found == symbols.ravel().tolist()
        assert np.array_equal(from_chunk(tables, data, *size), symbols)


def too_large(tables: ScaleTables) -> bytes:
    """Return a chunk of one cell, whose brightness is an escape of more than 16 bits."""
    half_width = int(tables.half_widths[8])
    encoder = RangeEncoder()
    frequencies = tables.frequencies[8, : 2 * half_width + 2]
    encoder.encode(np.array([2 * half_width + 1], np.int32), Categorical(frequencies))
    sizes = np.array([[half_width + LARGEST], [half_width]], np.int32)
    encode_escapes(encoder, *sizes)
    return b"\x20" + encoder.to_bytes()


@pytest.mark.parametrize("name", TABLES)
def test_any_bytes(name, probe):
    """Every first byte, with what is random, or what no encoder writes, behind it."""
    rng, tables = np.random.default_rng(2), TABLES[name]
    chunks = [(too_large(tables), (64, 64))]
    for first in range(256):
        size = SIZES[first % len(SIZES)]
        tails = [b"", rng.bytes(int(rng.integers(1, 40))), b"\xff" * 12]
        chunks += [(bytes((first,)) + tail, size) for tail in tails]
    reasons = set()
    for (data, size), found in zip(chunks, read(probe, tables, chunks), strict=True):
        assert found == expected_of(tables, data, size)
        if isinstance(found, dict):
            reasons.add(found["message"].split(":")[0])
    assert reasons == {"payload", "symbol"}


def test_no_bytes(probe):
    (found,) = read(probe, TABLES["wide"], [(b"", (64, 64))])
    assert found["error"] == "CorruptError"
    with pytest.raises(CorruptError):
        from_chunk(TABLES["wide"], b"", 64, 64)


def with_chunk(codec: Codec, file: bytes, data: bytes) -> bytes:
    container = unpack(file)
    (indices,), (symbols,) = codec.coder.read_symbols([container])
    longer = dataclasses.replace(container, chunks=(*container.chunks, Chunk("c", data)))
    checksum = longer.checksum_of(codec.identity, canonical(indices, symbols))
    return pack(dataclasses.replace(longer, checksum=checksum))


def test_files(code, micro, micro_path, make_picture, version):
    """Coloured, grey and transparent pictures, of both versions of the file."""
    rng, tables = np.random.default_rng(3), micro.coder.tables.scales
    pictures = [
        make_picture(*size, channels=channels)
        for size, channels in zip(((100, 150), (64, 64), (65, 70)), (3, 1, 4), strict=True)
    ]
    plain = micro.encode_batch(pictures, 60, version=version)
    files = [
        with_chunk(micro, file, to_chunk(tables, symbols_of(rng, picture.shape[:2], "strong")))
        for file, picture in zip(plain, pictures, strict=True)
    ]
    shown, _ = code(micro_path, files)
    for before, data, pixels in zip(plain, files, shown, strict=True):
        expected = levels(micro.decode(data))
        assert np.abs(pixels - expected).max() <= 1
        assert np.abs(expected - levels(micro.decode(before))).max() > 1


def test_verify(micro, micro_path, make_picture, probe):
    file, tables = micro.encode(make_picture(60, 50), 60), micro.coder.tables.scales
    good = [b"\x00", b"\x23", to_chunk(tables, np.ones((3, 1, 1), np.int32))]
    bad = [b"", b"\x11" + b"\xff" * 12, too_large(tables)]
    files = [with_chunk(micro, file, data) for data in good + bad]
    found = probe("verify", {"weights": str(micro_path), "files": [data.hex() for data in files]})
    names = ["" if len(answer) == 64 else answer for answer in found]
    assert names == [""] * len(good) + ["CorruptError"] * len(bad)
    for data in files[: len(good)]:
        micro.verify(data)
    for data in files[len(good) :]:
        with pytest.raises(CorruptError):
            micro.verify(data)
