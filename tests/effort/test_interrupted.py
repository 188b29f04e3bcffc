"""A run with an effort that a signal ends, begun again: the bytes of one that nothing disturbed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

COUNT = 4


@pytest.fixture
def start(make_picture, micro_path, tmp_path):
    """Return a function that starts ``glc`` with an effort on a folder of pictures."""
    (tmp_path / "in").mkdir()
    for seed in range(COUNT):
        Image.fromarray(make_picture(90, 100 + seed, seed)).save(tmp_path / "in" / f"{seed}.png")
    # Without the weights of others in torch's hub folder: the same look wherever tests run.
    known = {"PYTHONPATH": str(Path(__file__).parents[2]), "TORCH_HOME": str(tmp_path / "hub")}
    started: list[subprocess.Popen] = []

    def run(*arguments: str) -> subprocess.Popen:
        options = ("--effort", "6", "--device", "cpu", "--model", str(micro_path))
        process = subprocess.Popen(
            [sys.executable, "-m", "codec_cli", *arguments, *options],
            cwd=tmp_path,
            env={**os.environ, **known},
            stderr=subprocess.PIPE,
            # Tests that run in the background of a shell hand on that Ctrl-C is ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def contents(path: Path) -> dict[str, bytes]:
    """Return the finished files of a folder, or a file, by name."""
    files = path.iterdir() if path.is_dir() else [path] * path.is_file()
    return {p.name: p.read_bytes() for p in files if not p.name.startswith(".")}


def part_of(target: Path) -> int:
    """Return how many bytes of pictures have been written so far."""
    begun = target.with_name(f"{target.name}.part")
    if begun.is_file():
        return begun.stat().st_size
    return sum(map(len, contents(target).values())) if target.is_dir() else 0


@pytest.mark.system
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("command", "name", "more"), [("encode", "out", ["--skip-existing"]), ("pack", "out.glca", [])]
)
def test_the_bytes_are_those_of_a_run_that_nothing_disturbed(
    start, tmp_path, command, name, more, number
):
    def to(folder: str) -> list[str]:
        (tmp_path / folder).mkdir(exist_ok=True)
        return [command, "in", "-o", f"{folder}/{name}" + "/" * (command == "encode"), *more]

    for folder in ("whole", "again"):
        assert start(*to(folder)).wait(300) == 0
    expected = contents(tmp_path / "whole" / name)
    assert contents(tmp_path / "again" / name) == expected
    assert len(expected) == (COUNT if command == "encode" else 1)

    target, process = tmp_path / "parts" / name, start(*to("parts"))
    while not part_of(target) and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(number)
    assert process.wait(300) not in (0, 1)
    left = contents(target)
    assert len(left) < len(expected)
    assert left.items() <= expected.items()
    assert part_of(target) > 0

    assert start(*to("parts")).wait(300) == 0
    assert contents(target) == expected
