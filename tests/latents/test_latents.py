"""What the latent knows: previews, partial files, bit maps, surprise, samples and latents."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glc import Codec
from glc.bitstream import FORMAT_VERSIONS, unpack, unpack_prefix
from glc.coding.partial import read
from glc.entropy import IndexTables, ScaleTables
from glc.errors import CorruptError, TruncatedError, WeightsError
from glc.latents.sampling import Draw, spherical
from glc.weights import registry

SIZES = [(64, 64), (200, 77), (1, 130)]


@pytest.fixture(scope="module")
def micro(micro_path, runtime):
    """The codec with the micro weights, in each runtime."""
    return Codec.from_pretrained(micro_path, runtime=runtime, device="cpu")


@pytest.fixture(scope="module")
def coded(micro, make_picture, version):
    """A file with enough bits for every step, and where its payload begins."""
    (data,) = micro.encode_batch([make_picture(72, 100)], 70, version=version)
    return data, data.index(unpack(data).payload)


def test_a_complete_file_reads_as_ever(micro, coded):
    data, _ = coded
    partial = micro.decode_partial(data)
    assert partial.is_complete
    assert partial.notices == ()
    assert partial.steps == 4
    assert partial.payload_bytes == partial.payload_expected == len(unpack(data).payload)
    assert np.array_equal(np.asarray(partial.image), np.asarray(micro.decode(data)))


def test_every_symbol_of_a_part_is_right_and_the_others_are_zero(micro, coded):
    data, start = coded
    whole = read(micro.coder, unpack_prefix(data))
    end = start + len(unpack(data).payload)
    z_needs = next(n for n in range(start, end) if reads_z(micro, data[:n]))
    counts, steps = [], set()
    for length in {*range(z_needs, z_needs + 6), *range(z_needs, end, 37), end, len(data) - 1}:
        reading = read(micro.coder, unpack_prefix(data[:length]))
        assert np.array_equal(reading.indices, whole.indices)
        assert np.array_equal(reading.symbols, np.where(reading.rows > 0, whole.symbols, 0))
        assert np.array_equal(reading.rows[reading.rows > 0], whole.rows[reading.rows > 0])
        counts.append((length, np.count_nonzero(reading.rows)))
        steps.add(reading.steps)
        if length >= end:
            assert np.array_equal(reading.symbols, whole.symbols)
    counts.sort()
    assert [c for _, c in counts] == sorted(c for _, c in counts)
    assert counts[-1][1] == np.count_nonzero(whole.rows)
    assert steps == {0, 1, 2, 3, 4}


def reads_z(codec, data):
    try:
        codec.preview(data)
    except TruncatedError:
        return False
    return True


def test_the_last_bytes_of_the_payload_bring_the_whole_picture(micro, coded):
    data, start = coded
    whole = np.asarray(micro.decode(data))
    half = micro.decode_partial(data[: (start + len(data)) // 2])
    assert half.image.size == (100, 72)
    assert not np.array_equal(np.asarray(half.image), whole)
    assert 0 < half.payload_bytes < half.payload_expected
    assert any("nothing was verified" in notice for notice in half.notices)
    assert np.array_equal(np.asarray(micro.decode_partial(data[:-4]).image), whole)


@pytest.mark.skipif(
    not any(model.default for model in registry.installed()),
    reason="no default model is installed (weights/ is empty)",
)
def test_the_installed_model_shows_more_the_more_has_arrived(make_picture, runtime):
    codec = Codec.from_pretrained(runtime=runtime, device="cpu")
    data = codec.encode(make_picture(256, 256), 60)
    whole = np.asarray(codec.decode(data), np.float64)
    errors = []
    for share in (0.2, 0.4, 0.7, 0.95):
        picture = codec.decode_partial(data[: int(share * len(data))]).image
        errors.append(np.square(np.asarray(picture, np.float64) - whole).mean())
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.2 * errors[0]


def test_a_preview_is_the_part_that_has_no_symbols(micro, coded):
    data, start = coded
    length = next(n for n in range(start, len(data)) if reads_z(micro, data[:n]))
    with pytest.raises(TruncatedError, match=r"about \d+ bytes of the file, found"):
        micro.preview(data[: length - 1])
    preview = np.asarray(micro.preview(data[:length]))
    assert np.array_equal(preview, np.asarray(micro.preview(data)))
    partial = micro.decode_partial(data[:length])
    assert (partial.steps, partial.is_complete) == (0, False)
    if partial.symbols == 0:
        assert np.array_equal(preview, np.asarray(partial.image))


def test_the_bytes_that_a_preview_wants_are_about_those_it_needs(micro, coded):
    data, start = coded
    needed = next(n for n in range(start, len(data)) if reads_z(micro, data[:n]))
    for length in range(start, needed):
        with pytest.raises(TruncatedError) as caught:
            micro.decode_partial(data[:length])
        said = int(str(caught.value).split("about ")[1].split()[0])
        assert length < said <= 2 * needed
    with pytest.raises(TruncatedError, match="expected 9 to 18 bytes, found 5"):
        micro.preview(data[:5])


@pytest.mark.skipif(
    not any(model.name == "tiny" for model in registry.installed()),
    reason="tiny is not installed (weights/ is empty)",
)
@pytest.mark.parametrize("quality", [20, 50, 80])
def test_a_third_of_a_file_shows_more_with_large_scales_first(quality):
    """What version 2 is for: at equal bytes, the picture is nearer to the whole one."""
    tiny = Codec.from_pretrained("tiny", device="cpu")
    path = Path(__file__).parents[2] / "examples" / "chelsea.png"
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))[40:232, 80:336]
    errors = []
    for version in FORMAT_VERSIONS:
        (data,) = tiny.encode_batch([pixels], quality, version=version)
        payload = unpack(data).payload
        partial = tiny.decode_partial(data[: data.index(payload) + len(payload) // 3])
        whole = np.asarray(tiny.decode(data), np.float64)
        errors.append(np.square(np.asarray(partial.image, np.float64) - whole).mean())
    # At least 3 dB.
    assert errors[1] < 0.5 * errors[0]


def test_chunks_behind_the_payload_may_be_missing(micro, make_picture):
    four = make_picture(40, 48, channels=4)
    data = micro.encode(four, 50)
    cut = data.index(unpack(data).payload) + len(unpack(data).payload)
    before = micro.decode_partial(data[:cut])
    assert before.image.mode == "RGB"
    assert any("opaque" in notice for notice in before.notices)
    assert before.steps == 4
    after = micro.decode_partial(data[:-1])
    assert after.image.mode == "RGBA"
    assert not after.is_complete
    assert not any("opaque" in notice for notice in after.notices)
    assert any("checksum" in notice for notice in after.notices)
    assert np.array_equal(np.asarray(after.image), np.asarray(micro.decode(data)))
    grey = micro.encode(make_picture(40, 48, channels=1), 50)
    assert micro.decode_partial(grey[:-4]).image.mode == "L"
    assert micro.preview(grey).mode == "L"
    assert micro.decode_partial(grey[:-8]).image.mode == "RGB"


def test_damage_is_an_error_and_no_part(micro, coded):
    data, start = coded
    changed = bytearray(data)
    changed[start + 40] ^= 16
    with pytest.raises(CorruptError):
        micro.decode_partial(bytes(changed))
    with pytest.raises(CorruptError):
        micro.bit_map(bytes(changed))
    with pytest.raises(CorruptError):
        micro.decode_partial(data + b"\0")
    with pytest.raises(TruncatedError):
        micro.bit_map(data[:-1])
    for call in (micro.preview, micro.decode_partial, micro.bit_map, micro.latents):
        with pytest.raises(WeightsError):
            call(data[:2] + bytes([data[2] ^ 1]) + data[3:])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("quality", [0, 60])
def test_the_bit_map_adds_up(micro, make_picture, size, quality, version):
    pixels = make_picture(*size)
    found = micro.bit_map(pixels, quality)
    assert found.shape == (math.ceil(size[0] / 16), math.ceil(size[1] / 16))
    assert found.min() >= 0.0
    total = micro.bits(pixels, quality)
    assert found.sum() == pytest.approx(total, rel=1e-9)
    (data,) = micro.encode_batch([pixels], quality, version=version)
    assert np.allclose(micro.bit_map(data), found)
    assert 8 * len(unpack(data).payload) == pytest.approx(total, rel=0.01, abs=16)


def test_bits_lie_where_the_detail_is(micro, make_picture):
    """Two halves coded alone cost about what they cost in one picture, each at its place."""
    pixels = np.concatenate([np.full((128, 128, 3), 120, np.uint8), make_picture(128, 128)], axis=1)
    found = micro.bit_map(pixels, 60)
    alone = [micro.bits(np.ascontiguousarray(half), 60) for half in np.split(pixels, 2, axis=1)]
    for half, bits in zip(np.split(found, 2, axis=1), alone, strict=True):
        assert half.sum() == pytest.approx(bits, rel=0.15)


def test_surprise_is_bits_per_pixel(micro, make_picture):
    pictures = [make_picture(64, 64, 1), make_picture(30, 100), make_picture(64, 64, 2)]
    scores = micro.surprise_batch(pictures, 40)
    for picture, score in zip(pictures, scores, strict=True):
        pixels = picture.shape[0] * picture.shape[1]
        assert score == pytest.approx(micro.bits(picture, 40) / pixels, rel=1e-3)
        assert micro.surprise(picture, 40) == pytest.approx(score, rel=1e-3)
    assert micro.surprise_batch([]) == []
    for call in (micro.surprise, micro.bit_map, micro.sample):
        with pytest.raises(ValueError, match="quality"):
            call(pictures[0], quality=101) if call != micro.sample else call(quality=101)


def test_samples_are_those_of_their_seed(micro):
    first = micro.sample(3, (70, 40), quality=60, seed=5)
    assert [(p.mode, p.size) for p in first] == [("RGB", (70, 40))] * 3
    arrays = [np.asarray(p) for p in first]
    again = np.asarray(micro.sample(1, (70, 40), quality=60, seed=5)[0])
    assert np.array_equal(arrays[0], again)
    assert not np.array_equal(arrays[0], arrays[1])
    other = np.asarray(micro.sample(1, (70, 40), quality=60, seed=6)[0])
    assert not np.array_equal(arrays[0], other)
    assert micro.sample(0) == []


@pytest.mark.parametrize(
    "arguments",
    [
        {"count": -1},
        {"size": (0, 5)},
        {"seed": -1},
        {"temperature": 0.0},
        {"temperature": math.inf},
    ],
)
def test_samples_of_wrong_arguments(micro, arguments):
    with pytest.raises(ValueError, match="expected"):
        micro.sample(**arguments)


def test_symbols_are_drawn_as_the_tables_say():
    tables = ScaleTables.build()
    for row in (5, 30, 45):
        drawn = Draw(1, 0).symbols(tables, np.full(20_000, row, np.int32))
        for symbol in (0, 1, -1):
            code = 2 * abs(symbol) - (symbol < 0)
            p = tables.frequencies[row, code] / 65536
            assert (drawn == symbol).mean() == pytest.approx(p, abs=4 * math.sqrt(p / 20_000))
        assert np.abs(drawn).max() <= tables.half_widths[row]
    assert not Draw(1, 0).symbols(tables, np.zeros(9, np.int32)).any()
    cold = Draw(1, 0, 0.2).symbols(tables, np.full(2000, 30, np.int32))
    warm = Draw(1, 0, 2.0).symbols(tables, np.full(2000, 30, np.int32))
    assert np.abs(cold).mean() < 0.5 * np.abs(warm).mean()


def test_the_stream_of_a_seed_stays():
    """Literals: a changed draw would change every sample that somebody has noted the seed of."""
    tables = IndexTables(np.array([[1, 100, 5000, 60435], [16384] * 4]))
    assert Draw(7, 0).indices(tables, 1, 12).tolist() == STREAM
    assert Draw(7, 1).indices(tables, 1, 12).tolist() != STREAM
    assert np.mean(Draw(7, 0).indices(tables, 0, 1000) == 3) > 0.85


STREAM = [2, 3, 3, 0, 1, 3, 0, 3, 3, 1, 1, 1]


def test_latents_have_unit_mean_square_and_decode(micro, make_picture):
    pixels = make_picture(70, 130)
    l = micro.latents(pixels)
    assert (l.shape, l.dtype) == ((8, 12, 16), np.float32)
    assert np.allclose(np.square(l).mean(axis=2), 1.0, atol=1e-3)
    picture = micro.from_latents(l, (130, 70))
    assert (picture.mode, picture.size) == ("RGB", (130, 70))
    assert micro.from_latents(l).size == (192, 128)
    assert micro.from_latents(l[2:5, 1:3]).size == (32, 48)


def test_latents_of_a_file_give_the_pixels_of_the_file(micro, make_picture):
    data = micro.encode(make_picture(70, 130), 60)
    l_hat = micro.latents(data)
    decoded = np.asarray(micro.decode(data), np.int16)
    again = np.asarray(micro.from_latents(l_hat, (130, 70)), np.int16)
    assert np.abs(decoded - again).max() <= 1


def test_latents_of_a_list_in_order(micro, make_picture):
    items = [
        make_picture(64, 64, 1),
        micro.encode(make_picture(64, 64, 2), 50),
        make_picture(20, 150),
        micro.encode(make_picture(20, 150), 50),
        Image.fromarray(make_picture(64, 64, 3)),
    ]
    found = micro.latents_batch(items)
    for item, l in zip(items, found, strict=True):
        assert np.allclose(l, micro.latents(item), atol=1e-4)
    assert micro.latents_batch([]) == []


@pytest.mark.parametrize(
    ("latents", "size"),
    [
        (np.zeros((4, 4, 15), np.float32), None),
        (np.zeros((4, 16), np.float32), None),
        (np.zeros((0, 4, 16), np.float32), None),
        (np.full((4, 4, 16), np.nan, np.float32), None),
        (np.zeros((4, 4, 16), np.float32), (65, 64)),
        (np.zeros((4, 4, 16), np.float32), (64, 0)),
    ],
)
def test_latents_of_the_wrong_kind(micro, latents, size):
    with pytest.raises(ValueError, match="expected"):
        micro.from_latents(latents, size)


def test_interpolation_begins_and_ends_with_its_pictures(micro, make_picture):
    a, b = make_picture(40, 70, 1), make_picture(40, 70, 2)
    pictures = [np.asarray(p, np.int16) for p in micro.interpolate(a, b, 5)]
    for end, found in ((a, pictures[0]), (b, pictures[-1])):
        expected = np.asarray(micro.from_latents(micro.latents(end), (70, 40)), np.int16)
        assert np.abs(expected - found).max() <= 1
    to_a = [np.abs(p - pictures[0]).mean() for p in pictures]
    assert to_a == sorted(to_a)
    with pytest.raises(ValueError, match="steps: expected a whole number of 2 or more, found 1"):
        micro.interpolate(a, b, 1)
    with pytest.raises(ValueError, match="expected two of one size"):
        micro.interpolate(a, make_picture(41, 70), 5)


def test_the_way_stays_on_the_sphere():
    rng = np.random.default_rng(0)
    ends = rng.normal(size=(2, 1, 16, 3, 3)).astype(np.float32)
    ends /= np.sqrt(np.square(ends).mean(axis=2, keepdims=True))
    a, b = ends
    b[:, :, 0, 0] = a[:, :, 0, 0]
    for share in (0.0, 0.25, 0.5, 1.0):
        between = spherical(a, b, share)
        assert between.dtype == np.float32
        assert np.allclose(np.square(between).mean(axis=1), 1.0, atol=1e-4)
    assert np.allclose(spherical(a, b, 0.0), a, atol=1e-5)
    assert np.allclose(spherical(a, b, 1.0), b, atol=1e-5)


def test_pictures_in_tiles_cost_and_show_the_same(micro_path, micro, make_picture, version):
    tiled = Codec.from_pretrained(micro_path, runtime=micro.runtime, device="cpu", tile=192)
    pixels = make_picture(300, 500)
    (data,) = tiled.encode_batch([pixels], 40, version=version)
    plain, cut = micro.bit_map(pixels, 40), tiled.bit_map(pixels, 40)
    assert plain.shape == cut.shape
    assert cut.sum() == pytest.approx(tiled.bits(pixels, 40))
    assert np.abs(plain - cut).mean() < 0.02 * plain.mean()
    assert np.allclose(tiled.bit_map(data), cut)
    assert tiled.surprise(pixels, 40) == pytest.approx(micro.surprise(pixels, 40), rel=1e-3)
    assert np.allclose(tiled.latents(pixels), micro.latents(pixels), atol=1e-3)
    assert np.allclose(tiled.latents(data), micro.latents(data), atol=1e-3)
    part = data[: 2 * len(data) // 3]
    for call in ("preview", "decode_partial"):
        shown = [getattr(codec, call)(part) for codec in (micro, tiled)]
        arrays = [np.asarray(getattr(s, "image", s), np.int16) for s in shown]
        assert np.abs(arrays[0] - arrays[1]).max() <= 1
