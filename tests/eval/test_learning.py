"""What `eval.learning` says of curves, and its whole way with a stand-in for the training."""

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
from eval import learning
from eval.learning import SHOWN, Measured, bits_at, psnr_at, table


def curve(shift_db: float, shown: str = SHOWN[0], crops: int = 0) -> list[Measured]:
    """Return 20 dB at 0.2 bpp and 3 dB per doubling, `shift_db` higher."""
    rates = (0.05, 0.1, 0.2, 0.4)
    return [
        Measured(shown, crops, 30 * i, rate, 20 + 3 * math.log2(rate / 0.2) + shift_db, 0.5)
        for i, rate in enumerate(rates)
    ]


def test_bits_at_equal_quality() -> None:
    assert bits_at(curve(0), 20) == pytest.approx(0.2)
    assert bits_at(curve(3), 20) == pytest.approx(0.1)
    assert bits_at(curve(0), 21.5) == pytest.approx(0.2 * math.sqrt(2))
    assert bits_at(curve(-4), 20) == math.inf
    # Better than wanted even at the lowest rate: that rate, not an extrapolation.
    assert bits_at(curve(10), 20) == pytest.approx(0.05)


def test_a_point_that_costs_more_for_less_is_passed_over() -> None:
    bad = Measured(SHOWN[0], 0, 50, 0.15, 10.0, 0.5)
    assert bits_at([*curve(0), bad], 20) == pytest.approx(0.2)


def test_quality_at_equal_bits() -> None:
    assert psnr_at(curve(1), 0.1) == pytest.approx(18)
    assert psnr_at(curve(1), 0.01) == pytest.approx(15)


def test_the_table_says_never() -> None:
    found = [m for shown, shift in zip(SHOWN, (0, -9, 1), strict=True) for m in curve(shift, shown)]
    row = table(found, 20).splitlines()[-1]
    assert row == "| 0 | 0.200 | 20.00 | never | 11.00 | 0.159 | 21.00 |"


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
    assert len(json.loads((out / "learning.json").read_text())) == 3 * 2 * 3
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
