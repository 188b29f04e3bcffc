"""Steps of every phase, skipped steps, and what a run says when it cannot go on."""

from __future__ import annotations

import copy
import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from glc.training.data.in_memory import InMemoryImages
from glc.training.engine.log import read_log
from glc.training.engine.loop import Stage, Trainer
from glc.training.engine.nonfinite_guard import TrainingError
from tests.training.conftest import of_architecture

Make = Callable[..., Trainer]


def weights_of(trainer: Trainer) -> dict[str, Tensor]:
    return {n: v.clone() for n, v in trainer.ensemble.state_dict().items()}


@pytest.mark.parametrize("regulariser", ["vq", "fsq", "kl"])
def test_three_phases_train_what_they_should(make: Make, regulariser: str) -> None:
    trainer = make(regulariser=regulariser, steps_1=4, steps_2=2, steps_3=2)
    changed: dict[int, set[str]] = {}
    for phase in (1, 2, 3):
        trainer.begin_phase(phase)
        before = weights_of(trainer)
        assert trainer.run_phase()
        after = weights_of(trainer)
        changed[phase] = {
            ".".join(n.split(".")[:2]) for n, v in after.items() if not torch.equal(v, before[n])
        }
        assert all(torch.isfinite(v.float()).all() for v in after.values())
    assert {"model.encoder", "model.decoder"} <= changed[1]
    assert not {n for n in changed[1] if n.startswith(("model.analysis", "reference"))}
    assert {"model.analysis", "model.synthesis", "model.scale_map"} <= changed[2]
    frozen = ("model.encoder", "model.decoder", "reference", "codebook")
    assert not {n for n in changed[2] if n.startswith(frozen)}
    assert {"model.encoder", "model.decoder", "model.analysis"} <= changed[3]
    assert not {n for n in changed[3] if n.startswith(("reference", "codebook"))}


def test_the_run_folder(make: Make) -> None:
    trainer = make()
    trainer.begin_phase(1)
    trainer.run_phase()
    assert json.loads((trainer.out / "config.json").read_text())["codec"]["y_channels"] == 8
    entries = read_log(trainer.out)
    held_out = [e for e in entries if e.get("held_out")]
    assert [e["step"] for e in held_out] == [0, 6]
    assert {
        "l1",
        "mse",
        "psnr",
        "colour16",
        "lpips",
        "alex",
        "mobilenet",
        "codebook",
        "grid",
    } <= set(held_out[-1])
    trained = [e for e in entries if not e.get("held_out")]
    assert [e["step"] for e in trained] == [2, 4, 6]
    assert {"loss", "crops_per_second", "codes_used", "perplexity"} <= set(trained[0])
    assert "discriminator" not in trained[0]
    assert "discriminator" in trained[-1]
    assert (trainer.out / "samples" / "phase1-000006.png").is_file()
    assert (trainer.out / "checkpoint.pt").is_file()


def test_a_reached_deadline_ends_with_a_checkpoint(make: Make) -> None:
    trainer = make()
    trainer.begin_phase(1)
    assert not trainer.run_phase(time.monotonic())
    assert trainer.step == 0
    assert (trainer.out / "checkpoint.pt").is_file()


def spoil(trainer: Trainer, steps: set[int]) -> None:
    """Make the crops of these steps not finite."""
    crops, calls = trainer.pictures.crops, iter(range(1000))

    class Spoiled:
        smallest_side = trainer.pictures.smallest_side

        @staticmethod
        def crops(*args: object) -> Tensor:
            x = crops(*args)  # type: ignore[arg-type]
            return x * float("nan") if next(calls) in steps else x

    trainer.held_out = trainer.pictures
    trainer.pictures = Spoiled()  # type: ignore[assignment]


def moments_of(trainer: Trainer) -> list[dict[str, Any]]:
    return [copy.deepcopy(state["state"]) for state in trainer.optimisers.state_dict()]


