"""Decoding with 8-bit integers: nearly the same pixels, and the same symbols."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from glc import Codec
from glc.errors import WeightsError
from glc.runtime.graphs.layers import Layers, Weights
from glc.runtime.graphs.proto import Graph
from glc.runtime.graphs.session import open_session
from glc.training.export.calibration import best_range
from glc.weights import checkpoint
from glc.weights.checkpoint import Checkpoint
from glc.weights.extras import RANGE_MAX, RANGE_MIN
from glc.weights.extras import ranged as ranged_bodies


def load(weights: Checkpoint, precision: str = "float32", tile: int | None = None) -> Codec:
    return Codec(weights, runtime="onnxruntime", precision=precision, tile=tile)


@pytest.fixture(scope="module")
def ranged(ranged_path) -> Checkpoint:
    return checkpoint.load(ranged_path)


NEARLY = 0.1
"""Mean square difference in levels; what is quantised changes pixels of these weights by 1.5."""


def distance(a, b) -> float:
    """Return the mean square difference of two pictures, in levels."""
    return float(np.square(np.asarray(a, float) - np.asarray(b, float)).mean())


@pytest.mark.parametrize("quality", [0, 60, 100])
def test_pixels_are_nearly_the_same_and_symbols_are_the_same(ranged, make_picture, quality):
    exact, quick = load(ranged), load(ranged, "int8")
    picture = make_picture(130, 200, 9)
    data = exact.encode(picture, quality)
    assert quick.encode(picture, quality) == data
    quick.verify(data)
    shown, expected = quick.decode(data), exact.decode(data)
    # Some difference, or nothing was quantised.
    assert 0.0 < distance(shown, expected) < NEARLY


def test_ranges_matter(ranged, make_picture):
    """Guards the test above: with ranges that cut most values off, it fails."""
    narrow = {name: 0.05 * array for name, array in ranged.ranges.items()}
    broken = load(dataclasses.replace(ranged, ranges=narrow), "int8")
    exact = load(ranged)
    data = exact.encode(make_picture(130, 200, 9), 60)
    assert distance(broken.decode(data), exact.decode(data)) > 10 * NEARLY


def test_tiles_see_the_same_ranges(ranged, make_picture):
    whole, tiled = load(ranged, "int8", 0), load(ranged, "int8", 64)
    data = whole.encode(make_picture(200, 260), 60)
    assert distance(tiled.decode(data), whole.decode(data)) < NEARLY


def test_what_a_convolution_computes():
    """Against sums of integers in numpy: exactly, whatever the processor."""
    rng = np.random.default_rng(2)
    weight = rng.normal(size=(5, 4, 3, 3)).astype(np.float32)
    bias = rng.normal(size=5).astype(np.float32)
    weight[4] = 0.0
    x = rng.uniform(-1.5, 3.5, (1, 4, 6, 7)).astype(np.float32)
    graph = Graph()
    layers = Layers(graph, Weights({}))
    given, found = np.array([-1.0, 3.0]), np.array([-20.0, 20.0])
    levels = layers._quantize(graph.input("x", x.shape), given)
    graph.output("y", layers._conv_int8(levels, weight, bias, found), (1, 5, 6, 7))
    session = open_session(graph, False)
    (y,) = session.run(None, {"x": x})

    step, zero = np.float32(4 / 255), 64
    inner = np.clip(np.rint(x / step) + zero, 0, 255).astype(np.int64) - zero
    steps = np.abs(weight).max(axis=(1, 2, 3)) / np.float32(63)
    # Of a channel without weights its bias is left.
    steps[4] = abs(bias[4]) / (step * 2**20)
    weights = np.rint(weight / steps[:, None, None, None]).astype(np.int64)
    padded = np.pad(inner, ((0, 0), (0, 0), (1, 1), (1, 1)))
    sums = np.zeros((5, 6, 7), np.int64)
    for row in range(3):
        for column in range(3):
            window = padded[0, :, row : row + 6, column : column + 7]
            sums += np.einsum("nc,chw->nhw", weights[:, :, row, column], window)
    sums += np.rint(bias / (step * steps)).astype(np.int64)[:, None, None]
    coarse = np.float32(40 / 255)
    exact = sums * (step * steps)[:, None, None] / coarse
    shown = (np.clip(np.rint(exact) + 128, 0, 255) - 128) * coarse
    # Sums that lie on the border of two levels may go either way.
    assert (np.abs(y[0] - shown) < 1e-4).mean() > 0.98
    assert np.abs(y[0] - shown).max() < 1.01 * coarse
    assert len(np.unique(shown)) > 60
    assert np.abs(y[0, 4] - bias[4]).max() < coarse


def test_the_best_range():
    rng = np.random.default_rng(0)
    even = rng.uniform(-2.0, 6.0, 4000).astype(np.float32)
    low, high = best_range(even)
    assert low == pytest.approx(even.min(), rel=0.05)
    assert high == pytest.approx(even.max(), rel=0.05)
    # Few values far away are not worth the steps that they would cost all others.
    tails = rng.laplace(size=200_000).astype(np.float32)
    low, high = best_range(tails)
    assert 0.4 * tails.max() < high < 0.9 * tails.max()
    assert 0.4 * tails.min() > low > 0.9 * tails.min()
    # Ends that a weights file may have, even of a tensor that is 0 everywhere.
    low, high = best_range(np.zeros(5, np.float32))
    assert low == 0.0
    assert high >= RANGE_MIN
    assert best_range(np.full(5, 1e9, np.float32))[1] <= RANGE_MAX
    assert best_range(np.full(5, 3.0, np.float32))[0] == 0.0


@pytest.mark.parametrize("kind", ["micro", "two_decoders"])
def test_ranges_hold_what_was_seen(kind, request):
    path = request.getfixturevalue("ranged_path" if kind == "micro" else f"ranged_{kind}_path")
    model = request.getfixturevalue(kind).networks.model
    found = checkpoint.load(path)
    sizes = ranged_bodies(found.config)
    assert set(found.ranges) == set(sizes)
    assert ("realistic_decoder.body_4" in sizes) == (kind == "two_decoders")
    for name, (blocks, places) in sizes.items():
        array = found.ranges[name]
        assert array.shape == (blocks, places, 2)
        assert blocks == len(model.get_submodule(name)) > 0
        assert (array[..., 0] <= 0).all()
        assert (array[..., 1] > 0).all()
        # Behind x * sigmoid(x), where no gain follows.
        gained = found.config.linear and name.startswith("decoder")
        assert places == 5 or gained or (array[:, 2, 0] >= -0.2785).all()
        # Nobody watches any more.
        assert not any(module._forward_hooks for module in model.get_submodule(name).modules())


def test_ranges_come_back_from_a_file(ranged, tmp_path):
    path = tmp_path / "ranged.safetensors"
    save(path, ranged, ranged.ranges)
    loaded = checkpoint.load(path)
    assert set(loaded.ranges) == set(ranged.ranges)
    for name, array in ranged.ranges.items():
        assert np.array_equal(loaded.ranges[name], array)
    assert set(loaded.tensors) == set(ranged.tensors)
    # Torch does not mind them.
    Codec.from_pretrained(path, device="cpu")
    Codec.from_pretrained(path, precision="int8")


def save(path: Path, weights: Checkpoint, ranges: dict[str, np.ndarray]) -> None:
    fields = weights.config, weights.name, weights.summary, weights.tensors
    checkpoint.save(path, *fields, ranges=ranges)


def test_malformed_ranges_are_refused(ranged, tmp_path):
    path, name = tmp_path / "bad.safetensors", "decoder.body_4"
    good = ranged.ranges
    cases = {
        "found nothing": {key: value for key, value in good.items() if key != name},
        r"expected shape \(\d+, 4, 2\) of float32": good | {name: good[name][:, :3].copy()},
        "found float64": good | {name: good[name].astype(np.float64)},
        "expected lowest in": good | {name: -good[name]},
        "expected lowest in .*": good | {name: np.full_like(good[name], np.nan)},
        "unexpected tensors: ranges.more": good | {"more": good[name]},
    }
    for message, ranges in cases.items():
        save(path, ranged, ranges)
        with pytest.raises(WeightsError, match=message):
            Codec.from_pretrained(path, runtime="onnxruntime")


def test_wrong_precisions(ranged, micro_path):
    with pytest.raises(ValueError, match="precision"):
        Codec(ranged, precision="int4")
    with pytest.raises(WeightsError, match="no ranges"):
        Codec.from_pretrained(micro_path, precision="int8")
