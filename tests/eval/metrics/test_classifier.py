from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models import squeezenet1_0

from eval.metrics.backbones import Unavailable
from eval.metrics.classifier import Classifier
from eval.pictures import RGB

FILE = "squeezenet1_0-b66bff10.pth"


def test_agreement_of_a_copy_and_of_another_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photo: RGB
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.manual_seed(0)
    torch.save(squeezenet1_0(weights=None).state_dict(), tmp_path / "hub" / "checkpoints" / FILE)
    classifier = Classifier("squeezenet1_0")
    assert classifier.compare(photo, photo.copy()) == 1
    black = np.zeros_like(photo)
    same = classifier._top(photo) == classifier._top(black)
    assert classifier.compare(photo, black) == float(same)


def test_missing_weights_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(Unavailable, match=r"squeezenet1_0-b66bff10\.pth"):
        Classifier("squeezenet1_0")
    with pytest.raises(ValueError, match="Unknown model"):
        Classifier("no_such_model")
