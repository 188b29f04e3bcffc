"""A model of a few thousand parameters, pictures that are made, and trainers that take seconds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from glc.config import CodecConfig
from glc.training.data.in_memory import InMemoryImages
from glc.training.engine.loop import Trainer
from glc.training.losses.features import PerceptualLoss
from glc.training.settings import TrainingSettings

MICRO = Path(__file__).parent / "micro.toml"


def of_architecture(codec: CodecConfig, architecture: int) -> CodecConfig:
    """Return the shape with the additions of an architecture."""
    sizes = {f"realistic_width_{place}": 8 for place in (4, 8, 16)} if architecture > 2 else {}
    return CodecConfig.from_dict(codec.to_dict() | sizes | {"architecture": architecture})


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty pictures of smooth colours, 80 to 118 pixels a side; a broken one; a text."""
    path = tmp_path_factory.mktemp("pictures")
    for index in range(20):
        _save_picture(path / f"photo{index}-0.png", 80 + 2 * index, 100 + index, index)
    (path / "broken-0.png").write_bytes(b"\x89PNG\r\n\x1a\n then nothing")
    (path / "readme.txt").write_text("not a picture")
    return path


@pytest.fixture(scope="session")
def save_picture() -> Callable[[Path, int, int, int], None]:
    return _save_picture


def _save_picture(path: Path, height: int, width: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    image.paste(tuple(random.integers(0, 256, 3).tolist()), (10, 20, 40, 50))
    image.save(path)


@pytest.fixture(scope="session")
def store(folder: Path) -> InMemoryImages:
    return InMemoryImages(str(folder), 64)


@pytest.fixture(scope="session")
def perceptual() -> PerceptualLoss:
    torch.manual_seed(0)
    return PerceptualLoss(trained=False)


Make = Callable[..., Trainer]


@pytest.fixture
def make(tmp_path: Path, store: InMemoryImages, perceptual: PerceptualLoss) -> Make:
    """Build a trainer of the micro model; keywords override its settings."""

    def build(out: str = "run", pictures: InMemoryImages = store, **changes: object) -> Trainer:
        settings = dataclasses.replace(TrainingSettings.load(str(MICRO), {}), **changes)
        device = torch.device("cpu")
        return Trainer(settings, pictures, None, tmp_path / out, device, perceptual)

    return build
