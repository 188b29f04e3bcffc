"""What `eval.research.learning` says of curves, and its whole way with a stand-in for the
training.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import glc.training
from eval.research import learning
from eval.research.learning import (
    ERROR,
    SHOWN,
    Measured,
    corrected_at,
    correction_bits,
    psnr_at,
    table,
)


def curve(shift_db: float, shown: str = SHOWN[0], crops: int = 0) -> list[Measured]:
    """Return 20 dB at 0.2 bpp and 3 dB per doubling, `shift_db` higher."""
    found = []
    for i, rate in enumerate((0.05, 0.1, 0.2, 0.4)):
        psnr = 20 + 3 * math.log2(rate / 0.2) + shift_db
        found.append(Measured(shown, crops, 30 * i, rate, psnr, 3.0 - shift_db / 10 + rate))
    return found


def test_the_correction_brings_every_picture_within_the_error(
    make_picture: Callable[..., np.ndarray],
) -> None:
    x = make_picture(40, 50)
    steps = np.rint((x.astype(float) - 128) / (2 * ERROR))
    assert np.abs(128 + 2 * ERROR * steps - x).max() <= ERROR
    near = np.clip(x.astype(int) + 5, 0, 255).astype(np.uint8)
    nothing, little, much = (correction_bits(x, y) for y in (x, near, np.full_like(x, 128)))
    # Nobody pays for what is near enough.
    assert nothing == little == 0.0
    assert 0.0 < much < 3 * x[..., 0].size * math.log2(256 / (2 * ERROR) + 1)
    assert correction_bits(x, 255 - x) > much


def test_the_best_quality_counts() -> None:
    found = [*curve(0), *curve(2, SHOWN[1]), *curve(5, SHOWN[0], 200)]
    assert corrected_at(found, SHOWN[0], 0) == pytest.approx(3.05)
    assert corrected_at(found, SHOWN[1], 0) == pytest.approx(2.85)
    assert corrected_at(found, SHOWN[0], 200) == pytest.approx(2.55)


def test_quality_at_equal_bits() -> None:
    assert psnr_at(curve(1), 0.1) == pytest.approx(18)
    assert psnr_at(curve(1), 0.01) == pytest.approx(15)


def test_the_table_has_both_figures_of_all() -> None:
    found = [m for shown, shift in zip(SHOWN, (0, -9, 1), strict=True) for m in curve(shift, shown)]
    lines = table(found, 3.5).splitlines()
    assert lines[2] == "| 0 | 3.050 | 19.30 | 3.950 | 10.30 | 2.950 | 20.30 |"
    assert lines[-1] == "Correction alone: 3.500 bpp."


def test_from_pictures_to_the_plot(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make_picture: Callable[..., np.ndarray],
    micro_path: Path,
) -> None:
    pytest.importorskip("skimage")
    photographs, examples = tmp_path / "photographs", tmp_path / "examples"
    for folder, count in ((photographs, 30), (examples, 1)):
        folder.mkdir()
        for index in range(count):
            Image.fromarray(make_picture(66, 70, index)).save(folder / f"p{index}-0.png")
    told: list[list[str]] = []

    def stand_in(arguments: list[str]) -> int:
        told.append(arguments)
        shutil.copy(micro_path, arguments[arguments.index("--export") + 1])
        return 0

    monkeypatch.setattr(glc.training, "main", stand_in)
    monkeypatch.setattr(learning, "QUALITIES", (0, 50, 100))
    monkeypatch.setattr(learning, "SIDE", 64)
    out = tmp_path / "out"
    given = ["--photographs", str(photographs), "--examples", str(examples), "--out", str(out)]
    assert learning.main([*given, "--crops", "0,80", "--", "--threads", "1"]) == 0
    names = {folder.name: set(folder.iterdir()) for folder in (out / "data").iterdir()}
    assert set(names) == set(SHOWN)
    held_out = {p.name for p in (out / "test").iterdir()}
    assert not held_out & {p.name for p in names[SHOWN[0]]}
    assert len(held_out) + len(names[SHOWN[0]]) == 31
    figures = json.loads((out / "learning.json").read_text())
    assert len(figures["measured"]) == 3 * 2 * 3
    assert figures["correction_alone_bpp"] > 0
    with Image.open(out / "learning.png") as plot:
        assert min(plot.size) > 300
    assert len(told) == 6
    assert all(arguments[-2:] == ["--threads", "1"] for arguments in told)
    assert {a for arguments in told for a in arguments if a.startswith("steps_3=")} == {
        "steps_3=0",
        "steps_3=10",
    }
    assert learning.main([*given, "--crops", "0,80"]) == 0
    assert len(told) == 6

    def failing(arguments: list[str]) -> Any:
        return 1

    monkeypatch.setattr(glc.training, "main", failing)
    with pytest.raises(SystemExit, match="training on photographs ended with 1"):
        learning.main([*given, "--crops", "160"])
