"""A run that is killed at random moments and started again ends with the same bytes."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from glc.dataset import Archive, compress

pytestmark = pytest.mark.system

REPOSITORY = Path(__file__).parents[2]

# One interpreter loads torch once, and forks a process for every run.
PROGRAM = """
import json, os, random, signal, sys, time
from glc import Codec
from glc.dataset import compress
from glc.archive.reader import Archive

weights, source, target, seed = sys.argv[1:]
codec = Codec.from_pretrained(weights, device="cpu")
rng = random.Random(int(seed))
part = target + ".part"
there = []

def run():
    def slowly(result):
        time.sleep(0.03)
    compress(source, target, 40, model=codec, workers=2, progress=slowly)

def count():
    if not os.path.exists(part) or os.path.getsize(part) < 42:
        return 0
    with Archive(part) as archive:
        return len(archive)

for _ in range(3):
    before, child = count(), os.fork()
    if child == 0:
        run()
        os._exit(0)
    deadline = time.monotonic() + 60
    while count() <= before and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(rng.uniform(0.0, 0.1))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    there.append((before, count(), os.WTERMSIG(status), os.path.exists(target)))
run()
print(json.dumps(there))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_three_times_and_gone_on(tmp_path, micro, micro_path, make_png, make_tar):
    members = {f"{n:03d}.png": make_png(n) for n in range(30)}
    members["007.png"] = b"no picture"
    tar = make_tar(tmp_path / "in.tar", members)
    compress(tar, tmp_path / "whole.glca", 40, model=micro)

    target = tmp_path / "killed.glca"
    seed = random.randrange(1 << 30)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(micro_path), str(tar), str(target), str(seed)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, f"seed {seed}: {done.stderr}"
    for before, after, signal, exists in json.loads(done.stdout):
        assert before < after < 29, f"seed {seed}"
        assert (signal, exists) == (9, False), f"seed {seed}"
    for suffix in (".glca", ".glca.failed.csv"):
        paths = [tmp_path / f"{name}{suffix}" for name in ("killed", "whole")]
        killed, whole = (hashlib.sha256(p.read_bytes()).hexdigest() for p in paths)
        assert killed == whole, f"seed {seed}"
    assert len(list(tmp_path.iterdir())) == 5
    with Archive(target) as archive:
        archive.verify()
        assert archive.keys == [name[:3] for name in members if name != "007.png"]
