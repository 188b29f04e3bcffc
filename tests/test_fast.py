"""The codec without torch writes the same files and reads the same symbols."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glc import checkpoint, fast
from glc.bitstream import FORMAT_VERSION, FORMAT_VERSIONS, Limits, pack, unpack
from glc.errors import BitstreamError, CorruptError, LimitError, WeightsError
from glc.fast import FastCodec

if find_spec("onnxruntime") is None:
    pytest.skip("needs the extra fast", allow_module_level=True)

SIZES = [(1, 1), (1, 200), (63, 65), (128, 64), (200, 77)]
ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def quick(micro_path) -> FastCodec:
    return FastCodec.from_pretrained(micro_path)


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
        FastCodec.from_pretrained(other).decode(data)
    container = unpack(data)
    changed = type(container)(
        container.width, container.height, 7, container.model, container.payload
    )
    with pytest.raises(CorruptError):
        quick.verify(pack(changed))


def test_malformed_weights(micro_path, micro_config):
    weights = checkpoint.load(micro_path)
    for name in ("tables.index.frequencies", "decoder.stem.bias", "scale_map.bias"):
        missing = {key: value for key, value in weights.tensors.items() if key != name}
        with pytest.raises(WeightsError):
            FastCodec(checkpoint.Checkpoint(micro_config, "x", "", bytes(32), missing))
    fewer = dict(weights.tensors)
    fewer["tables.index.frequencies"] = fewer["tables.index.frequencies"][:-1]
    with pytest.raises(WeightsError, match=r"tables\.index\.frequencies: expected shape"):
        FastCodec(checkpoint.Checkpoint(micro_config, "x", "", bytes(32), fewer))


@pytest.mark.parametrize("size", [(331, 257), (65, 400)])
@pytest.mark.parametrize("side", [64, 192])
def test_large_pictures_are_worked_on_in_tiles(
    micro, micro_path, symbols_of, make_picture, size, side
):
    tiled, picture = FastCodec.from_pretrained(micro_path, side), make_picture(*size)
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
    tiled, picture = FastCodec.from_pretrained(micro_path, 64), make_picture(130, 150)
    limit = len(tiled.encode(picture, 40)) + 3
    data = tiled.encode_to_size(picture, limit)
    assert len(data) <= limit
    assert data == tiled.encode(picture, unpack(data).quality)


def test_progress_rises_to_one(micro_path, make_picture, check_progress):
    check_progress(FastCodec.from_pretrained(micro_path, 64), make_picture(300, 200))


def test_no_float_is_computed_for_a_large_file_that_is_wrong(micro_path, make_picture, monkeypatch):
    tiled = FastCodec.from_pretrained(micro_path, 64)
    good = unpack(tiled.encode(make_picture(100, 100), 50))

    def never(*arguments, **inputs):
        raise AssertionError("a network was run")

    monkeypatch.setattr(tiled._model, "_run", never)
    for payload in (b"", good.payload, bytes(range(256))):
        forged = pack(dataclasses.replace(good, width=3000, height=500, payload=payload))
        with pytest.raises(CorruptError):
            tiled.decode(forged)
    tiled.verify(pack(good))


def test_the_side_of_a_tile_is_checked(micro_path):
    assert FastCodec.from_pretrained(micro_path, 128).tile == 128
    with pytest.raises(ValueError, match="tile"):
        FastCodec.from_pretrained(micro_path, 63)


def test_torch_is_never_imported(micro_path, make_picture, tmp_path):
    source = tmp_path / "x.png"
    Image.fromarray(make_picture(70, 70)).save(source)
    code = """
import sys
from glc.fast import FastCodec, is_usable
is_usable()
for tile in (0, 64):
    codec = FastCodec.from_pretrained(sys.argv[1], tile)
    print(codec.decode(codec.encode(sys.argv[2])).size, "torch" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(micro_path), str(source)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == 2 * ["(70, 70) False"], done.stderr


def test_when_it_is_chosen(monkeypatch):
    monkeypatch.setattr(fast, "_may_have_accelerator", lambda: False)
    assert fast.is_usable("auto")
    assert fast.is_usable("cpu")
    assert not fast.is_usable("cuda")
    monkeypatch.setattr(fast, "_may_have_accelerator", lambda: True)
    assert not fast.is_usable("auto")
    assert fast.is_usable("cpu")
    monkeypatch.setenv("GLC_RUNTIME", "torch")
    assert not fast.is_usable("cpu")
    monkeypatch.delenv("GLC_RUNTIME")
    monkeypatch.setattr(fast, "find_spec", lambda name: None)
    assert not fast.is_usable("cpu")


@pytest.mark.parametrize(
    ("system", "sign", "expected"),
    [("linux", "/dev/nvidiactl", True), ("linux", "/dev/kfd", True), ("linux", "none", False)],
)
def test_signs_of_an_accelerator(monkeypatch, system, sign, expected):
    monkeypatch.setattr(fast.sys, "platform", system)
    monkeypatch.setattr(fast.Path, "exists", lambda path: str(path) == sign)
    assert fast._may_have_accelerator() is expected


def test_signs_elsewhere(monkeypatch):
    monkeypatch.setattr(fast.sys, "platform", "darwin")
    monkeypatch.setattr(fast.platform, "machine", lambda: "arm64")
    assert fast._may_have_accelerator()
    monkeypatch.setattr(fast.platform, "machine", lambda: "x86_64")
    assert not fast._may_have_accelerator()
    monkeypatch.setattr(fast.sys, "platform", "win32")
    monkeypatch.setattr(fast, "find_library", lambda name: "nvcuda.dll")
    assert fast._may_have_accelerator()


def test_the_rest_is_left_to_torch(micro, quick, make_picture):
    data = micro.encode(make_picture(70, 70))
    assert np.array_equal(np.asarray(quick.preview(data)), np.asarray(micro.preview(data)))
    assert quick.decode_partial(data).is_complete
    assert np.array_equal(quick.bit_map(data), micro.bit_map(data))
    sizes = [picture.size for picture in quick.sample(2, (64, 80), 30, 1, 0.5)]
    assert sizes == [(64, 80), (64, 80)]
    before = quick.limits
    quick.limits = Limits(max_pixels=100)
    with pytest.raises(LimitError):
        quick.decode_partial(data)
    with pytest.raises(LimitError):
        quick.decode(data)
    quick.limits = before
    quick.decode_partial(data)
