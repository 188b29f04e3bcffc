"""A step asks the device for nothing: whatever would have the host wait for a GPU is not in it."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from glc.training.engine.loop import Trainer
from glc.training.losses.features import PerceptualLoss
from glc.training.settings import TrainingSettings

LINEAR = Path(__file__).parent / "micro-linear.toml"

WAITING = {
    # .item(), float(), if; and numbers that become a tensor, which are copied to the device.
    *("aten._local_scalar_dense.default", "aten.lift_fresh.default", "aten.equal.default"),
    *("aten.nonzero.default", "aten.masked_select.default", "aten.unique2.default"),
    *("aten._unique2.default", "aten.repeat_interleave.Tensor"),
}


class Watch(TorchDispatchMode):
    """Notes where an operation is called that waits, on a GPU, for what was asked before."""

    def __init__(self) -> None:
        super().__init__()
        self.places: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        masked = str(func).startswith(("aten.index.Tensor", "aten.index_put")) and any(
            isinstance(i, Tensor) and i.dtype in (torch.bool, torch.uint8) for i in args[1]
        )
        if str(func) in WAITING or masked:
            own = [f for f in traceback.extract_stack() if "/glc/" in f.filename.replace("\\", "/")]
            self.places.append(f"{func} in {own[-1].name if own else '?'}")
        return func(*args, **(kwargs or {}))


class Ready:
    """Pictures that are on the device already; drawing them is the business of another test."""

    count, pixels, skipped, smallest_side = 1, 128 * 128, 0, 128

    def crops(
        self, batch: int, crop: int, rescale_max: float, generator: torch.Generator
    ) -> Tensor:
        return torch.rand(batch, 3, crop, crop, generator=generator) * 2 - 1


def trainer_of(out: Path, changes: dict[str, Any]) -> Trainer:
    settings = TrainingSettings.load(str(LINEAR), {"bf16": "false", **changes})
    torch.manual_seed(0)
    perceptual = PerceptualLoss(settings.networks([3]), trained=False)
    trainer = Trainer(settings, Ready(), None, out, torch.device("cpu"), perceptual)
    trainer.begin_phase(3)
    return trainer


ADVERSARY = {"adversarial_weight": 0.1, "projected_networks": "lpips,alex", "code_weight_3": 0.1}


@pytest.mark.parametrize("changes", [{}, ADVERSARY], ids=["as on a GPU", "with everything"])
def test_no_step_waits_for_the_device(
    tmp_path: Path, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trainer_of(tmp_path, changes)
    # On a CPU it looks after every step whether losses are finite.
    monkeypatch.setattr(trainer.guard, "check", lambda phase, step: None)
    for step in (0, 7):
        trainer.step = step
        # What a first step sets up may wait.
        trainer.train_step()
        trainer.step = step
        # Some tensors of the host are numbers for itself; those do not go through it.
        with Watch() as watch:
            logged = trainer.train_step()
        assert watch.places == []
        assert {"mse", "lines", "grid", "colour", "bpp"} <= set(logged)
    assert {"lpips", "alex"} <= set(logged)
    assert ("discriminator" in logged) == bool(changes)


def test_the_watch_sees_what_waits() -> None:
    x = torch.ones(3)
    with Watch() as watch:
        float(x.sum())
        x.new_tensor([1.0, 2.0])
        x[x > 0]
    assert len(watch.places) >= 3


@pytest.mark.parametrize("changes", [{}, ADVERSARY], ids=["as on a GPU", "with everything"])
def test_bf16_goes_through_every_stage(tmp_path: Path, changes: dict[str, Any]) -> None:
    trainer = trainer_of(tmp_path, {"bf16": "true", **changes})
    assert trainer.start() is not None
    trainer.begin_phase(3)
    for step in (0, 4, 7):
        trainer.step = step
        logged = trainer.train_step()
        assert all(bool(value.isfinite()) for value in logged.values()), logged
    assert trainer.guard.skipped == 0
    assert all(p.dtype == torch.float32 for p in trainer.ensemble.parameters())
