"""How a result gets its name: all of it, or not at all."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from codec_cli.writing import Outputs


def leftover(folder: Path, digit: str, seconds: float) -> Path:
    path = folder / f".glc-{digit * 16}.part"
    path.write_bytes(b"half")
    changed = path.stat().st_mtime - seconds
    os.utime(path, (changed, changed))
    return path


def test_the_content_is_on_the_disk_before_the_name(tmp_path, monkeypatch):
    target = tmp_path / "a.glc"
    seen = []

    def fsync(descriptor: int) -> None:
        seen.append((os.fstat(descriptor).st_size, target.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    with Outputs(force=False) as outputs:
        outputs.write(target, b"content")
    assert seen == [(7, False)]
    assert target.read_bytes() == b"content"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_late_leaves_no_file(tmp_path, monkeypatch, number):
    """Network file systems say only here that they are full."""

    def fsync(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    (tmp_path / "b.glc").write_bytes(b"old")
    with Outputs(force=True) as outputs:
        for name in ("a.glc", "b.glc"):
            with pytest.raises(OSError, match=os.strerror(number)):
                outputs.write(tmp_path / name, b"content")
    assert [p.name for p in tmp_path.iterdir()] == ["b.glc"]
    assert (tmp_path / "b.glc").read_bytes() == b"old"


def test_a_file_system_without_the_call_is_written_to(tmp_path, monkeypatch):
    def fsync(descriptor: int) -> None:
        raise OSError(errno.EINVAL, "no such call")

    monkeypatch.setattr(os, "fsync", fsync)
    with Outputs(force=False) as outputs:
        outputs.write(tmp_path / "a.glc", b"content")
    assert (tmp_path / "a.glc").read_bytes() == b"content"


def test_old_leftovers_are_removed_and_nothing_else(tmp_path):
    old, new = leftover(tmp_path, "0", 4000), leftover(tmp_path, "1", 3000)
    other = tmp_path / "elsewhere"
    other.mkdir()
    unvisited = leftover(other, "0", 1e6)
    named = tmp_path / ".glc-mine.part"
    named.write_bytes(b"of the user")
    os.utime(named, (0, 0))
    folder = tmp_path / f".glc-{'2' * 16}.part"
    folder.mkdir()
    os.utime(folder, (0, 0))
    with Outputs(force=False) as outputs:
        outputs.write(tmp_path / "a.glc", b"content")
    assert not old.exists()
    assert all(path.exists() for path in (new, unvisited, named, folder))


PROGRAM = """
import os, sys
from pathlib import Path
from codec_cli.writing import Outputs
with Outputs(force=True) as outputs:
    for name in ("a.glc", "b.glc"):
        outputs.write(Path(name), b"x" * 100_000, lambda data: name == "b.glc" and os.kill(0, 9))
"""


def test_kill_leaves_a_name_that_says_so(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
        start_new_session=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    names = sorted(p.name for p in tmp_path.iterdir())
    assert len(names) == 2
    assert names[0].startswith(".glc-")
    assert names[0].endswith(".part")
    assert names[1] == "a.glc"
