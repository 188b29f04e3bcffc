"""How a result gets its name: all of it, or not at all."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from codec_cli.support.atomic_output import Outputs


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


class TestWhatIsReplaced:
    """``-f`` replaces the content of a file, and nothing else of it."""

    @pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o444, 0o755])
    def test_permissions_stay(self, tmp_path, mode):
        target = tmp_path / "a.glc"
        target.write_bytes(b"old")
        target.chmod(mode)
        with Outputs(force=True) as outputs:
            outputs.write(target, b"new")
        assert target.read_bytes() == b"new"
        assert stat.S_IMODE(target.stat().st_mode) == mode

    def test_new_files_have_those_of_the_user(self, tmp_path):
        before = os.umask(0o027)
        try:
            with Outputs(force=True) as outputs:
                outputs.write(tmp_path / "a.glc", b"new")
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "a.glc").stat().st_mode) == 0o640

    def test_a_secret_is_one_while_it_is_written(self, tmp_path, monkeypatch):
        target = tmp_path / "a.glc"
        target.write_bytes(b"old")
        target.chmod(0o600)
        seen = []
        monkeypatch.setattr(os, "fsync", lambda fd: seen.append(os.fstat(fd).st_mode & 0o777))
        original = Path.chmod

        def chmod(path, mode):
            seen.append(path.stat().st_mode & 0o777)
            original(path, mode)

        monkeypatch.setattr(Path, "chmod", chmod)
        with Outputs(force=True) as outputs:
            outputs.write(target, b"new")
        assert seen == [0o600, 0o600]

    def test_the_owner_stays_where_that_is_allowed(self, tmp_path, monkeypatch):
        target = tmp_path / "a.glc"
        target.write_bytes(b"old")
        asked = []
        monkeypatch.setattr(os, "chown", lambda path, *owner: asked.append(owner))
        with Outputs(force=True) as outputs:
            outputs.write(target, b"new")
        status = target.stat()
        assert asked == [(status.st_uid, status.st_gid)]

        def refuse(path, *owner):
            raise PermissionError

        monkeypatch.setattr(os, "chown", refuse)
        with Outputs(force=True) as outputs:
            outputs.write(target, b"newer")
        assert target.read_bytes() == b"newer"

    def test_a_link_stays_a_link(self, tmp_path):
        (tmp_path / "elsewhere").mkdir()
        place, link = tmp_path / "elsewhere/real.glc", tmp_path / "a.glc"
        place.write_bytes(b"old")
        place.chmod(0o600)
        link.symlink_to("elsewhere/real.glc")
        (tmp_path / "b.glc").symlink_to("a.glc")
        for name in ("a.glc", "b.glc"):
            with Outputs(force=True) as outputs:
                outputs.write(tmp_path / name, name.encode())
            assert place.read_bytes() == name.encode()
        assert link.is_symlink()
        assert (tmp_path / "b.glc").is_symlink()
        assert stat.S_IMODE(place.stat().st_mode) == 0o600
        assert [p.name for p in place.parent.iterdir()] == ["real.glc"]

    def test_a_link_that_leads_nowhere_is_no_free_name(self, tmp_path):
        link = tmp_path / "a.glc"
        link.symlink_to("nowhere.glc")
        with Outputs(force=False) as outputs, pytest.raises(FileExistsError, match="-f replaces"):
            outputs.write(link, b"new")
        assert link.is_symlink()
        assert not link.exists()
        with Outputs(force=True) as outputs:
            outputs.write(link, b"new")
        assert link.is_symlink()
        assert (tmp_path / "nowhere.glc").read_bytes() == b"new"

    @pytest.mark.parametrize(
        ("place", "message"),
        [("a.glc", "leads back to itself"), ("gone/b.glc", "whose folder does not exist")],
    )
    def test_a_link_to_no_place_is_an_error(self, tmp_path, place, message):
        link = tmp_path / "a.glc"
        link.symlink_to(place)
        with Outputs(force=True) as outputs, pytest.raises(OSError, match=message):
            outputs.write(link, b"new")
        assert [p.name for p in tmp_path.iterdir()] == ["a.glc"]


@pytest.mark.parametrize("call", ["open", "fsync", "replace", "mkdir"])
def test_errors_speak_of_the_target(tmp_path, monkeypatch, call):
    def fail(*arguments, **options):
        raise OSError(errno.EACCES, "Permission denied", "/somewhere/.glc-0.part")

    owner = Path if call in ("replace", "mkdir") else os
    monkeypatch.setattr(owner, call, fail)
    target = tmp_path / "a.glc"
    with Outputs(force=True) as outputs, pytest.raises(OSError, match="denied") as caught:
        outputs.write(target, b"new")
    assert str(caught.value) == f"{target} cannot be written: Permission denied"


PROGRAM = """
import os, sys
from pathlib import Path
from codec_cli.support.atomic_output import Outputs
with Outputs(force=True) as outputs:
    for name in ("a.glc", "b.glc"):
        outputs.write(Path(name), b"x" * 100_000, lambda data: name == "b.glc" and os.kill(0, 9))
"""


@pytest.mark.system
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
