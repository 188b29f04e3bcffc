"""The example of restoration: what it trains, and that its files are plain files."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from glc import Codec
from glc.weights import manifest, registry

pytestmark = pytest.mark.system

PATH = Path(__file__).parents[2] / "examples" / "restore.py"


@pytest.fixture(scope="module")
def restore() -> ModuleType:
    spec = importlib.util.spec_from_file_location("restore", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def plain(micro_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Codec:
    """The micro model as the default one."""
    (tmp_path / micro_path.name).write_bytes(micro_path.read_bytes())
    manifest.write_manifest(tmp_path, "micro")
    monkeypatch.setenv(registry.MODELS_VARIABLE, str(tmp_path))
    return Codec.from_pretrained(device="cpu")


@pytest.fixture
def pictures(tmp_path: Path, make_picture: Callable[..., np.ndarray]) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(4):
        Image.fromarray(make_picture(80, 90, index)).save(folder / f"p{index}-0.png")
    return folder


def test_damage_stays_in_range_and_comes_in_steps(restore: ModuleType) -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.linspace(-1.0, 1.0, 256).repeat(2, 3, 64, 1)
    for kind in ("noise", "small"):
        damaged = restore.damage(x, kind, generator)
        assert damaged.shape == x.shape
        levels = (damaged + 1.0) * 127.5
        assert (levels - levels.round()).abs().max() < 1e-3
        assert levels.round().min() >= 0
        assert levels.round().max() <= 255
    noise = restore.damage(0 * x, "noise", generator, 1.0) * 127.5
    assert float(noise.std()) == pytest.approx(restore.SIGMA, rel=0.02)
    assert torch.allclose(restore.damage(x, "noise", generator, 0.0), x, atol=1e-5)


@pytest.mark.parametrize(("kind", "steps"), [("noise", 100), ("small", 2)])
def test_only_the_encoder_learns_and_files_are_plain(
    restore: ModuleType, plain: Codec, pictures: Path, tmp_path: Path, kind: str,
    steps: int,    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out = tmp_path / f"{kind}.encoder"
    told = ["train", "--damage", kind, "--data", str(pictures), "--out", str(out)]
    assert restore.main([*told, "--steps", str(steps), "--batch", "2", "--side", "64"]) == 0
    errors = [float(line.split()[-1]) for line in capsys.readouterr().err.splitlines()]
    assert errors[-1] < errors[0] or steps < 100
    codec = restore.open_codec(out, "cpu")
    assert codec.identity == plain.identity
    picture = np.array(Image.open(pictures / "p0-0.png"))
    noisy = np.clip(picture + np.random.default_rng(1).normal(0, 50, picture.shape), 0, 255)
    data = codec.encode(noisy.astype(np.uint8), 60)
    # Whoever has the model reads it, and sees the same picture.
    assert np.array_equal(np.asarray(plain.decode(data)), np.asarray(codec.decode(data)))
    assert data != plain.encode(noisy.astype(np.uint8), 60)
    target = tmp_path / "a.glc"
    Image.fromarray(picture).save(tmp_path / "a.png")
    assert (
        restore.main(["encode", "--encoder", str(out), str(tmp_path / "a.png"), str(target)]) == 0
    )
    plain.verify(target.read_bytes())


def test_an_encoder_of_another_model_is_refused(
    restore: ModuleType, plain: Codec, tmp_path: Path
) -> None:
    other = tmp_path / "other.encoder"
    state: dict[str, Any] = {"a": torch.zeros(1)}
    safetensors.torch.save_file(state, other, {"model": "00" * 32, "damage": "noise"})
    with pytest.raises(ValueError, match="made for model 0000"):
        restore.open_codec(other, "cpu")


def test_classical_denoising_removes_noise(
    restore: ModuleType, make_picture: Callable[..., np.ndarray]
) -> None:
    pytest.importorskip("skimage")
    pytest.importorskip("pywt")
    y, x = np.mgrid[:64, :64]
    clean = np.dstack((2 * x + 60, 2 * y + 60, x + y + 60)).astype(np.uint8)
    noisy = np.clip(clean + np.random.default_rng(2).normal(0, 15, clean.shape), 0, 255)
    before = np.square(noisy - clean).mean()
    for method in ("non-local means", "wavelet"):
        after = restore.classical(noisy.astype(np.uint8), method)
        assert np.square(after.astype(float) - clean).mean() < 0.4 * before, method
