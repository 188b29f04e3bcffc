"""The linear probe: what it measures, and that the example runs from folders to its table."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.system

PATH = Path(__file__).parents[2] / "examples" / "linear_probe.py"


@pytest.fixture(scope="module")
def probe() -> ModuleType:
    spec = importlib.util.spec_from_file_location("linear_probe", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_features_are_means_and_spreads(probe):
    rng = np.random.default_rng(1)
    latents = [rng.normal(size=(3, 5, 4)).astype(np.float32) for _ in range(2)]
    found = probe.pooled(latents)
    assert found.shape == (2, 8)
    assert np.allclose(found[1, :4], latents[1].mean(axis=(0, 1)), atol=1e-6)
    assert np.allclose(found[1, 4:], latents[1].std(axis=(0, 1)), atol=1e-6)


def test_a_line_finds_what_is_linear_and_nothing_else(probe):
    rng = np.random.default_rng(2)
    labels = np.arange(200) % 2
    groups = [f"photograph {number // 2}" for number in range(200)]
    noise = rng.normal(size=(200, 6))
    assert probe.accuracy(noise + 3.0 * labels[:, None], labels, groups) > 0.97
    assert 0.35 < probe.accuracy(noise, labels, groups) < 0.65


def test_pieces_of_one_photograph_are_never_on_both_sides(probe):
    """What only tells photographs apart would otherwise look like knowledge of the class."""
    rng = np.random.default_rng(3)
    photograph = np.repeat(np.arange(40), 5)
    labels = rng.integers(0, 2, 40)[photograph]
    mark = np.eye(40)[photograph]
    apart = probe.accuracy(mark, labels, [f"{number}" for number in range(200)])
    together = probe.accuracy(mark, labels, [f"{number}" for number in photograph])
    assert apart > 0.95
    assert together < 0.7


def test_the_example_runs(
    probe, micro_path, micro_config, make_picture, tmp_path, monkeypatch, capsys
):
    for number in range(20):
        path = tmp_path / f"class{number % 2}" / f"photo{number}-0.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(make_picture(64, 64, number)).save(path)
    classes = [f"{name}={tmp_path / name}" for name in ("class0", "class1")]
    options = ["--side", "64", "--limit", "10", "--model", str(micro_path)]
    monkeypatch.setattr(sys, "argv", ["linear_probe", *classes, *options])
    probe.main()
    printed = capsys.readouterr().out
    assert "class0 10, class1 10; guessing is right in 0.500" in printed
    rows = re.findall(r"^\| ([^|]+) \| (\d+) \| [01]\.\d{3} \| ", printed, re.MULTILINE)
    channels = 2 * micro_config.latent_channels
    assert rows == [
        ("mean and spread of l", str(channels)),
        ("the same from .glc files, quality 30", str(channels)),
        ("thumbnail of 8 x 8", "192"),
        ("mean colour", "3"),
    ]
