"""Recorded steps train what steps taken as they come train.

No GPU here: a recorder in the place of CUDA graphs notes every operation of a step with its
tensors, and replays them. So whatever the host decides while a step is recorded stays as it was,
as in a graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from glc.training.engine import loop
from glc.training.engine.captured_step import WARM_STEPS, CapturedSteps, Logged
from glc.training.engine.loop import Trainer
from tests.training.test_waiting import WAITING, trainer_of


def tensors_in(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors_in(item)


def storage_of(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


class Tape(TorchDispatchMode):
    """Notes operations, and what they write over."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[tuple[Any, Any, Any, Any]] = []
        self.before: dict[int, tuple[Tensor, Tensor]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if str(func) in WAITING:
            raise RuntimeError(f"the host waits: {func}")
        for target in written(func, args, kwargs):
            if storage_of(target) not in self.before:
                self.before[storage_of(target)] = (target, target.clone())
        found = func(*args, **kwargs)
        self.noted.append((func, args, kwargs, found))
        return found

    def undo(self) -> None:
        """A CUDA graph is not run when it is recorded."""
        for target, before in self.before.values():
            target.copy_(before)

    def replay(self) -> None:
        with torch.no_grad():
            for func, args, kwargs, found in self.noted:
                entering = {storage_of(t) for t in tensors_in([args, list(kwargs.values())])}
                if written(func, args, kwargs):
                    func(*args, **kwargs)
                elif not any(storage_of(t) in entering for t in tensors_in(found)):
                    again = tensors_in(func(*args, **kwargs))
                    for old, new in zip(tensors_in(found), again, strict=True):
                        old.copy_(new)


def written(func: Any, args: Any, kwargs: Any) -> list[Tensor]:
    """Tensors that an operation writes to, by its schema."""
    found: list[Tensor] = []
    for index, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[index] if index < len(args) else kwargs.get(argument.name)
            found += tensors_in(value)
    return found


def record_on_tape(call: Callable[[], Tensor]) -> tuple[Tensor, Callable[[], None]]:
    tape = Tape()
    with tape:
        values = call()
    with torch.no_grad():
        tape.undo()
    return values, tape.replay


ADVERSARY = {
    "adversarial_weight": 0.3, "projected_networks": "lpips", "perceptual_start": 0.0,
    "adversarial_start_3": 0.0, "ema_decay": 0.9,
}  # fmt: skip
STEPS = 8


def trained(folder: Path, changes: dict[str, Any]) -> tuple[Trainer, list[dict[str, float]]]:
    trainer = trainer_of(folder, {**changes, "steps_3": STEPS})
    said = [trainer.train_step() for _ in range(STEPS)]
    return trainer, [{name: float(value) for name, value in one.items()} for one in said]


def state_of(trainer: Trainer) -> dict[str, Tensor]:
    parts = {"rate": trainer.rate.log_weight, "skipped": trainer.guard._skipped}
    for name in ("ensemble", "average", "adversary"):
        parts |= {f"{name}.{n}": v for n, v in getattr(trainer, name).state_dict().items()}
    return parts


@pytest.mark.parametrize("changes", [{}, ADVERSARY], ids=["two stages", "adversary"])
def test_recorded_steps_train_the_same(
    tmp_path: Path, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = changes or {"perceptual_start": 0.5, "perceptual_ramp": 0.0}
    eager, told = trained(tmp_path / "eager", changes)
    monkeypatch.setattr(Trainer, "_may_record", lambda trainer: trainer.phase == 3)
    monkeypatch.setattr(loop, "record_cuda_graph", record_on_tape)
    recorded, heard = trained(tmp_path / "recorded", changes)
    assert recorded._captured is not None
    assert recorded._captured._replay is not None
    found = state_of(recorded)
    for name, value in state_of(eager).items():
        # The last bit of a sum is a processor's own, and an optimiser divides by small gradients:
        # single weights may differ, but not a tensor as a whole.
        apart = float((found[name].double() - value.double()).norm())
        size = float(value.double().norm())
        assert apart <= 1e-3 * size + 1e-5 * value.numel() ** 0.5, name
    for mine, other in zip(heard, told, strict=True):
        assert mine == pytest.approx(other, rel=1e-3, abs=1e-5)
    assert recorded.optimisers.learning_rate == pytest.approx(eager.optimisers.learning_rate)


def test_state_of_recorded_steps_goes_on_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_may_record", lambda trainer: trainer.phase == 3)
        patch.setattr(loop, "record_cuda_graph", record_on_tape)
        recorded, _ = trained(tmp_path / "run", ADVERSARY)
        recorded.save()
    other = trainer_of(tmp_path / "run", {**ADVERSARY, "steps_3": STEPS + 1})
    assert other.resume()
    assert other.optimisers.learning_rate > 0
    groups = [g for o in other.optimisers._all for g in o.param_groups]
    assert all(isinstance(g["lr"], float) and not g.get("capturable") for g in groups)
    assert all(bool(v.isfinite()) for v in other.train_step().values())


class Doubling:
    """A step of one number, and a recorder that counts."""

    def __init__(self, fails: bool = False) -> None:
        self.state, self.recorded, self.fails = torch.ones(()), 0, fails

    def step(self, stage: object, x: Tensor) -> Logged:
        self.state.mul_(2.0)
        return {"state": self.state.clone(), "x": x}

    def record(self, call: Callable[[], Tensor]) -> tuple[Tensor, Callable[[], None]]:
        self.recorded += 1
        if self.fails:
            raise RuntimeError("cannot be recorded\nfor a reason")
        return record_on_tape(call)


def test_every_stage_is_recorded_once_and_each_answer_is_kept() -> None:
    doubling = Doubling()
    steps = CapturedSteps(doubling.step, doubling.record)
    said = [steps.take("early", [torch.tensor(float(i))]) for i in range(WARM_STEPS + 3)]
    assert doubling.recorded == 1
    assert [float(one["x"]) for one in said] == [float(i) for i in range(WARM_STEPS + 3)]
    assert [float(one["state"]) for one in said] == [2.0 ** (i + 1) for i in range(WARM_STEPS + 3)]
    for _ in range(WARM_STEPS + 2):
        steps.take("late", [torch.zeros(())])
    assert doubling.recorded == 2


def test_what_cannot_be_recorded_goes_on_without(capsys: pytest.CaptureFixture[str]) -> None:
    doubling = Doubling(fails=True)
    steps = CapturedSteps(doubling.step, doubling.record)
    for count in range(WARM_STEPS + 3):
        assert float(steps.take("only", [torch.zeros(())])["state"]) == 2.0 ** (count + 1)
    assert doubling.recorded == 1
    assert (
        capsys.readouterr().err == "steps are not recorded, and slower for it: cannot be recorded\n"
    )
