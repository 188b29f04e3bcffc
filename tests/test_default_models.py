"""Two default models, one of them for the qualities from some quality on, are one codec."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import glc.pillow
from glc import Codec, WeightsError
from glc.bitstream import unpack
from glc.dataset import GlcEncoder, compress
from glc.weights import manifest, registry

FROM = 60


@pytest.fixture
def folder(micro_path, two_decoders_path, tmp_path, monkeypatch):
    folder = tmp_path / "models"
    folder.mkdir()
    for path in (micro_path, two_decoders_path):
        shutil.copy(path, folder)
    manifest.write_manifest(folder, "micro", {"two_decoders": FROM})
    monkeypatch.setenv(registry.MODELS_VARIABLE, str(folder))
    return folder


@pytest.fixture
def codec(folder):
    return Codec.from_pretrained(device="cpu")


@pytest.fixture
def both(micro, two_decoders):
    return {micro.identity[:3]: "micro", two_decoders.identity[:3]: "two_decoders"}


def name_of(data: bytes, both: dict[bytes, str]) -> str:
    return both[unpack(data).model]


def test_the_quality_chooses_the_model(codec, both, make_picture):
    picture = make_picture(70, 90)
    files = {q: codec.encode(picture, q) for q in (0, FROM - 1, FROM, 100)}
    assert [name_of(data, both) for data in files.values()] == ["micro"] * 2 + ["two_decoders"] * 2
    assert [unpack(data).quality for data in files.values()] == list(files)
    for name in ("micro", "two_decoders"):
        alone = Codec.from_pretrained(name, device="cpu")
        for quality, data in files.items():
            if name_of(data, both) == name:
                assert alone.encode(picture, quality) == data
                assert alone.decode(data).tobytes() == codec.decode(data).tobytes()
    # Named, a model does all qualities.
    assert name_of(Codec.from_pretrained("micro", device="cpu").encode(picture, 100), both) == (
        "micro"
    )


def test_files_of_both_in_one_batch(codec, make_picture):
    pictures = [make_picture(64 + 16 * i, 80, seed=i) for i in range(5)]
    files = [codec.encode(p, q) for p, q in zip(pictures, (90, 10, 60, 59, 100), strict=True)]
    decoded = codec.decode_batch(data for data in files)
    assert [image.size for image in decoded] == [(80, 64 + 16 * i) for i in range(5)]
    for image, data in zip(decoded, files, strict=True):
        assert image.tobytes() == codec.decode(data).tobytes()
    codec.verify_batch(files)
    assert codec.decode_batch([]) == []
    codec.verify_batch(dict(enumerate(files)).values())
    broken = bytearray(files[2])
    broken[-1] ^= 1
    with pytest.raises(glc.GlcError):
        codec.verify_batch([*files[:2], bytes(broken)])


def test_progress_of_a_batch_of_both(codec, make_picture):
    codec.tile = 64
    files = [codec.encode(make_picture(128, 192, seed=q), q) for q in (90, 10, 70)]
    told: list[float] = []
    codec.decode_batch(files, progress=told.append)
    assert len(told) > len(files)
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1.0)


def test_sizes_lie_on_both_sides(codec, both, make_picture):
    picture = make_picture(96, 128)
    sizes = {quality: len(codec.encode(picture, quality)) for quality in range(101)}
    for limit in sorted({*sizes.values(), min(sizes.values()) + 1, 100_000}):
        fitting = [quality for quality, size in sizes.items() if size <= limit]
        finer = [quality for quality in fitting if quality >= FROM]
        data = codec.encode_to_size(picture, limit)
        assert len(data) <= limit
        # Random weights make files that do not grow with every quality.
        assert (unpack(data).quality >= FROM) == (FROM in fitting)
        if sizes[FROM] <= limit:
            assert finer
    with pytest.raises(ValueError, match="the smallest file has"):
        codec.encode_to_size(picture, 10)


def test_shares_rise_when_both_are_tried(codec, make_picture):
    codec.tile = 64
    picture = make_picture(128, 192)
    for limit in (len(codec.encode(picture, 20)), 1_000_000):
        shares: list[float] = []
        codec.encode_to_size(picture, limit, progress=shares.append)
        assert len(shares) > 4
        assert shares == sorted(shares)
        assert 0.6 < shares[-1] <= 1.0


@pytest.mark.parametrize("quality", [20, 80])
def test_what_takes_a_quality_or_a_file_follows_it(codec, micro, two_decoders, quality):
    rng = np.random.default_rng(1)
    picture = rng.integers(0, 255, (64, 80, 3), np.uint8)
    alone = Codec.from_pretrained("micro" if quality < FROM else "two_decoders", device="cpu")
    assert alone.identity == (micro if quality < FROM else two_decoders).identity
    assert codec.for_quality(quality).identity == alone.identity
    one = alone
    data = codec.encode(picture, quality)
    assert codec.bits(picture, quality) == one.bits(picture, quality)
    assert codec.surprise(picture, quality) == one.surprise(picture, quality)
    assert np.array_equal(codec.bit_map(picture, quality), one.bit_map(picture, quality))
    assert np.array_equal(codec.bit_map(data), one.bit_map(data))
    drawn = codec.sample(1, (64, 64), quality)[0]
    assert drawn.tobytes() == one.sample(1, (64, 64), quality)[0].tobytes()
    assert codec.preview(data).tobytes() == one.preview(data).tobytes()
    part = codec.decode_partial(data[:-3])
    assert part.image.tobytes() == one.decode_partial(data[:-3]).image.tobytes()
    codec.verify(data)
    assert np.array_equal(codec.latents(data), one.latents(data))
    shapes = [latents.shape for latents in codec.latents_batch([picture, data])]
    assert shapes == [micro.latents(picture).shape, one.latents(data).shape]


def test_a_file_of_neither(codec, linear, make_picture):
    with pytest.raises(WeightsError, match="made with model"):
        codec.decode(linear.encode(make_picture(64, 64)))


def test_limits_tile_and_realism_hold_for_both(codec, two_decoders, make_picture):
    data = codec.encode(make_picture(64, 80), 90)
    codec.limits = glc.bitstream.Limits(max_pixels=100)
    with pytest.raises(glc.GlcError, match="pixels"):
        codec.decode(data)
    codec.limits = glc.bitstream.Limits()
    codec.tile = 64
    assert codec.for_quality(90).tile == 64
    assert codec.takes_realism
    assert codec.decode(data, 0).tobytes() != codec.decode(data, 100).tobytes()
    assert not Codec.from_pretrained("micro", device="cpu").takes_realism


def test_a_pickled_codec_has_both(codec, both, make_picture):
    again = pickle.loads(pickle.dumps(codec))
    picture = make_picture(64, 80)
    for quality in (30, 90):
        assert again.encode(picture, quality) == codec.encode(picture, quality)


def test_a_pickled_codec_finds_both_by_their_paths(codec, folder, monkeypatch, make_picture):
    pickled = pickle.dumps(codec)
    monkeypatch.delenv(registry.MODELS_VARIABLE)
    again = pickle.loads(pickled)
    picture = make_picture(64, 80)
    assert again.encode(picture, 90) == codec.encode(picture, 90)
    (folder / "two_decoders.safetensors").unlink()
    late = pickle.loads(pickled)
    assert late.encode(picture, 30) == codec.encode(picture, 30)
    with pytest.raises(WeightsError, match="not installed"):
        late.encode(picture, 90)


def test_the_second_is_found_from_another_folder_and_must_be_the_same(
    folder, linear_path, tmp_path, monkeypatch, make_picture
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(registry.MODELS_VARIABLE, "models")
    codec, late = Codec.from_pretrained(device="cpu"), Codec.from_pretrained(device="cpu")
    monkeypatch.chdir(folder)
    codec.encode(make_picture(64, 64), 90)
    (folder / "manifest.json").unlink()
    shutil.copy(linear_path, folder / "two_decoders.safetensors")
    with pytest.raises(WeightsError, match="not installed"):
        late.encode(make_picture(64, 64), 90)


def test_copies_in_a_folder_before_change_nothing(
    folder, micro_path, two_decoders_path, tmp_path, monkeypatch
):
    first = tmp_path / "copies"
    first.mkdir()
    monkeypatch.setenv(registry.MODELS_VARIABLE, f"{first}{os.pathsep}{folder}")
    for path in (two_decoders_path, micro_path):
        shutil.copy(path, first)
        found = [(info.name, info.from_quality) for info in registry.defaults()]
        assert found == [("micro", None), ("two_decoders", FROM)]
    assert registry.locate(None, FROM).parent == first


def test_of_two_files_of_one_name_the_first_is_taken(folder, export_model, make_model, micro):
    export_model(folder / "z-other.safetensors", make_model(9), "micro")
    manifest.write_manifest(folder, "micro", {"two_decoders": FROM})
    assert [info.path.stem for info in registry.defaults()] == ["micro", "two_decoders"]
    assert registry.locate(None, 0).stem == "micro"
    assert Codec.from_pretrained(device="cpu").identity == micro.identity


def test_more_than_two(folder, linear_path, linear, two_decoders, make_picture):
    shutil.copy(linear_path, folder)
    manifest.write_manifest(folder, "micro", {"two_decoders": FROM, "linear": 90})
    codec = Codec.from_pretrained(device="cpu")
    picture = make_picture(64, 80)
    for quality, one in ((89, two_decoders), (90, linear), (FROM, two_decoders)):
        data = codec.encode(picture, quality)
        assert unpack(data).model == one.identity[:3]
        assert registry.locate(None, quality).stem == one.name
        assert codec.decode(data).size == (80, 64)
    assert len(codec.identities) == 3


def test_a_folder_before_takes_the_place_of_both(
    folder, linear_path, tmp_path, monkeypatch, make_picture, linear
):
    first = tmp_path / "first"
    first.mkdir()
    shutil.copy(linear_path, first)
    manifest.write_manifest(first, "linear")
    monkeypatch.setenv(registry.MODELS_VARIABLE, f"{first}{os.pathsep}{folder}")
    assert [info.name for info in registry.defaults()] == ["linear"]
    data = Codec.from_pretrained(device="cpu").encode(make_picture(64, 64), 100)
    assert unpack(data).model == linear.identity[:3]


def test_without_its_file_the_first_model_does_all(folder, both, make_picture):
    (folder / "two_decoders.safetensors").unlink()
    codec = Codec.from_pretrained(device="cpu")
    assert name_of(codec.encode(make_picture(64, 64), 100), both) == "micro"


@pytest.mark.parametrize("quality", [0, -5, 101, "60", None])
def test_a_manifest_is_written_with_qualities_only(folder, quality):
    with pytest.raises(ValueError, match="from_quality of two_decoders"):
        manifest.write_manifest(folder, "micro", {"two_decoders": quality})


@pytest.mark.parametrize(
    "known",
    [
        *(3, ["two_decoders"], {"two_decoders": "60"}, {"else": 3}),
        *({"two_decoders": quality} for quality in (0, -5, 101, True, 60.0)),
    ],
)
def test_a_manifest_that_says_nothing_sensible(folder, known):
    path = folder / "manifest.json"
    found = json.loads(path.read_text())
    found["from_quality"] = known
    path.write_text(json.dumps(found))
    assert [info.name for info in registry.defaults()] == ["micro"]


def test_locate_and_describe(folder):
    assert registry.locate(None, FROM - 1).stem == "micro"
    assert registry.locate(None, FROM).stem == "two_decoders"
    assert registry.locate("micro", 100).stem == "micro"
    found = {info.name: (info.default, info.from_quality) for info in registry.installed()}
    assert found["micro"] == (True, None)
    assert found["two_decoders"] == (False, FROM)
    assert [info.name for info in registry.installed()][:2] == ["micro", "two_decoders"]


@pytest.mark.parametrize("quality", [FROM - 1, FROM])
def test_all_ways_to_write_agree(folder, both, tmp_path, make_picture, quality):
    wanted = "micro" if quality < FROM else "two_decoders"
    source = tmp_path / "pictures"
    source.mkdir()
    picture = Image.fromarray(make_picture(64, 80))
    picture.save(source / "a.png")
    data = Codec.from_pretrained(device="cpu").encode(picture, quality)
    assert name_of(data, both) == wanted
    for model in (None, Codec.from_pretrained(device="cpu")):
        target = tmp_path / f"out-{model is None}"
        compress(source, target, quality=quality, device="cpu", model=model)
        assert (target / "a.glc").read_bytes() == data
    encoder = GlcEncoder(quality=quality, device="cpu")
    assert encoder({"image": [str(source / "a.png")]})["glc"] == [data]
    glc.pillow.register()
    picture.save(tmp_path / "b.glc", quality=quality)
    assert (tmp_path / "b.glc").read_bytes() == data
    with Image.open(tmp_path / "b.glc") as opened:
        assert opened.size == (80, 64)
        opened.load()


@pytest.mark.system
def test_the_command_line(folder, both, tmp_path, make_picture):
    source = tmp_path / "a.png"
    Image.fromarray(make_picture(64, 80)).save(source)

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "codec_cli", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    for quality, name in ((20, "micro"), (90, "two_decoders")):
        run("encode", source, "-q", quality, "-f", "--verify")
        assert name_of(source.with_suffix(".glc").read_bytes(), both) == name
        assert name in run("info", source.with_suffix(".glc"))
        run("decode", source.with_suffix(".glc"), "-f", "-o", tmp_path / "back.png")
    lines = run("models").splitlines()
    assert lines[0].startswith("* micro")
    assert lines[1].startswith("* two_decoders")
    assert lines[1].endswith(f"(from quality {FROM} on)")
