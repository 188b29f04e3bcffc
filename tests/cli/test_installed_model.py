"""The whole way through the command line with the model that is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from glc.weights import registry

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        not any(model.default for model in registry.installed()),
        reason="no default model is installed (weights/ is empty)",
    ),
]


def run(*arguments: str, data: bytes | None = None) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "codec_cli", *map(str, arguments)]
    return subprocess.run(command, input=data, capture_output=True, check=False)


@pytest.fixture
def photo(tmp_path):
    y, x = np.mgrid[:90, :130]
    rgb = np.dstack((x * 2 % 256, y * 2 % 256, (x + y) % 256)).astype(np.uint8)
    path = tmp_path / "photo.png"
    Image.fromarray(rgb).save(path)
    return path


def test_encode_info_verify_decode(photo, tmp_path):
    coded = tmp_path / "photo.glc"
    done = run("encode", photo, "--verify", "--json", "-q", "40")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["bytes"] == coded.stat().st_size
    assert (record["width"], record["height"], record["quality"]) == (130, 90, 40)
    info = json.loads(run("info", coded, "--json").stdout)
    assert info["bytes"] == record["bytes"]
    assert info["header_bytes"] <= 16
    assert run("verify", coded).returncode == 0
    assert run("decode", coded, "-o", tmp_path / "back.png").returncode == 0
    with Image.open(tmp_path / "back.png") as image:
        assert (image.mode, image.size) == ("RGB", (130, 90))


def test_pipes_give_the_same_bytes(photo, tmp_path):
    piped = run("encode", "-", "-q", "40", data=photo.read_bytes())
    assert piped.returncode == 0, piped.stderr
    run("encode", photo, "-q", "40")
    assert piped.stdout == (tmp_path / "photo.glc").read_bytes()


def test_damage_is_found(photo, tmp_path):
    run("encode", photo)
    path = tmp_path / "photo.glc"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    for command in ("verify", "decode"):
        done = run(command, path, *(["-f"] if command == "decode" else []))
        assert done.returncode == 1
        assert done.stderr.count(b"\n") == 1
        assert done.stderr.startswith(f"glc {command}: {path}: ".encode())


def test_info_does_not_wait_for_torch(photo, tmp_path):
    run("encode", photo)
    seconds = []
    for _ in range(3):
        before = os.times()
        assert run("info", tmp_path / "photo.glc").returncode == 0
        after = os.times()
        used = after.children_user - before.children_user
        seconds.append(used + after.children_system - before.children_system)
    # Processor time, which a busy machine hardly changes: 0.08 s; torch alone takes above 1 s.
    assert min(seconds) < 0.6


def test_models_lists_the_default(photo):
    done = run("models", "--json")
    assert done.returncode == 0
    assert sum(json.loads(line)["default"] for line in done.stdout.splitlines()) == 1
