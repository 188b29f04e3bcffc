"""Both runtimes write the same files and read the same symbols."""

from __future__ import annotations

import dataclasses
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glc import Codec
from glc.bitstream import FORMAT_VERSION, FORMAT_VERSIONS, Limits, pack, unpack
from glc.errors import BitstreamError, CorruptError, LimitError, WeightsError
from glc.weights import checkpoint

SIZES = [(1, 1), (1, 200), (63, 65), (128, 64), (200, 77)]
ROOT = Path(__file__).parents[2]


def load(path, tile: int | None = None) -> Codec:
    return Codec.from_pretrained(path, runtime="onnxruntime", tile=tile)


@pytest.fixture(scope="module")
def quick(micro_path) -> Codec:
    return load(micro_path)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("quality", [0, 50, 100])
def test_each_reads_what_the_other_wrote(micro, quick, make_picture, size, quality):
    picture = make_picture(*size)
    files = [micro.encode_batch([picture], quality, version=v)[0] for v in FORMAT_VERSIONS]
    for data in (*files, quick.encode(picture, quality)):
        micro.verify(data)
        quick.verify(data)
        theirs, mine = np.asarray(micro.decode(data), int), np.asarray(quick.decode(data), int)
        assert mine.shape == theirs.shape
        assert np.abs(mine - theirs).max() <= 1


def test_files_are_nearly_always_the_same(micro, quick, make_picture):
    """Where a value lies on the border of two symbols the two may differ, hardly anywhere else."""
    for seed in range(4):
        picture = make_picture(100, 150, seed)
        mine, theirs = quick.encode(picture, 60), micro.encode(picture, 60)
        assert abs(len(mine) - len(theirs)) <= 0.01 * len(theirs)
        assert quick.encode(picture, 60) == mine
        assert unpack(mine).version == FORMAT_VERSION


def test_alpha_grey_and_metadata(micro, quick, make_picture):
    four = make_picture(40, 50, channels=4)
    decoded = quick.decode(quick.encode(four))
    assert decoded.mode == "RGBA"
    assert np.array_equal(np.asarray(decoded)[..., 3], four[..., 3])
    grey = Image.fromarray(make_picture(40, 50, channels=1))
    exif = Image.Exif()
    exif[0x010E] = "a description"
    grey.info["exif"] = exif.tobytes()
    decoded = quick.decode(quick.encode(grey, keep_metadata=True))
    assert decoded.mode == "L"
    assert decoded.getexif()[0x010E] == "a description"
    assert "exif" not in micro.decode(quick.encode(grey)).info


def test_encode_to_size(quick, make_picture):
    picture = make_picture(100, 90)
    limit = len(quick.encode(picture, 40))
    data = quick.encode_to_size(picture, limit)
    assert len(data) <= limit
    assert data == quick.encode(picture, unpack(data).quality)
    with pytest.raises(ValueError, match="smallest file has"):
        quick.encode_to_size(picture, 16)


def test_wrong_calls_and_damaged_files(quick, make_picture, make_model, export_model, tmp_path):
    picture = make_picture(70, 70)
    with pytest.raises(ValueError, match="quality"):
        quick.encode(picture, 101)
    data = quick.encode(picture)
    for position in range(12, len(data), 7):
        damaged = bytearray(data)
        damaged[position] ^= 0x10
        with pytest.raises(BitstreamError):
            quick.decode(bytes(damaged))
    other = tmp_path / "other.safetensors"
    export_model(other, make_model(9), "other")
    with pytest.raises(WeightsError, match="made with model"):
        load(other).decode(data)
    container = unpack(data)
    changed = type(container)(
        container.width, container.height, 7, container.model, container.payload
    )
    with pytest.raises(CorruptError):
        quick.verify(pack(changed))


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime"])
def test_malformed_weights(micro_path, micro_config, runtime):
    weights = checkpoint.load(micro_path)
    for name in ("tables.index.frequencies", "decoder.stem.bias", "scale_map.bias"):
        missing = {key: value for key, value in weights.tensors.items() if key != name}
        with pytest.raises(WeightsError):
            Codec(checkpoint.Checkpoint(micro_config, "x", "", bytes(32), missing), runtime=runtime)
    fewer = dict(weights.tensors)
    fewer["tables.index.frequencies"] = fewer["tables.index.frequencies"][:-1]
    with pytest.raises(WeightsError, match=r"tables\.index\.frequencies: expected shape"):
        Codec(checkpoint.Checkpoint(micro_config, "x", "", bytes(32), fewer), runtime=runtime)


@pytest.mark.parametrize("size", [(331, 257), (65, 400)])
@pytest.mark.parametrize("side", [64, 192])
def test_large_pictures_are_worked_on_in_tiles(
    micro, micro_path, symbols_of, make_picture, size, side
):
    tiled, picture = load(micro_path, side), make_picture(*size)
    for quality in (0, 60, 100):
        files = [micro.encode_batch([picture], quality, version=v)[0] for v in FORMAT_VERSIONS]
        for data in (*files, tiled.encode(picture, quality)):
            micro.verify(data)
            tiled.verify(data)
            theirs, mine = np.asarray(micro.decode(data), int), np.asarray(tiled.decode(data), int)
            assert np.abs(mine - theirs).max() <= 1
            assert (mine != theirs).mean() < 1e-3
        assert abs(len(data) - len(files[-1])) <= 0.01 * len(files[-1])


