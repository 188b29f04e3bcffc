"""Home against abroad: what is compared with what, with stand-ins for training and measuring."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from eval.report.summary import Point
from eval.research import domain

RATES = (0.01, 0.03, 0.06, 0.1)


def points(scale: float) -> list[Point]:
    """Return curves of two models, that of home at `scale` times the rate of the other."""
    return [
        Point(name, i, 1, factor * rate, rate, 0, 0, {"psnr": 30 + 3 * math.log2(rate)})
        for name, factor in (("glc:home", scale), ("glc:general", 1.0))
        for i, rate in enumerate(RATES)
    ]


def test_home_is_compared_with_the_others() -> None:
    (row,) = domain.compare("home", points(0.9))
    assert row.startswith("| home | glc:general | -10.0 %")


def test_splits_trains_twice_alike_and_measures_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "pets"
    home.mkdir()
    for index in range(60):
        Image.new("RGB", (8, 8)).save(home / f"{index}.png")
    trained: list[list[str]] = []
    measured: list[list[str]] = []

    def finetune(arguments: list[str]) -> int:
        trained.append(arguments)
        Path(arguments[arguments.index("--out") + 1]).touch()
        return 0

    monkeypatch.setattr(domain, "glc_main", finetune)
    monkeypatch.setattr(domain.rd, "main", lambda told: measured.append(told) or 0)
    read = lambda out: SimpleNamespace(points=points(0.8 if out.name == "rd-home" else 1.25))  # noqa: E731
    monkeypatch.setattr(domain.results, "read", read)
    given = ["--home", str(home), "--general", "all", "--abroad", "kodak", "--init", "run"]
    given += ["--out", str(tmp_path / "out"), "--", "--steps", "5"]
    assert domain.main(given) == 0
    text = capsys.readouterr().out
    assert "| home | glc:general | -20.0 %" in text
    assert "| abroad | glc:general | +25.0 %" in text

    for_home, for_all = ([a for a in t if "home" not in a and "all" not in a] for t in trained)
    assert for_home[-2:] == ["--steps", "5"]
    assert len(trained[0]) == len(trained[1])
    assert trained[0][2] == str(tmp_path / "out" / "home")
    assert trained[1][2] == "all"
    held_out = {path.name for path in (tmp_path / "out" / "home-test").iterdir()}
    assert held_out
    assert not held_out & {path.name for path in (tmp_path / "out" / "home").iterdir()}
    assert [told[1] for told in measured] == [str(tmp_path / "out" / "home-test"), "kodak"]
    assert domain.main(given) == 0
    assert len(trained) == 2
