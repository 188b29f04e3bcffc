"""Mean colours in a file: coded, checked, shown by whatever decodes, and left out where asked."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

import glc.pillow
from glc import Codec, CorruptError, TruncatedError
from glc.bitstream import MEAN_COLORS, Chunk, pack, unpack
from glc.coding import assembly
from glc.coding.mean_colors import from_chunk, of_file, to_chunk
from glc.entropy import ScaleTables
from glc.image import mean_colors

TABLES = ScaleTables.build()


def chunk_of(data: bytes) -> bytes | None:
    return {chunk.tag: chunk.data for chunk in unpack(data).chunks}.get(MEAN_COLORS)


def error(original: Image.Image, decoded: Image.Image) -> float:
    a, b = (np.asarray(picture.convert("RGB"), float) for picture in (original, decoded))
    return float(np.abs((a - b)[:128, :192].reshape(2, 64, 3, 64, 3).mean(axis=(1, 3))).mean())


@pytest.fixture(scope="module")
def picture(make_picture) -> Image.Image:
    """What a model with random weights decodes badly enough."""
    return Image.fromarray(make_picture(150, 200))


@pytest.mark.parametrize("largest", [0, 1, 4, 40, 32767])
def test_symbols_come_back(largest):
    rng = np.random.default_rng(2)
    symbols = rng.integers(-largest, largest + 1, (3, 3, 4), np.int32)
    data = to_chunk(TABLES, symbols)
    assert np.array_equal(from_chunk(TABLES, data, 150, 200), symbols)
    if largest == 0:
        assert data == b"\0"


def test_rows_are_the_cheapest():
    rng = np.random.default_rng(4)
    symbols = np.rint(rng.normal(0, (2.0, 0.5, 0.5), (8, 12, 3))).astype(np.int32)
    symbols = np.moveaxis(symbols, -1, 0)
    data = to_chunk(TABLES, symbols)

    def size(first: int) -> float:
        named = np.array([first // 16, first % 16, first % 16])
        if ((named == 0) & symbols.any(axis=(1, 2))).any():
            return np.inf
        return float(TABLES.bits(symbols.ravel(), np.repeat(4 * named, 96)).sum())

    assert size(data[0]) == min(size(first) for first in range(256))


def test_one_byte_at_least():
    with pytest.raises(CorruptError, match="mean colours"):
        from_chunk(TABLES, b"", 64, 64)


def test_garbage_is_an_error_or_symbols():
    """No other error, and as many symbols as the grid has places, whatever the bytes are."""
    rng = np.random.default_rng(6)
    failed = 0
    for size in range(60):
        try:
            found = from_chunk(TABLES, rng.bytes(1 + size), 150, 200)
        except CorruptError:
            failed += 1
            continue
        assert found.shape == (3, 3, 4)
        mean_colors.add(np.zeros((150, 200, 3), np.uint8), found)
    assert failed


def test_the_picture_is_nearer_and_nothing_else_changes(micro, picture):
    plain, colored = micro.encode(picture, 50), micro.encode(picture, 50, mean_colors=True)
    assert chunk_of(plain) is None
    assert len(plain) < len(colored)
    container = unpack(colored)
    assert unpack(plain).payload == container.payload
    shown = micro.decode(plain), micro.decode(colored)
    assert error(picture, shown[1]) < 0.5 * error(picture, shown[0])
    symbols = of_file(container, micro.coder.tables.scales)
    assert np.array_equal(mean_colors.add(np.asarray(shown[0]), symbols), np.asarray(shown[1]))


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime"])
def test_every_way_to_decode_shows_them(micro_path, picture, runtime):
    codec = Codec.from_pretrained(micro_path, runtime=runtime, device="cpu")
    data = codec.encode(picture, 50, mean_colors=True)
    shown = np.asarray(codec.decode(data))
    assert not np.array_equal(shown, np.asarray(codec.decode(codec.encode(picture, 50))))
    assert np.array_equal(np.asarray(codec.decode_batch([data, data])[1]), shown)
    partial = codec.decode_partial(data)
    assert partial.is_complete
    assert np.array_equal(np.asarray(partial.image), shown)
    cut = codec.decode_partial(data[:-8])
    assert not cut.is_complete
    plain = codec.encode(picture, 50)
    assert np.array_equal(np.asarray(codec.preview(data)), np.asarray(codec.preview(plain)))
    codec.verify(data)


@pytest.fixture(scope="module")
def tiny() -> Codec:
    return Codec.from_pretrained("tiny", device="cpu")


def test_pillow_shows_them(tiny, picture):
    glc.pillow.register()
    data = tiny.encode(picture, 20, mean_colors=True)
    assert chunk_of(data) is not None
    with Image.open(io.BytesIO(data)) as opened:
        assert np.array_equal(np.asarray(opened), np.asarray(tiny.decode(data)))
    saved = io.BytesIO()
    picture.save(saved, "GLC", quality=20, model="tiny", mean_colors=True)
    assert saved.getvalue() == data


def test_batches_grey_and_alpha(micro, make_picture):
    kinds = ((150, 200, 3), (90, 70, 1), (150, 200, 4))
    pictures = [
        Image.fromarray(make_picture(height, width, channels=channels))
        for height, width, channels in kinds
    ]
    files = micro.encode_batch(pictures, 40, mean_colors=True)
    for one, data in zip(pictures, files, strict=True):
        decoded = micro.decode(data)
        assert chunk_of(data) is not None
        assert (decoded.size, decoded.mode) == (one.size, one.mode)
        assert np.array_equal(
            np.asarray(decoded), np.asarray(micro.decode(micro.encode(one, 40, mean_colors=True)))
        )


def test_tiles_and_progress(micro_path, picture):
    told: list[float] = []
    codec = Codec.from_pretrained(micro_path, device="cpu", tile=64)
    data = codec.encode(picture, 40, progress=told.append, mean_colors=True)
    assert chunk_of(data) is not None
    assert told == sorted(told)
    assert 0 < told[0] < 0.4 < told[-1] == pytest.approx(1)
    told.clear()
    codec.encode_to_size(picture, len(data), progress=told.append, mean_colors=True)
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1)


def test_grey_pictures_store_brightness_alone(micro, make_picture):
    grey = Image.fromarray(make_picture(150, 200, channels=1))
    container = unpack(micro.encode(grey, 40, mean_colors=True))
    symbols = of_file(container, micro.coder.tables.scales)
    assert symbols is not None
    assert symbols[0].any()
    assert not symbols[1:].any()


def test_what_is_transparent_lacks_nothing(micro, make_picture):
    pixels = make_picture(128, 192, channels=4)
    pixels[..., 3] = 255
    pixels[:, 64:, 3] = 0
    symbols = of_file(unpack(micro.encode(pixels, 40, mean_colors=True)), micro.coder.tables.scales)
    assert symbols is not None
    assert symbols[:, :, 0].any()
    # Next to what shows, a cell may be asked for a little less.
    assert not symbols[:, :, 2].any()


@pytest.mark.usefixtures("random_perception")
def test_a_search_is_not_lost_where_there_is_no_room(micro_path, picture):
    codec = Codec.from_pretrained(micro_path, device="cpu")
    small = picture.crop((0, 0, 64, 64))
    sizes = [len(codec.encode(small, 0, mean_colors=colors)) for colors in (False, True)]
    assert sizes[0] < sizes[1]
    limit = sizes[1] - 1
    plain = codec.encode_to_size(small, limit, mean_colors=True)
    assert chunk_of(plain) is None
    searched = codec.encode_to_size(small, limit, effort=1, mean_colors=True)
    assert searched == codec.encode_to_size(small, limit, effort=1)
    assert searched != plain


def test_a_damaged_chunk_is_an_error(micro, picture):
    container = unpack(micro.encode(picture, 50, mean_colors=True))
    (chunk,) = container.chunks
    changed = chunk.data[:-1] + bytes((chunk.data[-1] ^ 1,))
    damaged = pack(dataclasses.replace(container, chunks=(Chunk(MEAN_COLORS, changed),)))
    for read in (micro.decode, micro.verify):
        with pytest.raises(CorruptError, match="checksum"):
            read(damaged)
    with pytest.raises(TruncatedError):
        micro.decode(pack(container)[:-1])


def test_a_chunk_that_cannot_be_read(micro, picture):
    """Its checksum is right, since whoever wrote it was wrong."""
    container = dataclasses.replace(
        unpack(micro.encode(picture, 50)), chunks=(Chunk(MEAN_COLORS, b""),)
    )
    (indices, symbols) = micro.coder.read_symbols([unpack(micro.encode(picture, 50))])
    canonical = assembly.canonical(indices[0], symbols[0])
    checksum = container.checksum_of(micro.identity, canonical)
    data = pack(dataclasses.replace(container, checksum=checksum))
    for read in (micro.decode, micro.verify):
        with pytest.raises(CorruptError, match="mean colours"):
            read(data)


def test_a_size_has_room_for_them(tiny, picture):
    plain = [len(tiny.encode(picture, quality)) for quality in (0, 30, 60)]
    for limit in (plain[0], plain[1], plain[2] + 40):
        data = tiny.encode_to_size(picture, limit, mean_colors=True)
        assert len(data) <= limit
        quality = unpack(data).quality
        if chunk_of(data) is None:
            assert len(tiny.encode(picture, 0, mean_colors=True)) > limit
        else:
            assert data == tiny.encode(picture, quality, mean_colors=True)
            # Not far below what fits: their size changes by some bytes from quality to quality.
            assert len(tiny.encode(picture, min(100, quality + 4), mean_colors=True)) > limit
    with pytest.raises(ValueError, match="smallest file"):
        tiny.encode_to_size(picture, 10, mean_colors=True)
