"""``glc`` as a process: pipes, signals, full disks, and what they leave behind."""

from __future__ import annotations

import os
import pty
import resource
import signal
import subprocess
import time

import pytest

from glc.bitstream import unpack

pytestmark = pytest.mark.system


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def test_pipes(glc_process, picture):
    data = picture("a.png").read_bytes()
    process = glc_process("encode", "-", "-q", "9", stdin=subprocess.PIPE)
    coded, err = process.communicate(data)
    assert process.returncode == 0
    assert unpack(coded).quality == 9
    assert err.startswith(b"- -> -  ")
    process = glc_process("decode", "-", "-o", "-", stdin=subprocess.PIPE)
    decoded, err = process.communicate(coded)
    assert process.returncode == 0
    assert decoded.startswith(b"\x89PNG")


def test_a_bad_file_on_a_pipe(glc_process):
    process = glc_process("encode", "-", "-o", "x.glc", stdin=subprocess.PIPE)
    out, err = process.communicate(b"no picture")
    assert process.returncode == 1
    assert (out, err.count(b"\n")) == (b"", 1)
    assert err.startswith(b"glc encode: -: ")


def test_a_reader_that_leaves_is_no_traceback(glc_process, picture, tmp_path):
    picture("a.png", width=300, height=300)
    process = glc_process("encode", "a.png", "-o", "-")
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait(20) == 1
    assert err == b""


@pytest.mark.parametrize("jobs", ["1", "3"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_leave_nothing_half_written(glc_process, picture, tmp_path, number, code, jobs):
    picture("in/a.png")
    picture("in/b.png", width=13)
    picture("in/c.png", width=13)
    process = glc_process("encode", "in", "-o", "out/", "-q", "2", "--verify", "-j", jobs)
    out = tmp_path / "out"
    parts = 1 if jobs == "1" else 2
    wait_for(lambda: (out / "a.glc").exists() and len([*out.glob(".*.part")]) == parts)
    started = time.monotonic()
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert time.monotonic() - started < 10
    assert process.returncode == code
    assert b"Traceback" not in err
    assert [p.name for p in out.iterdir()] == ["a.glc"]


def test_kill_and_run_again(glc_process, picture, tmp_path):
    picture("in/a.png")
    picture("in/b.png", width=13)
    picture("in/c.png")
    process = glc_process("encode", "in", "-o", "out/", "-q", "1")
    wait_for((tmp_path / "out/a.glc").exists)
    process.kill()
    process.wait()
    assert [p.name for p in (tmp_path / "out").glob("*.glc")] == ["a.glc"]
    process = glc_process("encode", "in", "-o", "out/", "--skip-existing")
    process.communicate()
    assert process.returncode == 0
    assert len([*(tmp_path / "out").glob("*.glc")]) == 3


def test_a_full_disk_leaves_no_file(glc_process, picture, tmp_path):
    picture("a.png", width=100, height=100)

    def limit_file_size():
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))

    process = glc_process("encode", "a.png", preexec_fn=limit_file_size)
    _, err = process.communicate()
    assert process.returncode == 1
    assert err.startswith(b"glc encode: a.png: ")
    assert err.count(b"\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_a_folder_that_cannot_be_made(glc_process, picture):
    picture("a.png")
    picture("file")
    process = glc_process("encode", "a.png", "-o", "file/out/")
    _, err = process.communicate()
    assert process.returncode == 1
    assert err.count(b"\n") == 1


def test_devices_are_written_and_not_replaced(glc_process, picture, tmp_path):
    picture("a.png")
    (tmp_path / "null").symlink_to("/dev/null")
    process = glc_process("encode", "a.png", "-o", "null")
    process.communicate()
    assert process.returncode == 0
    assert (tmp_path / "null").is_symlink()


def test_a_progress_bar_only_on_a_terminal(glc_process, picture):
    for name in ("a.png", "b.png"):
        picture(name)
    process = glc_process("encode", "a.png", "b.png")
    _, err = process.communicate()
    assert err.count(b"\n") == 2
    assert b"\x1b" not in err


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_the_bar_goes_to_the_terminal_only(glc_process, picture, arguments):
    for name in ("a.png", "b.png"):
        picture(name)
    ours, theirs = pty.openpty()
    process = glc_process("encode", "a.png", "b.png", *arguments, stderr=theirs)
    os.close(theirs)
    out = process.stdout.read()
    assert process.wait(20) == 0
    shown = os.read(ours, 1 << 16)
    os.close(ours)
    assert b"\x1b" in shown
    assert (b"a.png -> a.glc" in shown) == (not arguments)
    assert out.count(b"\n") == 2 * len(arguments)
