"""The benchmark of training runs on a CPU and gives sensible figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from glc.training.bench import main

MICRO = Path(__file__).parent / "micro.toml"


def test_every_phase_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "speed.json"
    given = ["--preset", str(MICRO), "--device", "cpu", "--steps", "1", "--batch", "1", "2"]
    assert main([*given, "--fp32", "--json", str(out)]) == 0
    phases = json.loads(out.read_text())["phases"]
    assert [(p["phase"], p["adversarial"]) for p in phases[:5]] == [
        (1, False), (1, True), (2, False), (3, False), (3, True),
    ]  # fmt: skip
    assert [p["batch"] for p in phases] == [1] * 5 + [2] * 5
    for phase in phases:
        assert phase["crops_per_second"] > 0
        assert 0 < phase["share_of_peak"] < 1
    assert phases[1]["gflop_per_crop"] > phases[0]["gflop_per_crop"]
    assert "of peak" in capsys.readouterr().out
