"""Pictures that tests make."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eval.backbones import SQUEEZENET, Unavailable, checkpoint
from eval.pictures import RGB


def make_photo(height: int, width: int, seed: int = 0) -> RGB:
    """Return something with the statistics of a photograph: 1/f noise, a few edges, 40..215."""
    rng = np.random.default_rng(seed)
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None]
    falloff = np.maximum(np.hypot(fy, fx), 1 / max(height, width)) ** -1.3
    layers = []
    for _ in range(3):
        field = np.fft.ifft2(np.fft.fft2(rng.normal(size=(height, width))) * falloff).real
        layers.append(field / field.std())
    picture = 0.8 * layers[0][..., None] + 0.2 * np.stack(layers, axis=-1)
    for _ in range(6):
        top, left = rng.integers(height), rng.integers(width)
        picture[top : top + height // 3, left : left + width // 4] += rng.normal()
    scaled = 128 + 30 * (picture - picture.mean()) / picture.std()
    return scaled.round().clip(40, 215).astype(np.uint8)


@pytest.fixture(scope="session")
def photo() -> RGB:
    return make_photo(256, 384)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of two pictures of different sizes."""
    pictures = tmp_path / "pictures"
    (pictures / "more").mkdir(parents=True)
    Image.fromarray(make_photo(192, 256, 1)).save(pictures / "a.png")
    Image.fromarray(make_photo(256, 176, 2)).save(pictures / "more" / "b.png")
    return pictures


@pytest.fixture
def squeezenet() -> None:
    """Skip the test where SqueezeNet's weights are not installed."""
    try:
        checkpoint(SQUEEZENET)
    except Unavailable as error:
        pytest.skip(str(error))
