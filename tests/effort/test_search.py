"""The search as a whole: the rate is held, and whatever is chosen is a file like any other."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image

from glc import Codec
from glc.bitstream import unpack
from glc.effort import descent, levels
from glc.effort.search import bits_of, fit
from glc.entropy import ScaleTables

SCALES = ScaleTables.build()


def made(magnitude):
    """Return symbols of two pictures, as ``CodingLoop.write`` does, that fade with thrift."""

    def write(weights):
        calls.append(weights.copy())
        rows = np.full((2, 4, 3, 3), 30, np.uint8)
        symbols = np.zeros(rows.shape, np.int16)
        for one, weight in zip(symbols, weights, strict=True):
            one[...] = round(magnitude * math.exp(-weight))
        coded = np.ones(rows.shape, bool)
        return [(rows, symbols, coded)], symbols

    calls: list[np.ndarray] = []
    return write, calls


def test_the_fit_takes_most_of_the_bits_that_are_allowed_for_each_picture():
    write, calls = made(8)
    full = bits_of(SCALES, write(np.zeros(2))[0])
    wanted = full * np.array([0.9, 0.6])
    calls.clear()
    steps, symbols = fit(write, SCALES, wanted, 6, at_most=True)
    assert 1 < len(calls) <= 6
    assert not calls[0].any()
    found = bits_of(SCALES, steps)
    assert (found <= wanted).all()
    tried = np.array([bits_of(SCALES, write(weights)[0]) for weights in list(calls)])
    for index in range(2):
        fitting = tried[:, index][tried[:, index] <= wanted[index]]
        assert found[index] == fitting.max()
    assert np.array_equal(symbols, steps[0][1])


def test_a_few_tries_come_close_to_what_is_wanted():
    def write(weights):
        calls.append(weights.copy())
        rows = np.full((1, 4, 40, 40), 30, np.uint8)
        # As many symbols of 2 as thrift leaves over.
        symbols = np.zeros(rows.shape, np.int16)
        symbols.reshape(-1)[: int(6400 * math.exp(-1.5 * max(weights[0], 0.0)))] = 2
        return [(rows, symbols, np.ones(rows.shape, bool))], symbols

    calls: list[np.ndarray] = []
    full, least = (bits_of(SCALES, write(np.full(1, weight))[0]) for weight in (0.0, 8.0))
    for share in (0.3, 0.7, 0.9):
        calls.clear()
        wanted = least + share * (full - least)
        found = bits_of(SCALES, fit(write, SCALES, wanted, 5)[0])
        assert abs(found / wanted - 1.0) < 0.02
        calls.clear()
        fewer = bits_of(SCALES, fit(write, SCALES, wanted, 5, at_most=True)[0])
        assert 0.95 * wanted < fewer <= wanted


def test_what_fits_at_once_is_taken_at_once():
    write, calls = made(8)
    full = bits_of(SCALES, write(np.zeros(2))[0])
    calls.clear()
    steps, _ = fit(write, SCALES, 1.01 * full, 6)
    assert len(calls) == 1
    assert np.array_equal(bits_of(SCALES, steps), full)


def test_where_nothing_fits_the_fewest_bits_are_taken():
    write, calls = made(8)
    steps, _ = fit(write, SCALES, np.zeros(2), 3, at_most=True)
    tried = np.array([bits_of(SCALES, write(weights)[0]) for weights in list(calls)])
    assert np.array_equal(bits_of(SCALES, steps), tried.min(0))


@pytest.fixture(scope="module", params=["micro", "linear", "two_decoders"])
def codec(request):
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("effort", [1, 4])
def test_a_file_is_as_large_and_decodes_like_any_other(codec, make_picture, effort):
    picture = make_picture(100, 150)
    plain = codec.encode(picture, 40)
    data = codec.encode(picture, 40, effort=effort)
    codec.verify(data)
    assert data != plain
    assert unpack(data).quality == 40
    assert 0.7 * len(plain) <= len(data) <= 1.3 * len(plain) + 2
    assert codec.decode(data).size == (150, 100)
    assert codec.encode(picture, 40, effort=effort) == data
    assert codec.encode(picture, 40, effort=0) == plain


def test_padding_is_not_coded_and_batches_find_what_single_pictures_do(micro, make_picture):
    pictures = [make_picture(70, 90, seed) for seed in (0, 1)]
    together = micro.encode_batch(pictures, 50, effort=2)
    for picture, data in zip(pictures, together, strict=True):
        micro.verify(data)
        alone = micro.encode(picture, 50, effort=2)
        assert abs(len(alone) - len(data)) <= 0.05 * len(alone) + 2


def test_the_other_runtime_searches_with_torch_as_well(micro_path, micro, make_picture):
    quick = Codec.from_pretrained(micro_path, runtime="onnxruntime")
    picture = make_picture(64, 80)
    data = quick.encode(picture, 60, effort=1)
    assert quick.runtime == "onnxruntime"
    micro.verify(data)
    assert data != quick.encode(picture, 60)
    assert quick.encode(picture, 60, effort=1) == data


def test_what_is_on_around_the_call_changes_nothing(micro, make_picture):
    picture = make_picture(64, 64)
    expected = micro.encode(picture, 50, effort=1)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert micro.encode(picture, 50, effort=1) == expected


def test_large_pictures_move_tile_by_tile(micro, make_picture, monkeypatch):
    monkeypatch.setattr(descent, "_SIDE", 128)
    seen = []
    before = descent._Window.__init__

    def watched(self, model, device, pictures, window, *rest):
        seen.append((window.bottom - window.top) * (window.right - window.left))
        before(self, model, device, pictures, window, *rest)

    monkeypatch.setattr(descent._Window, "__init__", watched)
    picture, shares = make_picture(200, 330), []
    data = micro.encode(picture, 50, effort=1, progress=shares.append)
    micro.verify(data)
    assert len(seen) > 2
    assert max(seen) <= (128 + 2 * 64) ** 2
    assert shares == sorted(shares)


def test_a_size_is_kept_and_filled(micro, make_picture):
    picture = make_picture(120, 130)
    limit = len(micro.encode(picture, 40)) + 6
    plain = micro.encode_to_size(picture, limit)
    data = micro.encode_to_size(picture, limit, effort=3)
    micro.verify(data)
    assert len(data) <= limit
    assert unpack(data).quality == unpack(plain).quality
    with pytest.raises(ValueError, match="smallest file has"):
        micro.encode_to_size(picture, 16, effort=1)


def test_without_torch_nothing_is_begun(micro, monkeypatch, tmp_path):
    monkeypatch.setattr(levels, "find_spec", lambda name: None)
    path = tmp_path / "a.png"
    Image.new("RGB", (8, 8)).save(path)
    with pytest.raises(ModuleNotFoundError, match=r"effort 1 .* needs torch"):
        micro.encode(path, effort=1)
    assert micro.encode(path)
