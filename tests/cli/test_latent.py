"""``glc decode --preview`` and ``--partial``, ``glc info --heatmap``, ``glc sample``."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from codec_cli.main import main
from glc import Codec
from glc.bitstream import unpack


@pytest.fixture
def run(monkeypatch, capsys, tmp_path, micro_path):
    """Return a function that runs ``glc`` with the micro weights installed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLC_MODELS", str(micro_path.parent))

    def call(*arguments):
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def coded(micro, make_picture, tmp_path, version):
    """A file, and half of it, in the folder that commands run in."""
    (data,) = micro.encode_batch([make_picture(72, 100)], 70, version=version)
    (tmp_path / "a.glc").write_bytes(data)
    (tmp_path / "half.glc").write_bytes(data[: len(data) // 2])
    return data


def test_a_part_says_how_much_of_it_has_arrived(run, coded, micro):
    code, out, err = run("decode", "--partial", "half.glc", "--json")
    assert code == 0
    record = json.loads(out)
    partial = micro.decode_partial(coded[: len(coded) // 2])
    assert record["complete"] is False
    assert record["payload_bytes"] == partial.payload_bytes
    assert record["payload_expected"] == len(unpack(coded).payload)
    assert (record["steps"], record["symbols"]) == (partial.steps, partial.symbols)
    said = f"{partial.payload_bytes} of {len(unpack(coded).payload)} bytes of the payload"
    assert said in err
    assert "nothing was verified" in err
    with Image.open("half.png") as image:
        assert np.array_equal(np.asarray(image), np.asarray(partial.image))


def test_a_whole_file_is_verified(run, coded, tmp_path):
    code, out, err = run("decode", "--partial", "a.glc", "--json")
    assert (code, json.loads(out)["complete"], err) == (0, True, "")
    damaged = bytearray(coded)
    damaged[-1] ^= 1
    (tmp_path / "bad.glc").write_bytes(damaged)
    code, _, err = run("decode", "--partial", "bad.glc")
    assert code == 1
    assert "checksum" in err
    assert not (tmp_path / "bad.png").exists()


def test_a_preview_takes_parts_and_wholes(run, coded, micro):
    for name in ("a", "half"):
        code, _, err = run("decode", "--preview", f"{name}.glc")
        assert code == 0
        assert "a preview" in err
        with Image.open(f"{name}.png") as image:
            assert np.array_equal(np.asarray(image), np.asarray(micro.preview(coded)))


def test_parts_are_refused_unless_asked_for(run, coded):
    code, _, err = run("decode", "half.glc")
    assert code == 1
    assert "the file is incomplete" in err
    assert run("decode", "--partial", "--preview", "half.glc")[0] == 2


@pytest.mark.parametrize("option", ["--partial", "--preview"])
def test_parts_are_shown_in_8_bits_too(
    run, make_picture, ranged_path, tmp_path, monkeypatch, option
):
    monkeypatch.setenv("GLC_MODELS", str(ranged_path.parent))
    codec = Codec.from_pretrained(ranged_path, precision="int8")
    data = codec.encode(make_picture(72, 100), 70)[:-20]
    (tmp_path / "cut.glc").write_bytes(data)
    assert run("decode", "--int8", option, "cut.glc")[0] == 0
    expected = codec.preview(data) if option == "--preview" else codec.decode_partial(data).image
    with Image.open("cut.png") as image:
        assert np.array_equal(np.asarray(image), np.asarray(expected))


@pytest.mark.parametrize("length", [0, 5, 12])
@pytest.mark.parametrize("option", ["--partial", "--preview"])
def test_too_little_says_what_it_takes(run, coded, tmp_path, length, option):
    (tmp_path / "few.glc").write_bytes(coded[:length])
    code, _, err = run("decode", option, "few.glc")
    assert code == 1
    assert f"found {length}" in err
    assert "nothing can be shown of it yet" in err
    assert err.count("\n") == 1


def test_a_heatmap_of_a_file(run, coded, micro):
    code, out, err = run("info", "a.glc", "--heatmap", "map.png", "--json")
    assert (code, err) == (0, "")
    record = json.loads(out)
    assert record["bits"] == pytest.approx(micro.bit_map(coded).sum(), abs=0.01)
    assert record["bits"] == pytest.approx(8 * len(unpack(coded).payload), abs=32)
    assert (record["quality"], record["width"], record["height"]) == (70, 100, 72)
    with Image.open("map.png") as image:
        assert image.width == 100
        assert image.height > 72
    code, _, err = run("info", "a.glc", "--heatmap", "map.png")
    assert code == 1
    assert "exists" in err
    assert run("info", "a.glc", "--heatmap", "map.png", "-f")[0] == 0


def test_a_heatmap_of_a_picture(run, make_picture, micro, micro_path):
    pixels = make_picture(40, 50)
    Image.fromarray(pixels).save("p.png")
    arguments = ("info", "p.png", "--heatmap", "map.png", "--model", micro_path, "-q", "30")
    code, out, _ = run(*arguments, "--json")
    assert code == 0
    assert json.loads(out)["bits"] == pytest.approx(micro.bits(pixels, 30), abs=0.01)


def test_heatmaps_that_cannot_be(run, coded, tmp_path):
    assert run("info", "a.glc", "half.glc", "--heatmap", "map.png")[0] == 2
    assert run("info", "a.glc", "--heatmap", "-")[0] == 2
    code, _, err = run("info", "a.glc", "--heatmap", "map.png", "-q", "30")
    assert code == 1
    assert "-q is for pictures" in err
    code, _, err = run("info", "half.glc", "--heatmap", "map.png")
    assert code == 1
    assert "incomplete" in err
    assert not (tmp_path / "map.png").exists()


def test_samples_have_names_and_repeat(run, micro, micro_path, tmp_path):
    arguments = ("-n", "2", "--size", "70x40", "--seed", "3", "-q", "60", "--model", micro_path)
    assert run("sample", *arguments, "-o", "drawn")[0] == 0
    expected = micro.sample(2, (70, 40), 60, 3)
    for number, picture in enumerate(expected):
        with Image.open(tmp_path / "drawn" / f"sample-3-000{number}.png") as image:
            assert np.array_equal(np.asarray(image), np.asarray(picture))
    assert run("sample", *arguments, "-o", "drawn")[0] == 1
    assert run("sample", *arguments, "-o", "drawn", "-f", "--temperature", "0.5")[0] == 0
    with Image.open(tmp_path / "drawn" / "sample-3-0000.png") as image:
        assert not np.array_equal(np.asarray(image), np.asarray(expected[0]))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--size", "0x9"],
        ["--size", "9"],
        ["--size", "9x5000"],
        ["-n", "-1"],
        ["--temperature", "0"],
        ["--temperature", "nan"],
        ["-q", "101"],
    ],
)
def test_wrong_samples_are_wrong_usage(run, arguments):
    code, _, err = run("sample", "-o", "x", *arguments)
    assert code == 2
    assert err.count("\n") == 1


def test_samples_of_noise(run, gaussian_path, micro_path, tmp_path):
    arguments = ("-n", "2", "--size", "70x40", "--seed", "3", "--prior", "normal", "--model")
    code, out, err = run("sample", *arguments, gaussian_path, "-o", "drawn")
    assert code == 0
    assert "z ~ N(0, I)" in out + err
    expected = Codec.from_pretrained(gaussian_path, device="cpu").sample(
        2, (70, 40), seed=3, prior="normal"
    )
    for number, picture in enumerate(expected):
        with Image.open(tmp_path / "drawn" / f"sample-3-000{number}.png") as image:
            assert np.array_equal(np.asarray(image), np.asarray(picture))
    code, _, err = run("sample", *arguments, micro_path, "-o", "other")
    assert code == 1
    assert "--regulariser kl" in err
    assert not (tmp_path / "other").exists()
    code, _, err = run("sample", *arguments, gaussian_path, "-o", "other", "-q", "30")
    assert code == 2
    assert "--prior normal has none" in err
