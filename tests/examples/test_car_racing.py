"""The driving example without the game: frames, rivals, and the report on two codecs."""

from __future__ import annotations

import importlib.util
import io
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from glc import Codec

pytestmark = pytest.mark.system

PATH = Path(__file__).parents[2] / "examples" / "car_racing.py"


@pytest.fixture
def car() -> ModuleType:
    spec = importlib.util.spec_from_file_location("car_racing", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def frames(car, make_picture) -> list[np.ndarray]:
    return [make_picture(car.SIDE, car.SIDE, seed) for seed in range(6)]


def test_frames_are_collected_once(car, frames, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        car, "drive", lambda episode, count: asked.append(episode) or iter(frames[:count])
    )
    paths = car.collect(tmp_path / "frames", range(3), 2)
    assert [path.name for path in paths[:3]] == [
        "drive000-000.png",
        "drive000-001.png",
        "drive001-000.png",
    ]
    assert np.array_equal(np.asarray(Image.open(paths[3])), frames[1])
    # A crash in an episode leaves no mark, and it alone is driven again.
    (tmp_path / "frames" / "drive001.done").unlink()
    assert car.collect(tmp_path / "frames", range(3), 2) == paths
    assert asked == [0, 1, 2, 1]


def test_the_rival_is_the_best_jpeg_of_that_size(car, frames):
    stream = io.BytesIO()
    Image.fromarray(frames[0]).save(stream, "JPEG", quality=20, optimize=True)
    size, shown = car.jpeg_near(frames[0], stream.tell())
    assert size <= 1.05 * stream.tell()
    assert car.psnr_db(frames[0], shown) >= car.psnr_db(frames[0], car.enlarged(stream.getvalue()))
    # Nothing is that small: the smallest there is.
    smallest, _ = car.jpeg_near(frames[0], 10)
    assert smallest < size


def test_changed_frames_have_the_same_shapes(car, frames):
    for name, change in car.CHANGES.items():
        altered = change(frames[0])
        assert altered.shape == frames[0].shape, name
        assert altered.dtype == np.uint8, name
        assert not np.array_equal(altered, frames[0]), name
    assert np.array_equal(car.CHANGES["negative"](car.CHANGES["negative"](frames[0])), frames[0])


def test_the_report_compares_two_codecs(car, frames, micro_path, tmp_path, capsys):
    codec = Codec.from_pretrained(micro_path, device="cpu")
    car.report({"one": codec, "two": codec}, frames, frames[:5], tmp_path / "sheet.png")
    printed = capsys.readouterr().out
    rows = re.findall(r"^\| (one|two) \| (\d+) \| ([\d,]+) \| ([\d.]+) \| ", printed, re.MULTILINE)
    assert [row[:2] for row in rows] == [(n, str(q)) for n in ("one", "two") for q in car.QUALITIES]
    # One model twice: equal figures, and those of real files.
    assert [row[2:] for row in rows[:3]] == [row[2:] for row in rows[3:]]
    files = codec.encode_batch(frames, car.QUALITIES[0])
    assert rows[0][2] == f"{8 * np.mean([len(data) for data in files]):,.0f}"
    assert [line for line in car.CHANGES if f"\n| {line} |" in printed] == [*car.CHANGES]
    # Originals, both models, JPEG; six frames each.
    assert Image.open(tmp_path / "sheet.png").size == (6 * car.SIDE, 4 * car.SIDE)