def test_the_best_quality_for_a_size_in_tiles(micro_path, make_picture):
    tiled, picture = load(micro_path, 64), make_picture(130, 150)
    limit = len(tiled.encode(picture, 40)) + 3
    data = tiled.encode_to_size(picture, limit)
    assert len(data) <= limit
    assert data == tiled.encode(picture, unpack(data).quality)


def test_progress_rises_to_one(micro_path, make_picture, check_progress):
    check_progress(load(micro_path, 64), make_picture(300, 200))


def test_no_float_is_computed_for_a_large_file_that_is_wrong(micro_path, make_picture, monkeypatch):
    tiled = load(micro_path, 64)
    good = unpack(tiled.encode(make_picture(100, 100), 50))

    def never(*arguments, **inputs):
        raise AssertionError("a network was run")

    monkeypatch.setattr(tiled.networks, "_compute", never)
    for payload in (b"", good.payload, bytes(range(256))):
        forged = pack(dataclasses.replace(good, width=3000, height=500, payload=payload))
        with pytest.raises(CorruptError):
            tiled.decode(forged)
    tiled.verify(pack(good))


def test_the_side_of_a_tile_is_checked(micro_path):
    assert load(micro_path, 128).tile == 128
    with pytest.raises(ValueError, match="tile"):
        load(micro_path, 63)


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
import numpy as np
import glc
from glc.bitstream import unpack
pixels = np.asarray(__import__("PIL.Image").Image.open(sys.argv[2]).convert("RGB"))
for tile in (0, 64):
    codec = glc.Codec.from_pretrained(sys.argv[1], tile=tile)
    assert (codec.runtime, codec.device) == ("onnxruntime", "cpu")
    files = codec.encode_batch([pixels, pixels[::-1]], 40)
    codec.verify_batch(files)
    pictures = codec.decode_batch(files, realism=0)
    assert codec.encode_to_size(pixels, len(files[0]) + 9)
    l = codec.latents(files[0])
    shown = codec.from_latents(l, pictures[0].size)
    assert np.abs(np.asarray(shown, int) - np.asarray(pictures[0], int)).max() <= 1
    assert codec.decode_partial(files[0]).is_complete
    codec.decode_partial(files[0][: 2 * len(files[0]) // 3])
    codec.preview(files[0])
    assert abs(codec.bit_map(pixels, 40).sum() - codec.bits(pixels, 40)) < 1
    assert codec.bit_map(files[0]).shape == codec.bit_map(pixels).shape
    codec.surprise(pixels)
    codec.latents(pixels)
    codec.interpolate(pixels, pixels[::-1], 3)
    assert codec.sample(2, (70, 40))[0].size == (70, 40)
try:
    glc.Codec.from_pretrained(sys.argv[1], runtime="torch")
except ModuleNotFoundError as error:
    print(error)
"""


@pytest.mark.system
def test_every_method_works_without_torch(micro_path, make_picture, tmp_path):
    source = tmp_path / "x.png"
    Image.fromarray(make_picture(70, 90)).save(source)
    environment = {name: value for name, value in os.environ.items() if name != "GLC_RUNTIME"}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, str(micro_path), str(source)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    expected = "the runtime torch is not installed; pip install 'glc-codec[torch]' brings it"
    assert done.stdout.strip() == expected


@pytest.mark.parametrize("which", ["micro", "linear", "two_decoders", "gaussian"])
def test_every_method_shows_the_same(which, request, make_picture):
    path = request.getfixturevalue(f"{which}_path")
    theirs, mine = (Codec.from_pretrained(path, runtime=r) for r in ("torch", "onnxruntime"))
    picture = make_picture(70, 90)
    data = theirs.encode(picture, 60)
    part = data[: 2 * len(data) // 3]

    def close(a, b) -> bool:
        return np.abs(np.asarray(a, np.int16) - np.asarray(b, np.int16)).max() <= 1

    expected, found = theirs.decode_partial(part), mine.decode_partial(part)
    assert dataclasses.replace(found, image=expected.image) == expected
    assert close(found.image, expected.image)
    assert close(mine.preview(data), theirs.preview(data))
    assert np.array_equal(mine.bit_map(data), theirs.bit_map(data))
    for of in (picture, data):
        assert np.allclose(mine.latents(of), theirs.latents(of), atol=1e-3)
    l = theirs.latents(data)[:3, :5]
    assert close(mine.from_latents(l), theirs.from_latents(l))
    for prior in ("learned", "normal") if which == "gaussian" else ("learned",):
        drawn = [codec.sample(1, (70, 40), 30, 1, 0.5, prior)[0] for codec in (mine, theirs)]
        assert close(*drawn)
    assert mine.bits(picture) == pytest.approx(theirs.bits(picture), rel=0.01)
    files = mine.encode_batch([picture, picture[::-1]], 60)
    for one, other in zip(mine.decode_batch(files), theirs.decode_batch(files), strict=True):
        assert close(one, other)


def test_a_pickled_codec_keeps_its_runtime(quick, ranged_path):
    assert pickle.loads(pickle.dumps(quick)).runtime == "onnxruntime"
    in_int8 = Codec.from_pretrained(ranged_path, precision="int8")
    again = pickle.loads(pickle.dumps(in_int8))
    assert again.networks.graphs["D"].to_bytes() == in_int8.networks.graphs["D"].to_bytes()


def test_limits_are_those_of_the_codec(quick, make_picture):
    data = quick.encode(make_picture(40, 40))
    before = quick.limits
    quick.limits = Limits(max_pixels=100)
    try:
        for call in (quick.decode, quick.decode_partial, quick.verify):
            with pytest.raises(LimitError):
                call(data)
    finally:
        quick.limits = before
    quick.decode_partial(data)
