"""The benchmark of training runs on a CPU and gives sensible figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from glc.training.engine.bench import STAGES, main

MICRO = Path(__file__).parents[1] / "micro.toml"


def test_every_phase_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "speed.json"
    given = ["--preset", str(MICRO), "--device", "cpu", "--steps", "1", "--batch", "1", "2"]
    given += ["--threads", "1", "--cpu-time"]
    assert main([*given, "--fp32", "--json", str(out)]) == 0
    phases = json.loads(out.read_text())["phases"]
    stages = [(p["phase"], p["stage"]) for p in phases[:7]]
    assert stages == [*((1, s) for s in STAGES), (2, ""), *((3, s) for s in STAGES)]
    assert [p["batch"] for p in phases] == [1] * 7 + [2] * 7
    for phase in phases:
        assert phase["crops_per_second"] > 0
        assert 0 < phase["share_of_peak"] < 1
    for first in (0, 4):
        costs = [p["gflop_per_crop"] for p in phases[first : first + 3]]
        assert costs[0] < costs[1] < costs[2]
    assert "of peak" in capsys.readouterr().out


def test_what_takes_the_time_of_a_step_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--preset", str(MICRO), "--device", "cpu", "--steps", "1", "--phase", "2"]
    assert main([*given, "--batch", "1", "--threads", "1", "--profile"]) == 0
    said = capsys.readouterr().out
    assert "Self CPU" in said
    assert "convolution" in said
