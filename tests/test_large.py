"""Pictures in tiles: the same symbols and pixels as in one piece."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch

from glc import coding_loop
from glc.bitstream import pack, unpack
from glc.errors import CorruptError
from glc.tiling.geometry import SmallerTilesWarning
from glc.tiling.receptive_field import Reach

SIZES = [(65, 400), (400, 65), (331, 257)]
SEAMLESS = 1e-3
"""Levels, on average: roundings that tip over are rare, and a seam would be a line of them."""


@pytest.fixture(scope="module")
def codecs(load_micro):
    """Return the same codec without tiles, with small and with smallest ones."""
    found = {side: load_micro() for side in (0, 64, 192)}
    for side, codec in found.items():
        codec.tile = side
    return found


def gradient(height: int, width: int) -> np.ndarray:
    """Return a slope of every colour in another direction: seams would show in it."""
    y, x = np.mgrid[:height, :width]
    planes = (255 * y / height, 255 * x / width, 255 * (y + x) / (height + width))
    return np.stack(planes, axis=-1).astype(np.uint8)


def noise(height: int, width: int) -> np.ndarray:
    """Return pixels without any order: whatever reaches across a cut matters."""
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)


def levels(codec, data: bytes) -> np.ndarray:
    return np.asarray(codec.decode(data), np.int16)


@pytest.mark.parametrize("make", [gradient, noise])
@pytest.mark.parametrize("size", SIZES)
def test_tiles_change_no_pixel_by_more_than_a_level(codecs, symbols_of, size, make, version):
    picture = make(*size)
    for quality, writer in ((0, 64), (60, 0), (100, 192)):
        (data,) = codecs[writer].encode_batch([picture], quality, version=version)
        expected, (symbols,) = levels(codecs[0], data), symbols_of(codecs[0], data)
        for side in (64, 192):
            assert symbols_of(codecs[side], data) == [symbols]
            difference = np.abs(levels(codecs[side], data) - expected)
            assert difference.max() <= 1
            assert difference.mean() < SEAMLESS
            codecs[side].verify(data)


@pytest.mark.parametrize("make", [gradient, noise])
def test_tiles_change_what_is_coded_by_roundings_only(codecs, make):
    from glc import image

    picture = image.from_array(make(331, 257))
    results = {}
    for side, codec in codecs.items():
        latents = codec.analyse([picture])
        results[side] = latents, *codec.quantise([picture], latents, 60)
    l, indices, messages, symbols = results[0]
    for side in (64, 192):
        other_l, other_indices, other_messages, other_symbols = results[side]
        assert np.allclose(other_l, l, atol=1e-4, rtol=1e-4)
        assert (other_indices != indices).mean() < 0.02
        assert (other_symbols != symbols).mean() < 0.002
        assert [len(r) for r, _ in other_messages[0]] == [len(r) for r, _ in messages[0]]


PARTS = [
    "encoder_fine",
    "encoder_coarse",
    "context",
    "decoder_coarse",
    "decoder_fine",
    "scale_base",
]


@pytest.mark.parametrize("network", PARTS)
def test_a_reach_too_small_would_be_seen(load_micro, codecs, monkeypatch, network):
    """Guards the tests above: with less than what a network reads they fail."""
    real = coding_loop.reach_of

    def short(config):
        fields = {**real(config).__dict__, network: 0}
        # One grid holds them both.
        return Reach(**fields | ({"scale_context": 0} if network == "scale_base" else {}))

    monkeypatch.setattr(coding_loop, "reach_of", short)
    picture = noise(331, 257)
    codec = codecs[64]
    if network.startswith("encoder"):
        from glc import image

        pictures = [image.from_array(picture)]
        expected = codecs[0].analyse(pictures)
        # Ten times what the test above allows.
        assert np.abs(codec.analyse(pictures) - expected).max() > 1e-3
        return
    data = codecs[0].encode(picture, 60)
    if network == "scale_base":
        with pytest.raises(CorruptError):
            codec.verify(data)
        return
    difference = np.abs(levels(codec, data) - levels(codecs[0], data))
    assert difference.max() > 1 or difference.mean() > SEAMLESS


def test_batches_of_large_and_small_pictures(codecs, make_picture, version):
    pictures = [make_picture(*size) for size in ((200, 200), (64, 64), (200, 200), (190, 201))]
    pictures[0] = make_picture(200, 200, channels=4)
    codec = codecs[64]
    files = codec.encode_batch(pictures, 50, version=version)
    codec.verify_batch(files)
    for data, picture, image in zip(files, pictures, codec.decode_batch(files), strict=True):
        assert image.size == picture.shape[1::-1]
        alone = np.asarray(codecs[0].decode(data), np.int16)
        assert np.abs(alone - np.asarray(image, np.int16)).max() <= 1


def test_small_pictures_are_coded_as_ever(load_micro, codecs, make_picture):
    automatic, picture = load_micro(), make_picture(200, 77)
    told = []
    data = automatic.encode(picture, 50, progress=told.append)
    assert data == codecs[0].encode(picture, 50)
    assert np.array_equal(levels(automatic, data), levels(codecs[0], data))
    assert told == []


def test_progress_rises_to_one(codecs, make_picture, check_progress):
    check_progress(codecs[64], make_picture(300, 200))


def test_the_best_quality_for_a_size(codecs, make_picture):
    picture, codec = make_picture(200, 200), codecs[64]
    limit = len(codec.encode(picture, 40)) + 3
    data = codec.encode_to_size(picture, limit)
    assert len(data) <= limit
    assert data == codec.encode(picture, unpack(data).quality)


def test_no_float_is_computed_for_a_file_that_is_wrong(load_micro, make_picture, monkeypatch):
    """A forged header costs integers only; pixels and means are for what has been checked."""
    codec = load_micro()
    codec.tile = 64
    good = unpack(codec.encode(make_picture(100, 100), 50))

    def never(*arguments):
        raise AssertionError("a network was run")

    for name in ("context", "hyper_synthesis", "synthesis"):
        monkeypatch.setattr(getattr(codec.networks.model, name), "forward", never)
    for name in ("coarse", "fine"):
        monkeypatch.setattr(codec.networks.model.decoder, name, never)

    for payload in (b"", good.payload, bytes(range(256))):
        forged = pack(dataclasses.replace(good, width=3000, height=500, payload=payload))
        with pytest.raises(CorruptError):
            codec.decode(forged)
    codec.verify(pack(good))


@pytest.mark.parametrize("share", [0.3, 0.7, 1.0])
def test_what_has_arrived_of_a_large_picture(codecs, make_picture, share):
    data = codecs[0].encode(make_picture(200, 140), 80)
    arrived = data[: int(share * len(data))]
    expected, found = (codecs[side].decode_partial(arrived) for side in (0, 64))
    assert dataclasses.replace(found, image=expected.image) == expected
    assert expected.is_complete == (share == 1.0)
    assert expected.symbols > 100
    pairs = [(expected.image, found.image)]
    pairs.append(tuple(codecs[side].preview(arrived) for side in (0, 64)))
    for one, other in pairs:
        assert np.abs(np.asarray(one, np.int16) - np.asarray(other, np.int16)).max() <= 1
    if share == 1.0:
        maps = [codecs[side].bit_map(data) for side in (0, 64)]
        assert np.array_equal(*maps)


class OutOfMemory:
    """A GPU that holds no more than some elements of what a network is given."""

    def __init__(self, network, limit: int, monkeypatch) -> None:
        # What is whole and what is in tiles both run this part of E and D.
        name = "fine" if hasattr(network, "fine") else "forward"
        self.limit, self.sizes, self._forward = limit, [], getattr(network, name)
        monkeypatch.setattr(network, name, self)

    def __call__(self, *arguments):
        x = next(argument for argument in arguments if isinstance(argument, torch.Tensor))
        self.sizes.append(x.shape[0] * x.shape[2] * x.shape[3])
        if self.sizes[-1] > self.limit:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return self._forward(*arguments)


@pytest.mark.parametrize("network", ["encoder", "analysis", "context", "decoder"])
@pytest.mark.parametrize("tile", [None, 800])
def test_out_of_memory_goes_on_in_smaller_tiles(
    load_micro, codecs, make_picture, monkeypatch, network, tile
):
    codec, picture = load_micro(), make_picture(400, 500)
    codec.tile = tile
    expected = codecs[0].decode(codecs[0].encode(picture))
    limit = 400 * 400 if network == "encoder" else 25 * 25
    fake = OutOfMemory(getattr(codec.networks.model, network), limit, monkeypatch)
    with pytest.warns(SmallerTilesWarning, match="tiles of"):
        decoded = codec.decode(codec.encode(picture))
    assert max(fake.sizes) > fake.limit
    difference = np.asarray(decoded, np.int16) - np.asarray(expected, np.int16)
    assert np.abs(difference).mean() < 0.1


def test_a_batch_that_does_not_fit_is_taken_apart(load_micro, make_picture, monkeypatch):
    codec = load_micro()
    pictures = [make_picture(128, 128, seed) for seed in range(3)]
    expected = [np.asarray(codec.decode(codec.encode(p)), np.int16) for p in pictures]
    OutOfMemory(codec.networks.model.encoder, 128 * 128, monkeypatch)
    OutOfMemory(codec.networks.model.decoder, 8 * 8, monkeypatch)
    with pytest.warns(SmallerTilesWarning):
        files = codec.encode_batch(pictures)
    with pytest.warns(SmallerTilesWarning):
        decoded = codec.decode_batch(files)
    for image, pixels in zip(decoded, expected, strict=True):
        assert np.abs(np.asarray(image, np.int16) - pixels).max() <= 1


@pytest.mark.parametrize("tile", [0, 256])
def test_out_of_memory_is_an_error_where_nothing_is_left_to_try(
    load_micro, make_picture, monkeypatch, tile
):
    codec = load_micro()
    codec.tile = tile
    OutOfMemory(codec.networks.model.encoder, 0, monkeypatch)
    with warnings.catch_warnings():
        warnings.simplefilter("error", SmallerTilesWarning)
        with pytest.raises(torch.cuda.OutOfMemoryError):
            codec.encode(make_picture(300, 300))


def test_the_side_of_a_tile_is_checked(micro_path):
    from glc import Codec

    assert Codec.from_pretrained(micro_path, device="cpu", tile=128).tile == 128
    for side in (-1, 1, 63):
        with pytest.raises(ValueError, match="tile"):
            Codec.from_pretrained(micro_path, device="cpu", tile=side)


MEASURE = """
import resource, sys
import numpy as np
from glc import Codec

codec = Codec.from_pretrained(sys.argv[1], device="cpu")
side = int(sys.argv[2])
picture = np.zeros((side, side, 3), np.uint8)
picture[..., 0] = np.arange(side) % 256
codec.decode(codec.encode(picture[:2100, :2100]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
codec.decode(codec.encode(picture))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.system
@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ru_maxrss is in kB on Linux")
def test_memory_grows_by_some_bytes_per_pixel(micro_path):
    """Above what a small picture in tiles takes: 7 are the result, and in one piece it is 97."""
    side = 5000
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, micro_path, str(side)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert 1024 * int(done.stdout) < 40 * side * side
