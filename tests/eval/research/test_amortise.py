"""Teaching one pass what a search finds: what is learned, what stays, and the table."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from eval.research import amortise
from glc import Codec


@pytest.fixture
def codec(micro_path, random_perception):
    """A codec of its own, since its weights change."""
    return Codec.from_pretrained(micro_path, runtime="torch", device="cpu")


@pytest.fixture
def crops(make_picture):
    return [make_picture(64, 128, seed) for seed in range(3)]


def test_only_the_last_part_of_the_encoder_and_g_a_learn(codec, crops):
    model = amortise.codec_model(codec)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    lesson = amortise.lesson_of(codec, crops, 40, 5)
    assert amortise.share_gone(model, lesson, 40) == pytest.approx(0.0, abs=1e-4)
    shares = amortise.learn(model, lesson, lesson, 40, steps=60, rate=1e-3)
    assert shares[0] == shares[1] > 0.1
    changed = {n for n, value in model.state_dict().items() if not torch.equal(value, before[n])}
    assert changed
    allowed = ("encoder.body_16.", "encoder.head.", "analysis.")
    assert all(name.startswith(allowed) for name in changed)
    # What it writes is a file that the old decoder shows.
    assert codec.decode(codec.encode(crops[0], 40)).size == (128, 64)


def test_what_makes_held_out_crops_worse_is_not_kept(codec, crops):
    model = amortise.codec_model(codec)
    lesson = amortise.lesson_of(codec, crops[:1], 40, 5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    _, share = amortise.learn(model, lesson, lesson, 40, steps=3, rate=10.0)
    assert share == pytest.approx(0.0, abs=1e-4)
    assert all(torch.equal(value, before[n]) for n, value in model.state_dict().items())


def test_the_refined_y_is_what_a_search_finds(codec, crops):
    lesson = amortise.lesson_of(codec, crops, 40, 6)
    assert lesson.one_pass.shape == lesson.refined.shape == lesson.steps.shape
    assert len(lesson.features) == 3
    assert (lesson.one_pass != lesson.refined).any()
    assert (lesson.steps > 0).all()


def test_gains_are_read_at_an_equal_rate():
    def found(bpp, psnr):
        return {"bpp": bpp, "psnr": psnr}

    curve = {20: found(0.01, 20.0), 40: found(0.04, 24.0)}
    rows = amortise.table(curve, curve[20], found(0.02, 24.0), found(0.02, 22.5))
    assert rows[-3:] == [
        ["gain of the search", "", "+2.000"],
        ["gain learned", "", "+0.500"],
        ["share kept", "", "25%"],
    ]


@pytest.mark.usefixtures("random_perception")
def test_the_command(tmp_path, micro_path, make_picture, capsys, monkeypatch):
    for folder in ("train", "shown"):
        (tmp_path / folder).mkdir()
        for seed in range(4):
            picture = make_picture(140, 150, seed)
            Image.fromarray(picture).save(tmp_path / folder / f"{folder}{seed}.png")
    monkeypatch.setattr(amortise, "METRICS", ("psnr",))
    command = [
        *("--data", str(tmp_path / "train"), "--held-out", str(tmp_path / "shown")),
        *("--model", str(micro_path), "--crops", "3", "--limit", "2", "--steps", "2"),
        *("--side", "64", "--shown-side", "128", "--effort", "5"),
    ]
    assert amortise.main(command) == 0
    assert "share kept" in capsys.readouterr().out
    for wrong in (["--side", "100"], ["--crops", "9"], ["--shown-side", "256"]):
        assert amortise.main([*command, *wrong]) == 2


def test_crops_are_of_what_is_not_held_out(tmp_path, make_picture):
    (tmp_path / "shown").mkdir()
    for number, name in enumerate(("a-0", "a-1", "b-0", "c-0", "d-0")):
        picture = np.full((140, 150, 3), 10 * number, np.uint8)
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
    Image.fromarray(make_picture(40, 50)).save(tmp_path / "shown" / "a-7.png")
    levels = [
        [int(crop[0, 0, 0]) for crop in found]
        for found in (
            amortise.training_crops(tmp_path, tmp_path / "shown", 3, 64, 1, seed=0),
            amortise.training_crops(tmp_path, tmp_path / "shown", 2, 64, 2, seed=0),
        )
    ]
    assert levels == [[20, 30, 40], [20, 40]]


def test_the_seed_says_where_crops_lie(tmp_path, make_picture):
    (tmp_path / "shown").mkdir()
    for folder, name in (("", "b-0"), ("shown", "c-0")):
        Image.fromarray(make_picture(140, 150)).save(tmp_path / folder / f"{name}.png")
    one, two, other = (
        amortise.training_crops(tmp_path, tmp_path / "shown", 1, 64, 1, seed) for seed in (1, 1, 2)
    )
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)
