"""One name on the package index, wherever it is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from glc.install_hint import DISTRIBUTION, install_command

tomllib = pytest.importorskip("tomllib", reason="from Python 3.11 on")

ROOT = Path(__file__).parent.parent


def test_the_name_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == DISTRIBUTION
    assert project["scripts"] == {"glc": "codec_cli.main:entry"}


def test_what_brings_an_extra() -> None:
    assert install_command("train") == "pip install 'glc-codec[train]'"
    assert install_command() == "pip install glc-codec"


def test_no_text_says_another_name() -> None:
    places = ("glc", "codec_cli", "eval", "examples", "docs")
    files = [f for place in places for f in (ROOT / place).rglob("*") if f.suffix in (".py", ".md")]
    wrong = [f for f in (*files, ROOT / "README.md") if "'glc[" in f.read_text(encoding="utf-8")]
    assert wrong == []
