"""ONNX Runtime sends nothing, looks nothing up, and writes nothing but what it was asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

PROGRAM = """
import os, sys, time
from pathlib import Path
before = dict(os.environ)
from glc import Codec
codec = Codec.from_pretrained(sys.argv[1], runtime="onnxruntime")
codec.decode(codec.encode(sys.argv[2]))
assert "onnxruntime" in sys.modules
assert dict(os.environ) == before
# What it would write, it writes at its import; hosts are looked up some seconds later.
held, end = set(), time.monotonic() + float(sys.argv[3])
while time.monotonic() < end:
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            held.add(os.readlink(descriptor))
        except OSError:
            pass
    time.sleep(0.02)
print(sorted(name for name in held if name.startswith("socket:") or os.environ["HOME"] in name))
"""


def run(micro_path, make_picture, home: Path, seconds: float) -> str:
    from PIL import Image

    source = home.parent / "picture.png"
    Image.fromarray(make_picture(40, 50)).save(source)
    gone = ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in gone}
    environment |= {"HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(micro_path), str(source), str(seconds)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


@pytest.mark.system
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_nothing_is_written_and_nobody_is_asked(micro_path, make_picture, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    assert run(micro_path, make_picture, home, 1.0) == "[]"
    assert list(home.rglob("*")) == []


@pytest.mark.system
@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_nobody_is_asked_later(micro_path, make_picture, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    assert run(micro_path, make_picture, home, 20.0) == "[]"
    assert list(home.rglob("*")) == []


@pytest.mark.system
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_a_home_that_cannot_be_written_is_none_of_its_business(micro_path, make_picture, tmp_path):
    # A file: not even root can make a folder in it.
    home = tmp_path / "home"
    home.write_bytes(b"")
    assert run(micro_path, make_picture, home, 0.2) == "[]"
    assert home.read_bytes() == b""


def test_the_environment_is_left_as_it_was(monkeypatch):
    from glc.runtime.graphs.session import import_onnxruntime

    for value in ("0", None):
        monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
        if value is not None:
            monkeypatch.setenv("ORT_DISABLE_TELEMETRY", value)
        assert import_onnxruntime() is sys.modules["onnxruntime"]
        assert os.environ.get("ORT_DISABLE_TELEMETRY") == value