@pytest.mark.parametrize(("hinge", "share"), [(2.3, 0.0), (2.0, 0.0), (1.9, 0.5), (1.2, 1.0)])
def test_discriminators_have_a_say_as_far_as_they_know_something(
    make: Make, monkeypatch: pytest.MonkeyPatch, hinge: float, share: float
) -> None:
    trainer = make(adversarial_start_3=0.0, adversarial_weight=0.5)
    trainer.begin_phase(3)
    monkeypatch.setattr(trainer, "_train_adversary", lambda *_: torch.tensor(hinge))
    x = torch.rand(2, 3, 64, 64) * 2 - 1
    x_hat = (x + 0.2 * torch.rand_like(x)).requires_grad_(True)

    def gradient(weight: float) -> Tensor:
        trainer.settings = dataclasses.replace(trainer.settings, adversarial_weight=weight)
        stage = Stage(adversarial=weight > 0, perceptual=1.0, excess=1.0)
        return trainer._picture_gradient(x, x_hat, stage, {"loss": torch.zeros(())})

    alone, together = gradient(0.0), gradient(0.5)
    ratio = (together - alone).norm() / alone.norm()
    torch.testing.assert_close(ratio, torch.tensor(0.5 * share), atol=1e-3, rtol=0)


@pytest.mark.parametrize("muon", [False, True])
@pytest.mark.parametrize("phase", [1, 2, 3])
def test_a_step_that_is_not_finite_is_skipped_and_counted(
    make: Make, phase: int, muon: bool
) -> None:
    trainer = make(adversarial_start_1=0.0, adversarial_start_3=0.0, muon=muon)
    trainer.begin_phase(phase)
    spoil(trainer, {2})
    for _ in range(2):
        trainer.train_step()
    before = weights_of(trainer)
    adversary = copy.deepcopy(trainer.adversary.state_dict())
    moments = moments_of(trainer)
    rate = trainer.rate.log_weight.clone()
    trainer.train_step()
    assert trainer.guard.skipped == 1
    for name, value in weights_of(trainer).items():
        assert torch.equal(value, before[name]) or name.endswith("num_batches_tracked"), name
    if phase != 2:
        assert trainer.adversary_guard.skipped == 1
        for name, value in trainer.adversary.named_parameters():
            assert torch.equal(value, adversary[name]), name
    torch.testing.assert_close(moments_of(trainer), moments, rtol=0, atol=0)
    assert torch.equal(trainer.rate.log_weight, rate)
    trainer.train_step()
    assert trainer.guard.skipped == 1
    assert all(torch.isfinite(v.float()).all() for v in weights_of(trainer).values())
    assert any(not torch.equal(v, before[n]) for n, v in weights_of(trainer).items())


def send_astray(trainer: Trainer, value: float) -> list[Tensor]:
    """Add a value to the first sample of every batch of decoded pictures.

    Returns:
        What takes the gradients of the batches.
    """
    forward, gradients = trainer.ensemble.forward, []

    def spoiled(*args: Any) -> Any:
        outcome = forward(*args)
        first = torch.zeros(len(outcome.x_hat), 1, 1, 1)
        first[0] = value
        x_hat = outcome.x_hat + first
        x_hat.register_hook(gradients.append)
        return dataclasses.replace(outcome, x_hat=x_hat)

    trainer.ensemble.forward = spoiled  # type: ignore[method-assign]
    return gradients


@pytest.mark.parametrize("value", [50.0, float("nan")])
def test_nothing_is_learned_from_a_sample_that_went_astray(make: Make, value: float) -> None:
    trainer = make(adversarial_start_3=0.0)
    trainer.begin_phase(3)
    gradients = send_astray(trainer, value)
    for _ in range(3):
        logged = trainer.train_step()
    assert float(logged["astray"]) == pytest.approx(1 / trainer.settings.batch(3))
    assert float(logged["mse"]) < 1.0
    assert all(bool(loss.isfinite()) for loss in logged.values())
    assert trainer.guard.skipped == trainer.adversary_guard.skipped == 0
    for gradient in gradients:
        learned = gradient.abs().flatten(1).amax(1)
        assert learned[0] == 0
        assert (learned[1:] > 0).all()


def test_what_is_no_more_than_wrong_is_learned_from(make: Make) -> None:
    trainer = make()
    trainer.begin_phase(3)
    send_astray(trainer, 2.0)
    logged = trainer.train_step()
    assert float(logged["astray"]) == 0.0
    assert float(logged["mse"]) > 1.0


