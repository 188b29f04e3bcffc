"""Files written in every environment and read in every other: starts the processes, and counts.

Knows nothing of what a setting does; see ``eval.conformance.environments``.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from eval.conformance.environments import Environment, Setting
from eval.conformance.worker import Reading, Writing
from glc import Codec
from glc.image import Picture

__all__ = ["Crossing", "Process", "cross", "cross_golden", "started"]


class Process:
    """An ``eval.conformance.worker`` in its environment."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        command = [sys.executable, "-m", "eval.conformance.worker", "--device", environment.device]
        self._process = subprocess.Popen(  # noqa: S603 - this very interpreter
            [*command, *["--compiled"] * environment.compiled],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # More threads than cores, as some settings have, would wait for each other by spinning.
            env={"OMP_WAIT_POLICY": "PASSIVE", **os.environ, **environment.variables},
            text=True,
        )
        self.instructions: str = self._answer()["instructions"]

    def ask(self, job: dict[str, Any], settings: Sequence[Setting]) -> dict[Setting, Any]:
        """Have a job done; returns the answer for every setting that is tried here.

        Raises:
            RuntimeError: the process ended.
        """
        tried = self.environment.settings(settings)
        line = json.dumps({**job, "settings": [asdict(setting) for setting in tried]})
        print(line, file=self._process.stdin, flush=True)
        answer = self._answer()
        return {setting: answer[setting.name] for setting in tried}

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RuntimeError(f"the process of {self.environment.name!r} ended; see above")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextlib.contextmanager
def started(environments: Sequence[Environment]) -> Iterator[list[Process]]:
    """Start a process in each environment, and end them afterwards."""
    with contextlib.ExitStack() as stack:
        processes = []
        for environment in environments:
            processes.append(Process(environment))
            stack.callback(processes[-1].end)
        yield processes


@dataclass
class Crossing:
    """What one environment wrote and read."""

    environment: Environment
    instructions: str
    """What torch says of the processor there."""
    written: int = 0
    """Files, over all settings."""
    new: int = 0
    """Those whose bytes no environment before it had written."""
    roundings: set[str] = field(default_factory=set)
    """The different latents that its settings gave for the first picture."""
    readings: dict[Setting, Reading] = field(default_factory=dict)

    def total(self, of: Callable[[Setting], bool]) -> Reading:
        """Return the sum over some of the settings."""
        return sum((r for setting, r in self.readings.items() if of(setting)), Reading())

    @property
    def broken(self) -> int:
        """Wrong decodes, and pictures too far off where all precisions are equal."""
        exact = self.total(lambda setting: not setting.bf16)
        # The convolutions of CUDA use fewer bits than float32 unless told otherwise.
        off = exact.off if self.environment.device == "cpu" else 0
        return self.total(lambda setting: True).wrong + off


def cross(
    processes: Sequence[Process],
    codec: Codec,
    model: Path,
    pictures: Sequence[Picture],
    qualities: Sequence[int],
    settings: Sequence[Setting],
    scratch: Path,
) -> list[Crossing]:
    """Write all pictures everywhere, then read every file everywhere.

    Args:
        processes: in their environments.
        codec: gives the reference pictures, in this process.
        model: its weights.
        pictures: only their colours are coded.
        qualities: of every picture.
        settings: tried in every environment.
        scratch: an empty folder.
    """
    paths = [scratch / f"{index}.png" for index in range(len(pictures))]
    for path, picture in zip(paths, pictures, strict=True):
        Image.fromarray(picture.rgb).save(path)
    files: dict[Path, None] = {}
    crossings = []
    for process in processes:
        job = {"do": "write", "pictures": list(map(str, paths)), "to": str(scratch)}
        answers = process.ask({**job, "qualities": qualities, "model": str(model)}, settings)
        writings = [Writing(**answer) for answer in answers.values()]
        before = len(files)
        files |= {scratch / f"{name}.glc": None for w in writings for name in w.files}
        crossing = Crossing(process.environment, process.instructions)
        crossing.written = sum(len(writing.files) for writing in writings)
        crossing.new = len(files) - before
        crossing.roundings = {writing.rounding for writing in writings if writing.files}
        crossings.append(crossing)
    with Setting().active(codec):
        for path in files:
            np.save(path.with_suffix(".npy"), np.asarray(codec.decode(path.read_bytes())))
    for process, crossing in zip(processes, crossings, strict=True):
        _read(process, crossing, model, list(files), settings)
    return crossings


def cross_golden(
    processes: Sequence[Process], folder: Path, settings: Sequence[Setting], scratch: Path
) -> list[Crossing]:
    """Read the golden files of every format version everywhere.

    Args:
        processes: in their environments.
        folder: of the versions, as tests/golden has them.
        settings: tried in every environment.
        scratch: a folder for copies.
    """
    crossings = [Crossing(process.environment, process.instructions) for process in processes]
    for version in sorted(folder.glob("v*")):
        files = []
        for path in sorted(version.glob("*.glc")):
            files.append(scratch / f"{version.name}-{path.name}")
            files[-1].write_bytes(path.read_bytes())
            with Image.open(path.with_suffix(".png")) as picture:
                np.save(files[-1].with_suffix(".npy"), np.asarray(picture))
        for process, crossing in zip(processes, crossings, strict=True):
            _read(process, crossing, version / "golden.safetensors", files, settings)
    return crossings


def _read(
    process: Process,
    crossing: Crossing,
    model: Path,
    files: list[Path],
    settings: Sequence[Setting],
) -> None:
    job = {"do": "read", "files": list(map(str, files)), "model": str(model)}
    for setting, reading in process.ask(job, settings).items():
        before = crossing.readings.get(setting, Reading())
        crossing.readings[setting] = before + Reading(**reading)
