"""A run resumed is the run continued; a kill loses at most the last interval."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from glc.config import PRESETS
from glc.training.engine import resume
from glc.training.engine.log import read_log
from glc.training.engine.loop import Trainer
from glc.training.engine.nonfinite_guard import TrainingError
from glc.training.engine.phases import Ensemble
from glc.training.losses.discriminator import Adversary
from glc.training.settings import TrainingSettings

Make = Callable[..., Trainer]
MICRO = Path(__file__).parents[1] / "micro.toml"

# glc train with random loss networks, which need no file.
COMMAND = """
import sys, functools
import torch
import glc.training.command as command
torch.set_num_threads(1)
command.PerceptualLoss = functools.partial(command.PerceptualLoss, trained=False)
sys.exit(command.main(sys.argv[1:]))
"""


@pytest.mark.parametrize(("regulariser", "muon"), [("vq", False), ("vq", True), ("kl", False)])
def test_two_halves_are_one_whole(make: Make, regulariser: str, muon: bool) -> None:
    # The discriminator joins before the cut, the phase changes after it.
    whole = make("whole", regulariser=regulariser, muon=muon)
    whole.begin_phase(1)
    whole.run_phase()
    whole.begin_phase(2)
    whole.run_phase()

    first = make("halves", regulariser=regulariser, muon=muon)
    first.begin_phase(1)
    for _ in range(4):
        first.train_step()
    first.save()
    torch.manual_seed(99)
    second = make("halves", regulariser=regulariser, muon=muon)
    assert second.resume()
    assert (second.phase, second.step) == (1, 4)
    second.run_phase()
    second.begin_phase(2)
    for _ in range(3):
        second.train_step()
    second.save()
    third = make("halves", regulariser=regulariser, muon=muon)
    assert third.resume()
    third.run_phase()

    one, two = whole.state(), third.state()
    for part in ("ensemble", "average", "adversary", "random"):
        torch.testing.assert_close(two[part], one[part], rtol=0, atol=0)
    torch.testing.assert_close(two["optimisers"], one["optimisers"], rtol=0, atol=0)


def test_there_may_be_nothing_to_resume(make: Make) -> None:
    assert not make().resume()


def test_entries_after_the_checkpoint_are_forgotten(make: Make) -> None:
    trainer = make()
    trainer.begin_phase(1)
    trainer.run_phase()
    with (trainer.out / "log.jsonl").open("a") as log:
        log.write('{"phase": 1, "step": 8, "seconds": 1}\n{"phase": 1, "st')
    assert make().resume()
    assert [e["step"] for e in read_log(trainer.out)][-1] == 6
    assert '"st' not in (trainer.out / "log.jsonl").read_text().splitlines()[-1][-6:]


@pytest.mark.system
def test_a_kill_loses_at_most_the_last_interval(make: Make, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    process = subprocess.Popen(
        [
            sys.executable, "-c", COMMAND, "--preset", str(MICRO), "--data", str(folder),
            "--out", str(out), "--phase", "2", "--steps", "100000", "--device", "cpu",
            "--set", "checkpoint_every_s=0", "--set", "log_every=1",
        ],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until = time.monotonic() + 100
        while time.monotonic() < until and len(read_log(out)) < 6:
            time.sleep(0.05)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    reached = read_log(out)[-1]["step"]
    assert reached >= 5
    trainer = make("killed", steps_2=100000)
    assert trainer.resume()
    assert trainer.phase == 2
    assert reached - 1 <= trainer.step <= reached + 1
    trainer.train_step()


def trained(make: Make, out: str = "run", **changes: object) -> Trainer:
    trainer = make(out, **changes)
    for phase in (1, 3):
        trainer.begin_phase(phase)
        trainer.run_phase()
    return trainer


@pytest.mark.parametrize("part_bytes", [None, 10_000])
def test_the_compact_file_goes_round(make: Make, tmp_path: Path, part_bytes: int | None) -> None:
    trainer = trained(make)
    folder = tmp_path / "compact"
    # Parts of an older state must not get in the way.
    resume.write_compact({**trainer.state(), "seconds": 7.0}, folder, 20_000)
    written = resume.write_compact(trainer.state(), folder, part_bytes)
    assert set(written) == set(folder.iterdir())
    assert (len(written) > 4) == (part_bytes is not None)
    if part_bytes:
        assert max(path.stat().st_size for path in written) <= part_bytes
    size = sum(path.stat().st_size for path in written)
    assert size < (trainer.out / "checkpoint.pt").stat().st_size / 4

    moved = make("moved")
    assert moved.resume(folder)
    assert (moved.phase, moved.step) == (3, 6)
    assert moved.seconds == trainer.seconds
    expected = trainer.average.module.state_dict()
    for name, value in moved.ensemble.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-3, atol=1e-4, msg=name)
    assert torch.equal(moved.rate.log_weight, trainer.rate.log_weight)
    assert torch.equal(
        moved.adversary_optimiser.param_groups[0]["params"][0].half(),
        trainer.adversary_optimiser.param_groups[0]["params"][0].half(),
    )
    # The moments are gone, so the learning rate warms up again.
    assert moved._schedule(0.0) == 0.5
    moved.step = 0
    moved.train_step()


def test_the_run_folder_may_hold_the_compact_file(make: Make, tmp_path: Path) -> None:
    trainer = trained(make)
    resume.write_compact(trainer.state(), tmp_path / "other")
    assert make("other").resume()


def test_a_damaged_compact_file_is_refused(make: Make, tmp_path: Path) -> None:
    trainer = make()
    trainer.begin_phase(1)
    part = resume.write_compact(trainer.state(), tmp_path / "c", 10_000)[1]
    data = part.read_bytes()
    part.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(TrainingError, match="copy all parts again"):
        trainer.resume(tmp_path / "c")
    part.unlink()
    with pytest.raises(TrainingError, match="not a complete compact resume file"):
        trainer.resume(tmp_path / "c")


def test_a_damaged_checkpoint_is_refused(make: Make) -> None:
    trainer = make()
    (trainer.out / "checkpoint.pt").write_bytes(b"nonsense")
    with pytest.raises(TrainingError, match="not a checkpoint"):
        trainer.resume()


def test_a_run_of_another_shape_is_refused(make: Make) -> None:
    trainer = make()
    trainer.begin_phase(1)
    trainer.save()
    with pytest.raises(TrainingError, match="another shape"):
        make(regulariser="kl").resume()


def test_the_compact_file_of_base_is_small_enough(tmp_path: Path) -> None:
    settings = TrainingSettings.load("base", {})
    assert settings.shape == PRESETS["base"]
    state = {
        "settings": settings.to_dict(),
        "average": {f"module.{n}": v for n, v in Ensemble(settings).state_dict().items()},
        "adversary": Adversary(settings).state_dict(),
        "random": {},
    }
    written = resume.write_compact(state, tmp_path, 15_000_000)
    assert sum(path.stat().st_size for path in written) <= 40_000_000
    assert max(path.stat().st_size for path in written) <= 15_000_000


@pytest.mark.parametrize("form", ["run", "checkpoint", "compact"])
def test_starting_from_another_run(make: Make, tmp_path: Path, form: str) -> None:
    trainer = trained(make, "other")
    resume.write_compact(trainer.state(), tmp_path / "compact")
    places = {
        "run": tmp_path / "other",
        "checkpoint": tmp_path / "other" / "checkpoint.pt",
        "compact": tmp_path / "compact",
    }
    fresh = make("fresh")
    fresh.initialise(places[form])
    assert fresh.step == 0
    fresh.begin_phase(3)
    expected = trainer.average.module.state_dict()
    for name, value in fresh.ensemble.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-3, atol=1e-4, msg=name)


def test_starting_from_phase_1_remembers_its_encoder(make: Make) -> None:
    trainer = make("other")
    trainer.begin_phase(1)
    trainer.run_phase()
    fresh = make("fresh")
    fresh.initialise(trainer.out)
    fresh.begin_phase(3)
    reference = fresh.ensemble.reference.state_dict()
    for name, value in fresh.ensemble.model.encoder.state_dict().items():
        assert torch.equal(value, reference[name])


def test_starting_from_nothing_says_so(make: Make, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="nothing to start from"):
        make().initialise(tmp_path)


def test_a_blend_lies_between_two_runs(make: Make) -> None:
    states = []
    for seed in (1, 2):
        trainer = make(f"seed{seed}", seed=seed)
        trainer.begin_phase(1)
        trainer.run_phase()
        states.append(trainer.state())
    mine, theirs = (resume.averaged_weights(state) for state in states)
    blend = resume.blended_weights(*states, share=0.25)
    for name, value in blend.items():
        if value.is_floating_point():
            torch.testing.assert_close(value, 0.75 * mine[name] + 0.25 * theirs[name])
    assert not torch.equal(mine["model.encoder.stem.weight"], theirs["model.encoder.stem.weight"])
    assert all(torch.equal(mine[n], v) for n, v in resume.blended_weights(*states, 0.0).items())
    other = states[1] | {
        "average": {n: v for n, v in states[1]["average"].items() if "stem" not in n}
    }
    with pytest.raises(TrainingError, match="one shape"):
        resume.blended_weights(states[0], other, 0.5)
