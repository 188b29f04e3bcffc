"""One codec used by many threads and processes at once: the same bytes as alone.

What needs other processes runs programs of its own, with two threads of torch, since the trouble
with forks begins at two.
"""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from glc import Codec, WeightsError
from glc.runtime.choice import RUNTIMES
from glc.weights import checkpoint, registry

ROOT = Path(__file__).parent.parent


def pixels(image) -> bytes:
    return np.asarray(image).tobytes()


def test_eight_threads_give_the_bytes_of_one(micro, make_picture):
    """Encoding, decoding and verifying mixed, sizes and qualities too, each task three times."""
    tasks = []
    for seed in range(12):
        picture = make_picture(40 + 30 * (seed % 4), 70, seed, channels=1 + 2 * (seed % 2))
        data = micro.encode(picture, 8 * seed)
        tasks.append((picture, 8 * seed, data, pixels(micro.decode(data))))

    def work(index: int) -> bool:
        picture, quality, data, expected = tasks[index // 3 % len(tasks)]
        if index % 3 == 0:
            return micro.encode(picture, quality) == data
        if index % 3 == 1:
            return pixels(micro.decode(data)) == expected
        micro.verify(data)
        return True

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(work, [*range(3 * len(tasks))] * 3))
    assert results == [True] * 9 * len(tasks)


def test_a_failure_in_one_thread_stays_there(micro, make_picture):
    good = micro.encode(make_picture(64, 64))
    bad = good[:-1] + bytes([good[-1] ^ 1])

    def work(data: bytes) -> str:
        try:
            micro.verify(data)
        except Exception as error:
            return type(error).__name__
        return "ok"

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(work, [good, bad] * 20))
    assert found == ["ok", "CorruptError"] * 20


def test_a_pickled_codec_is_small_and_the_same(micro, make_picture, micro_path):
    micro_limits = copy.copy(micro)
    micro_limits.limits = type(micro.limits)(max_pixels=100_000)
    data = pickle.dumps(micro_limits)
    assert len(data) < 1000
    again = pickle.loads(data)
    assert again.identity == micro.identity
    assert again.limits.max_pixels == 100_000
    assert again.device == micro.device
    picture = make_picture(70, 90)
    assert again.encode(picture) == micro.encode(picture)


def test_a_moved_model_is_found_by_identity(micro_path, tmp_path, monkeypatch):
    path = tmp_path / "here.safetensors"
    path.write_bytes(micro_path.read_bytes())
    codec = Codec.from_pretrained(path, device="cpu")
    data = pickle.dumps(codec)
    other = tmp_path / "models"
    other.mkdir()
    path.rename(other / "there.safetensors")
    with pytest.raises(WeightsError, match=f"pickled codec was of model micro .*{path}"):
        pickle.loads(data)
    monkeypatch.setenv(registry.MODELS_VARIABLE, str(other))
    assert pickle.loads(data).identity == codec.identity
    # Another model in its old place is not taken for it.
    path.write_bytes((ROOT / "tests/golden/v1/golden.safetensors").read_bytes())
    assert pickle.loads(data).identity == codec.identity


def test_a_codec_made_from_a_checkpoint_is_found_by_identity(micro_path, monkeypatch):
    codec = Codec(checkpoint.load(micro_path), device="cpu")
    with pytest.raises(WeightsError, match="neither at a path nor installed"):
        pickle.loads(pickle.dumps(codec))
    monkeypatch.setenv(registry.MODELS_VARIABLE, str(micro_path.parent))
    assert pickle.loads(pickle.dumps(codec)).identity == codec.identity


PROGRAM = """
import multiprocessing, os, runpy, sys
import numpy as np
import torch
from glc import Codec

def pixels(image):
    return np.asarray(image).tobytes()

def work(arguments):
    codec, picture, quality, expected = arguments
    codec = codec or Codec.from_pretrained(sys.argv[3], runtime=sys.argv[2], device="cpu")
    data = codec.encode(picture, quality)
    codec.verify(data)
    return data + pixels(codec.decode(data)) == expected

if __name__ == "__main__":
    method, runtime, path, conftest = sys.argv[1:]
    torch.set_num_threads(2)
    make_picture = runpy.run_path(conftest)["random_picture"]
    codec = Codec.from_pretrained(path, runtime=runtime, device="cpu")
    tasks = []
    for seed in range(4):
        # Large enough for torch to share its work among the threads.
        picture = make_picture(200, 260, seed)
        data = codec.encode(picture, 20 * seed)
        tasks.append((codec, picture, 20 * seed, data + pixels(codec.decode(data))))
    tasks.append((None, *tasks[0][1:]))
    context = multiprocessing.get_context(method)
    with context.Pool(2) as pool:
        results = pool.map_async(work, tasks, chunksize=1).get(timeout=200)
    if method == "fork":
        # Not through a pickle: the very object that was in use before the fork.
        pid = os.fork()
        if pid == 0:
            good = work(tasks[1])
            alone = runtime != "torch" or torch.get_num_threads() == 1
            os._exit(0 if good and alone else 1)
        results.append(os.waitpid(pid, 0)[1] == 0)
    print(results.count(True), "of", len(results), torch.get_num_threads())
"""


@pytest.mark.system
@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_processes_give_the_bytes_of_one(micro_path, tmp_path, method, runtime):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, "-W", "ignore", program]
    done = subprocess.run(
        [*command, method, runtime, micro_path, ROOT / "tests/conftest.py"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    count = 6 if method == "fork" else 5
    assert done.stdout == f"{count} of {count} 2\n"
