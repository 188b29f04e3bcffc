"""One file, two ways to show it: the realism that D takes from architecture 2 on."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import glc.pillow
from glc import Codec
from glc.config import DEFAULT_REALISM
from glc.weights import checkpoint

REALISMS = (0, 40, 100)
RUNTIMES = ("torch", "onnxruntime")


def levels(image) -> np.ndarray:
    return np.asarray(image, np.int16)


def load(path, runtime: str, tile: int | None = None) -> Codec:
    return Codec.from_pretrained(path, runtime=runtime, device="cpu", tile=tile)


@pytest.fixture(scope="module", params=["linear", "two_decoders"])
def kind(request) -> str:
    """Every architecture whose D takes a realism."""
    return request.param


@pytest.fixture(scope="module")
def path(kind, request) -> Path:
    return request.getfixturevalue(f"{kind}_path")


@pytest.fixture(scope="module")
def codec(kind, request) -> Codec:
    return request.getfixturevalue(kind)


@pytest.fixture(scope="module")
def data(codec, make_picture) -> bytes:
    return codec.encode(make_picture(200, 150), 60)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_ends_differ_and_the_middle_is_another(path, data, runtime):
    codec = load(path, runtime)
    shown = [levels(codec.decode(data, realism)) for realism in REALISMS]
    for one, other in ((0, 1), (1, 2), (0, 2)):
        assert np.abs(shown[one] - shown[other]).max() > 1
    assert np.array_equal(levels(codec.decode(data)), levels(codec.decode(data, DEFAULT_REALISM)))
    assert np.array_equal(levels(codec.decode(data, np.float32(40))), shown[1])


@pytest.mark.parametrize("realism", REALISMS)
def test_both_runtimes_show_the_same(path, codec, data, realism):
    mine = load(path, "onnxruntime")
    assert (
        np.abs(levels(mine.decode(data, realism)) - levels(codec.decode(data, realism))).max() <= 1
    )


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("side", [64, 128])
def test_tiles_show_the_same(path, data, runtime, side):
    whole, tiled = load(path, runtime, 0), load(path, runtime, side)
    for realism in REALISMS:
        difference = levels(tiled.decode(data, realism)) - levels(whole.decode(data, realism))
        assert np.abs(difference).max() <= 1


def test_a_batch_shows_the_same(codec, make_picture):
    files = codec.encode_batch([make_picture(60, 60, seed) for seed in range(3)], 60)
    for realism in REALISMS:
        for image, file in zip(codec.decode_batch(files, realism), files, strict=True):
            difference = levels(image) - levels(codec.decode(file, realism))
            assert np.abs(difference).max() <= 1


def test_parts_of_a_file_are_shown_both_ways(codec, data):
    half = data[: len(data) // 2]
    for show in (codec.preview, lambda part, realism: codec.decode_partial(part, realism).image):
        ends = [levels(show(half, realism)) for realism in (0, 100)]
        assert np.abs(ends[0] - ends[1]).max() > 1
    for realism in REALISMS:
        whole = codec.decode_partial(data, realism)
        assert whole.is_complete
        assert np.array_equal(levels(whole.image), levels(codec.decode(data, realism)))


def test_latents_are_shown_both_ways(codec, data, make_picture):
    size = codec.decode(data).size
    l_hat = codec.latents(data)
    for realism in REALISMS:
        image = codec.from_latents(l_hat, size, realism)
        assert np.abs(levels(image) - levels(codec.decode(data, realism))).max() <= 1
    picture = make_picture(64, 64)
    for draw in (
        lambda realism: codec.sample(1, (64, 64), seed=1, realism=realism)[0],
        lambda realism: codec.interpolate(picture, picture[::-1], 2, realism)[0],
    ):
        assert np.abs(levels(draw(0)) - levels(draw(100))).max() > 1


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_model_that_takes_none_shows_one_picture(micro_path, path, make_picture, runtime):
    codec = load(micro_path, runtime)
    assert not codec.takes_realism
    assert load(path, runtime).takes_realism
    file = codec.encode(make_picture(64, 64))
    assert np.array_equal(levels(codec.decode(file, 0)), levels(codec.decode(file, 100)))


@pytest.mark.parametrize("wrong", [-1, 101, True, False, 0.5, "50", float("nan"), [1]])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_what_is_no_realism_is_refused(path, data, runtime, wrong):
    codec = load(path, runtime)
    for call in (codec.decode, codec.preview, codec.decode_partial):
        with pytest.raises(ValueError, match="realism: expected a whole number from 0 to 100"):
            call(data, wrong)
    with pytest.raises(ValueError, match="realism: expected"):
        glc.pillow.register(realism=wrong)


@pytest.mark.parametrize("realism", REALISMS)
def test_8_bits_show_nearly_the_same(kind, request, make_picture, realism):
    weights = checkpoint.load(request.getfixturevalue(f"ranged_{kind}_path"))
    how = {"runtime": "onnxruntime", "device": "cpu"}
    exact, quick = Codec(weights, **how), Codec(weights, **how, precision="int8")
    file = exact.encode(make_picture(130, 200, 9), 60)
    assert quick.encode(make_picture(130, 200, 9), 60) == file
    difference = levels(quick.decode(file, realism)) - levels(exact.decode(file, realism))
    assert 0.0 < np.square(difference).mean() < 1.0


def test_pillow_is_told_once(codec, path, data):
    try:
        for realism in (0, None):
            glc.pillow.register(path, realism=realism)
            with Image.open(io.BytesIO(data)) as image:
                assert np.array_equal(levels(image), levels(codec.decode(data, realism)))
    finally:
        glc.pillow.register()


def test_readers_of_datasets(codec, path, data, tmp_path):
    from glc.dataset import BatchDecoder, GlcDataset
    from glc.dataset.ray import GlcDecoder

    (tmp_path / "a.glc").write_bytes(data)
    expected = levels(codec.decode(data, 0))
    dataset = GlcDataset(tmp_path, "image", device="cpu", model=path, realism=0)
    batch, _ = BatchDecoder("image", "cpu", model=path, realism=0)([(data, 0)])
    for picture in (dataset[0][0], batch[0]):
        assert np.array_equal(levels(picture.permute(1, 2, 0)), expected)
    rows = GlcDecoder("image", "cpu", path, realism=0)({"glc": [data]})
    assert np.array_equal(levels(rows["image"][0]), expected)
    for wrong in (
        lambda: GlcDataset(tmp_path, "image", realism=101),
        lambda: BatchDecoder(realism=True),
        lambda: GlcDecoder(realism=-1),
    ):
        with pytest.raises(ValueError, match="realism"):
            wrong()
