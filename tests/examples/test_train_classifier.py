"""The example runs from a folder of pictures to its last line."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image

from glc.weights import manifest, registry

pytestmark = pytest.mark.system

EXAMPLE = Path(__file__).parents[2] / "examples" / "train_classifier.py"


def test_the_example_runs(micro_path, make_picture, tmp_path, monkeypatch, capsys):
    models = tmp_path / "models"
    models.mkdir()
    shutil.copy(micro_path, models)
    manifest.write_manifest(models, "micro")
    monkeypatch.setenv(registry.MODELS_VARIABLE, str(models))
    for number in range(12):
        path = tmp_path / "pictures" / f"class{number % 2}" / f"photo{number}-0.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(make_picture(64, 64 + number, number)).save(path)
    specification = importlib.util.spec_from_file_location("train_classifier", EXAMPLE)
    example = importlib.util.module_from_spec(specification)
    # Worker processes of the loader find the example's functions by this name.
    monkeypatch.setitem(sys.modules, "train_classifier", example)
    specification.loader.exec_module(example)
    arguments = (
        f"{tmp_path}/pictures --archive {tmp_path}/coded.glca --size 32 --epochs 1 --seeds 1"
    )
    monkeypatch.setattr(sys, "argv", ["train_classifier", *arguments.split(), "--device", "cpu"])
    example.main()
    printed = capsys.readouterr().out
    assert "coded 12 pictures" in printed
    assert "class0 6, class1 6" in printed
    found = re.findall(r"^ +accuracy on (\w+): [01]\.\d+ \+- 0\.000$", printed, re.MULTILINE)
    assert found == ["originals", "decoded", "originals", "latents"]
