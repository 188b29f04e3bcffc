"""A run on a GPU, from pictures to weights that a CPU reads: seconds, for
``eval.research.gpu_run``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import glc.training
from glc.codec import Codec
from glc.training.data.in_memory import InMemoryImages
from glc.training.engine.loop import Trainer
from glc.training.losses.features import PerceptualLoss
from glc.training.settings import TrainingSettings

LINEAR = Path(__file__).parent / "micro-linear.toml"

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.fixture
def large(tmp_path: Path, save_picture) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(12):
        save_picture(folder / f"large{index}-0.png", 160 + index, 200, index)
    return folder


def test_no_step_waits_for_the_gpu(tmp_path: Path, large: Path) -> None:
    device = torch.device("cuda")
    settings = TrainingSettings.load(str(LINEAR), {})
    perceptual = PerceptualLoss(settings.networks([3]), trained=False)
    pictures = InMemoryImages(str(large), 128, device=device)
    trainer = Trainer(settings, pictures, None, tmp_path / "run", device, perceptual)
    assert trainer.start() is not None
    trainer.begin_phase(3)
    trainer.train_step()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step in (1, 4, 7):
            trainer.step = step
            logged = trainer.train_step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(bool(value.isfinite()) for value in logged.values())
    assert {value.device.type for value in logged.values()} == {"cuda"}
    assert trainer.guard.skipped == 0


def test_recorded_steps_train_the_same(tmp_path: Path, large: Path) -> None:
    device, found = torch.device("cuda"), []
    for graphs in (False, True):
        changes = {"cuda_graphs": graphs, "bf16": "false", "adversarial_weight": 0.3}
        changes |= {"adversarial_start_3": 0.5, "perceptual_start": 0.0, "steps_3": 16}
        settings = TrainingSettings.load(str(LINEAR), changes)
        torch.manual_seed(0)
        perceptual = PerceptualLoss(settings.networks([3]), trained=False)
        pictures = InMemoryImages(str(large), 128, device=device)
        trainer = Trainer(settings, pictures, None, tmp_path / str(graphs), device, perceptual)
        assert trainer.start() is not None
        trainer.begin_phase(3)
        said = [{n: float(v) for n, v in trainer.train_step().items()} for _ in range(16)]
        assert (trainer._captured is not None) == graphs
        if trainer._captured is not None:
            assert trainer._captured._replay is not None
        found.append((said, trainer.average.module.state_dict()))
    (said, weights), (again, replayed) = found
    # Sums in another order: early steps alone can agree closely.
    for mine, other in zip(again[:8], said[:8], strict=True):
        assert mine == pytest.approx(other, rel=0.02, abs=1e-3)
    for name, value in weights.items():
        torch.testing.assert_close(replayed[name], value, rtol=0.05, atol=0.02, msg=name)


def test_a_run_on_a_gpu_gives_weights_for_every_machine(tmp_path: Path, large: Path) -> None:
    weights, compact = tmp_path / "micro.safetensors", tmp_path / "compact"
    given = ["--preset", str(LINEAR), "--data", str(large), "--out", str(tmp_path / "run")]
    given += ["--phase", "3", "--set", "lpips_weight=0", "--set", "alex_weight=0"]
    on_gpu = [*given, "--device", "cuda", "--export", str(weights)]
    assert glc.training.main([*on_gpu, "--compact-resume", str(compact)]) == 0
    picture = np.random.default_rng(1).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    cpu, cuda = (
        Codec.from_pretrained(weights, device="cpu"),
        Codec.from_pretrained(weights, device="cuda"),
    )
    assert cpu.decode(cuda.encode(picture, 50)).size == (90, 70)
    # Begun there, it goes on here.
    more = [*given, "--resume", str(compact), "--steps", "10", "--device", "cpu"]
    assert glc.training.main(more) == 0
