"""Symbols are those of Python, and damage is answered as Python answers it; no float takes part."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from glc import Codec
from glc.errors import GlcError

pytestmark = pytest.mark.system

GOLDEN = Path(__file__).parents[1] / "golden"
FILES = sorted(GOLDEN.glob("v*/*.glc"))


@pytest.mark.parametrize("folder", ["v1", "v2"])
def test_golden_files(folder, probe):
    expected = json.loads((GOLDEN / folder / "expected.json").read_text())["files"]
    paths = [path for path in FILES if path.parent.name == folder]
    argument = {
        "weights": str(GOLDEN / folder / "golden.safetensors"),
        "files": [path.read_bytes().hex() for path in paths],
    }
    assert probe("verify", argument) == [expected[path.stem]["symbols"] for path in paths]


def answers_of(codec: Codec, files: list[bytes]) -> list[str]:
    found = []
    for data in files:
        try:
            codec.verify(data)
            found.append("")
        except GlcError as error:
            found.append(type(error).__name__)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_prefixes_and_bit_flips(path, probe):
    data, rng = path.read_bytes(), random.Random(path.name)
    damaged = [data[:length] for length in range(len(data))]
    for place in rng.sample(range(8 * len(data)), min(500, 8 * len(data))):
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << place % 8
        damaged.append(bytes(flipped))
    weights = path.parent / "golden.safetensors"
    argument = {"weights": str(weights), "files": [item.hex() for item in damaged]}
    found = ["" if len(answer) == 64 else answer for answer in probe("verify", argument)]
    assert found == answers_of(Codec.from_pretrained(weights, device="cpu"), damaged)


@pytest.mark.parametrize("quality", [0, 13, 50, 99, 100])
def test_every_size_and_quality(
    quality, probe, micro_path, linear_path, micro, linear, make_picture
):
    for path, codec in ((micro_path, micro), (linear_path, linear)):
        sizes = [(1, 1), (64, 64), (65, 130), (130, 17)]
        pictures = [make_picture(*size, seed) for seed, size in enumerate(sizes)]
        files = [codec.encode(picture, quality) for picture in pictures]
        argument = {"weights": str(path), "files": [data.hex() for data in files]}
        assert all(len(answer) == 64 for answer in probe("verify", argument))


@pytest.mark.parametrize("seed", range(2))
def test_extreme_weights(seed, version, probe, make_model, make_picture, export_model, tmp_path):
    """Weights of the scale map at their limits, and latents so large that symbols are clamped."""
    import torch

    model = make_model(seed)
    generator = torch.Generator().manual_seed(seed)
    integers = model.scale_map.integers()
    for name, value in integers.items():
        signs = 2 * torch.randint(0, 2, value.shape, generator=generator) - 1
        if not name.endswith("bias"):
            value.copy_(127 * signs)
        elif name == "bias":
            value.copy_(signs * torch.randint(0, 1 << 16, value.shape, generator=generator))
    model.scale_map.load_integers(integers)
    model.analysis.head.weight.requires_grad_(False).mul_(1e5 if seed else 20.0)
    path = tmp_path / "extreme.safetensors"
    export_model(path, model, "extreme")
    codec = Codec.from_pretrained(path, device="cpu")
    (data,) = codec.encode_batch([make_picture(50, 90, seed)], 33 * seed, version=version)
    (found,) = probe("verify", {"weights": str(path), "files": [data.hex()]})
    assert len(found) == 64


def test_a_file_of_another_model(probe, micro_path, linear):
    data = linear.encode(np.zeros((8, 8, 3), np.uint8))
    argument = {"weights": str(micro_path), "files": [data.hex()]}
    assert probe("verify", argument) == ["WeightsError"]
