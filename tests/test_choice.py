"""Of several models the smallest file at equal measured distortion; a file finds its model."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codec_cli.main import main as glc_main
from eval import backbones
from glc import checkpoint
from glc.bitstream import MODEL_BYTES, unpack
from glc.choice import ModelChoice
from glc.codec import Codec
from glc.errors import WeightsError
from glc.structure import structural_distance


@pytest.fixture(scope="module")
def paths(
    tmp_path_factory: pytest.TempPathFactory,
    make_model: Callable[..., Any],
    export_model: Callable[..., bytes],
) -> list[Path]:
    folder = tmp_path_factory.mktemp("models")
    named = [folder / f"{name}.safetensors" for name in ("one", "two", "three")]
    for seed, path in enumerate(named):
        export_model(path, make_model(seed + 1), path.stem)
    checkpoint.write_manifest(folder, "one")
    return named


@pytest.fixture(scope="module")
def codecs(paths: list[Path]) -> list[Codec]:
    return [Codec.from_pretrained(path, device="cpu") for path in paths]


def brightness(x: np.ndarray, x_hat: np.ndarray) -> float:
    """A distance that random weights can differ in."""
    return abs(float(x.mean()) - float(x_hat.mean()))


def test_the_smallest_that_is_alike_enough_is_found(codecs, make_picture) -> None:
    picture = make_picture(70, 100)
    chosen = {}
    for distance in (brightness, lambda x, y: 0.0, structural_distance):
        choice = ModelChoice(codecs, distance).choose(picture, 60)
        asked = codecs[0].encode(picture, 60)
        wanted = distance(picture, np.asarray(codecs[0].decode(asked)))
        codec = next(c for c in codecs if c.name == choice.model)
        reached = distance(picture, np.asarray(codec.decode(choice.data)))
        assert reached == choice.distance <= wanted
        assert len(choice.data) <= len(asked)
        assert unpack(choice.data).quality == choice.quality
        chosen[choice.model] = choice
    # Where everything is alike, the smallest file of all is right, at another model's quality 0.
    smallest = min(len(c.encode(picture, 0)) for c in codecs[1:])
    assert len(ModelChoice(codecs, lambda x, y: 0.0).choose(picture, 60).data) == smallest


def test_nothing_better_leaves_the_first_model(codecs, make_picture) -> None:
    picture = make_picture(64, 64)
    seen: list[np.ndarray] = []

    def first_wins(x: np.ndarray, x_hat: np.ndarray) -> float:
        seen.append(x_hat)
        return float(len(seen))

    choice = ModelChoice(codecs, first_wins).choose(picture, 40)
    assert (choice.model, choice.quality) == ("one", 40)
    assert choice.data == codecs[0].encode(picture, 40)
    # One decoding for each model, no search where the first look says no.
    assert len(seen) <= len(codecs)


def test_a_distance_that_is_no_number_decides_nothing(codecs, make_picture) -> None:
    picture = make_picture(64, 64)
    unknown = ModelChoice(codecs, lambda x, y: math.nan)
    assert unknown.encode(picture, 40) == codecs[0].encode(picture, 40)
    assert unknown.encode_to_size(picture, 400) == codecs[0].encode_to_size(picture, 400)


def test_to_a_size_the_most_alike_is_kept(codecs, make_picture) -> None:
    picture, limit = make_picture(128, 128), 400
    data = ModelChoice(codecs, brightness).encode_to_size(picture, limit)
    assert len(data) <= limit
    values = []
    for codec in codecs:
        decoded = codec.decode(codec.encode_to_size(picture, limit))
        values.append(brightness(picture, np.asarray(decoded)))
    assert brightness(picture, np.asarray(ModelChoice(codecs).decode(data))) == min(values)
    with pytest.raises(ValueError, match="smallest file has"):
        ModelChoice(codecs).encode_to_size(picture, 5)


def test_files_of_all_models_decode_and_of_no_other(codecs, make_picture) -> None:
    picture = make_picture(40, 50)
    two = ModelChoice(codecs[:2])
    for codec in codecs[:2]:
        data = codec.encode(picture)
        two.verify(data)
        assert np.array_equal(two.decode(data), codec.decode(data))
    with pytest.raises(WeightsError, match="these are one, two"):
        two.decode(codecs[2].encode(picture))
    with pytest.raises(ValueError, match="expected one or more"):
        ModelChoice([])


def test_auto_on_the_command_line(
    paths, codecs, make_picture, tmp_path, monkeypatch, capsys
) -> None:
    from PIL import Image

    monkeypatch.setenv(checkpoint.MODELS_VARIABLE, str(paths[0].parent))
    installed = [info for info in checkpoint.installed() if info.path.parent == paths[0].parent]
    assert [info.name for info in installed] == ["one", "three", "two"]
    # Without what is shipped, whose size would make this slow.
    monkeypatch.setattr(checkpoint, "installed", lambda: installed)
    picture = tmp_path / "a.png"
    Image.fromarray(make_picture(70, 90)).save(picture)
    given = ["--model", "auto", "--device", "cpu", "--quiet", "--verify"]
    # Where LPIPS is not installed, that is said, and something else compares.
    monkeypatch.setitem(backbones._HUB, "squeeze", "absent.pth")
    assert glc_main(["encode", str(picture), *given]) == 0
    assert "without LPIPS" in capsys.readouterr().err
    data = picture.with_suffix(".glc").read_bytes()
    order = [codecs[0], codecs[2], codecs[1]]
    assert data == ModelChoice(order).encode(picture)
    assert unpack(data).model in {c.identity[:MODEL_BYTES] for c in codecs}
    out = str(tmp_path / "b.png")
    decode = ["decode", str(picture.with_suffix(".glc")), "-o", out, "--device", "cpu", "--quiet"]
    assert glc_main(decode) == 0
    # A file says its model, and there is nothing to choose.
    assert glc_main([*decode, "--model", "auto", "-f"]) == 2
    monkeypatch.setattr(checkpoint, "installed", list)
    assert glc_main(["encode", str(picture), *given, "-f"]) == 1
