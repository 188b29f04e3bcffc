"""Two processes of batch N against one of batch 2N, over gloo on the CPU."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from glc.training.engine.log import read_log
from glc.training.engine.loop import Trainer
from glc.training.engine.resume import read_state

pytestmark = pytest.mark.system

MICRO = Path(__file__).parents[1] / "micro.toml"
STEPS = 40

# Prints what the process ends with: its first crops and its weights.
SCRIPT = """
import sys, dataclasses
from pathlib import Path
import torch
from glc.training.data.in_memory import InMemoryImages
from glc.training.losses.features import PerceptualLoss
from glc.training.engine.loop import Trainer
from glc.training.settings import TrainingSettings
torch.set_num_threads(1)
micro, folder, out, batch, steps = sys.argv[1:]
settings = TrainingSettings.load(micro, {})
settings = dataclasses.replace(settings, batch_1=int(batch), batch_2=int(batch),
    steps_1=int(steps), steps_2=10, log_every=10, adversarial_start_1=0.8)
torch.manual_seed(0)
perceptual = PerceptualLoss(trained=False)
store, device = InMemoryImages(folder, 64), torch.device("cpu")
trainer = Trainer(settings, store, None, Path(out), device, perceptual)
draws = trainer._crop_generator.initial_seed()
for phase in (1, 2):
    trainer.begin_phase(phase)
    trainer.run_phase()
total = sum(p.double().abs().sum() for p in trainer.ensemble.parameters())
sys.stdout.write(f"{draws} {total:.9f} {trainer.rate.log_weight.sum():.9f}\\n")
trainer.processes.leave()
"""


def start(rank: int, world: int, port: int, *arguments: object) -> subprocess.Popen[str]:
    environment = dict(
        os.environ, RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world),
        MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), OMP_NUM_THREADS="1",
    )  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *map(str, arguments)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without distributed")
def test_two_processes_are_one_with_the_doubled_batch(
    make: Callable[..., Trainer], folder: Path, tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    two = tmp_path / "two"
    pair = [start(rank, 2, port, MICRO, folder, two, 4, STEPS) for rank in (0, 1)]
    one = make("one", batch_1=8, batch_2=8, steps_1=STEPS, steps_2=10, log_every=10,
               adversarial_start_1=0.8)  # fmt: skip
    for phase in (1, 2):
        one.begin_phase(phase)
        one.run_phase()
    printed = []
    for process in pair:
        stdout, stderr = process.communicate(timeout=120)
        assert process.returncode == 0, stderr
        printed.append(stdout.splitlines()[-1].split())
    # Other crops, the same weights.
    assert printed[0][0] != printed[1][0]
    assert printed[0][1:] == printed[1][1:]

    curves = [
        [e for e in read_log(out) if e["phase"] == 1 and not e.get("held_out")]
        for out in (one.out, two)
    ]
    # Rank 0 alone writes: no entry is there twice.
    assert [e["step"] for e in curves[1]] == [10, 20, 30, 40]
    for alone, together in zip(*curves, strict=True):
        assert abs(together["mse"] / alone["mse"] - 1.0) < 0.2
    assert curves[1][-1]["mse"] < curves[1][0]["mse"]
    state = read_state(two)
    assert state is not None
    assert state["phase"] == 2
    assert state["step"] == 10