@pytest.mark.parametrize("architecture", [2, 3])
def test_faithful_samples_count_as_much_as_is_asked(make: Make, architecture: int) -> None:
    found = []
    for weight in (1.0, 3.0):
        codec = of_architecture(make("shape").settings.shape, architecture)
        trainer = make(f"run{weight}", codec=codec, faithful_weight=weight)
        trainer.begin_phase(3)
        forward = trainer.ensemble.forward

        def watched(*args: Any, forward: Callable[..., Any] = forward) -> Any:
            outcome = forward(*args)
            outcome.x_hat.register_hook(found.append)
            return outcome

        trainer.ensemble.forward = watched  # type: ignore[method-assign]
        trainer.train_step()
    one, three = found
    realistic = trainer.settings.realistic(len(one))
    assert 0 < realistic < len(one)
    torch.testing.assert_close(three[:realistic], one[:realistic])
    torch.testing.assert_close(three[realistic:], 3.0 * one[realistic:])


def test_three_in_a_row_stop_the_run(make: Make) -> None:
    trainer = make(steps_1=20)
    trainer.begin_phase(1)
    spoil(trainer, {1, 3, 4, 6, 7, 8})
    with pytest.raises(TrainingError, match=r"phase 1, step 9: three model losses in a row"):
        trainer.run_phase()
    assert trainer.guard.skipped == 6


@pytest.mark.parametrize(
    "error",
    [torch.cuda.OutOfMemoryError("CUDA"), RuntimeError("can't allocate memory: 5 bytes")],
)
def test_out_of_memory_names_a_batch(
    make: Make, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    trainer = make(batch_1=6)
    trainer.begin_phase(1)

    def fail() -> None:
        raise error

    monkeypatch.setattr(trainer, "train_step", fail)
    with pytest.raises(TrainingError, match=r"phase 1 with --batch 6 --crop 64; try --batch 3"):
        trainer.run_phase()


def test_other_errors_are_not_called_memory(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make()
    trainer.begin_phase(1)

    def fail() -> None:
        raise RuntimeError("shapes")

    monkeypatch.setattr(trainer, "train_step", fail)
    with pytest.raises(RuntimeError, match="shapes"):
        trainer.run_phase()


def test_the_held_out_losses_of_each_phase_fall(make: Make) -> None:
    trainer = make(
        steps_1=60, steps_2=60, steps_3=30, ema_decay=0.9, batch_1=4, batch_2=4, batch_3=4,
        learning_rate_1=4e-3, learning_rate_2=4e-3, log_every=30, adversarial_weight=0.0,
    )  # fmt: skip
    for phase in (1, 2, 3):
        trainer.begin_phase(phase)
        trainer.run_phase()
    for phase, names in ((1, ["l1"]), (2, ["latent_mse", "code_entropy"]), (3, ["l1"])):
        entries = [e for e in read_log(trainer.out) if e["phase"] == phase and e.get("held_out")]
        for name in names:
            assert entries[-1][name] < entries[0][name], (phase, name)


def test_compiling_changes_nothing_that_is_saved(make: Make) -> None:
    plain, compiled = make("a"), make("b", compile=True)
    assert list(plain.state()["ensemble"]) == list(compiled.state()["ensemble"])
    assert not any("_orig_mod" in name for name in compiled.state()["average"])
    compiled.begin_phase(1)
    assert compiled.ensemble.model.encoder._compiled_call_impl is not None
    # Evaluated with other batch sizes, which would compile once more.
    assert compiled.average.module.model.encoder._compiled_call_impl is None


@pytest.mark.slow
def test_one_picture_overfits(
    tmp_path: Path, make: Make, save_picture: Callable[[Path, int, int, int], None]
) -> None:
    save_picture(tmp_path / "a-0.png", 64, 64, 5)
    only = InMemoryImages(str(tmp_path), 64)
    trainer = make(
        pictures=only, steps_1=1500, batch_1=2, rescale_max=1.0, ema_decay=0.99,
        learning_rate_1=6e-3, adversarial_weight=0.0, lpips_weight=0.0, alex_weight=0.0,
        colour_weight=0.0, grid_weight=0.0, log_every=500,
    )  # fmt: skip
    trainer.begin_phase(1)
    trainer.run_phase()
    x = only.crops(2, 64, 1.0, torch.Generator().manual_seed(1))
    with torch.no_grad():
        zeros = torch.zeros(2, dtype=torch.long)
        x_hat = trainer.average.module.eval()(1, x, zeros, torch.ones(2)).x_hat
    error = ((x_hat.clamp(-1, 1) - x) / 2).square().mean()
    assert float(-10 * error.log10()) >= 30.0
