"""Disks that fill, folders that vanish, processes that die: what is left, and running again."""

from __future__ import annotations

import ctypes
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

CAP_DAC_OVERRIDE = 1
PR_CAPBSET_DROP = 24
COUNT = 40
FULL = b"No space left on device\n"


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if not p.name.startswith(".")}


@pytest.fixture
def album(glc, picture, tmp_path):
    """Return the files that undisturbed runs make of a folder of pictures: coded and decoded."""
    for k in range(COUNT):
        picture(f"in/{k:02}.png", width=20 + k, height=30)
    assert glc("encode", "in", "-o", "coded/", "--quiet").code == 0
    assert glc("decode", "coded", "-o", "decoded/", "--quiet").code == 0
    return contents(tmp_path / "coded"), contents(tmp_path / "decoded")


def check_interrupted(out: Path, expected: dict[str, bytes]) -> int:
    """Compare what an ended run left; returns how many files it finished."""
    found = contents(out) if out.is_dir() else {}
    assert all(expected[name] == data for name, data in found.items())
    return len(found)


@pytest.mark.system
@pytest.mark.parametrize(
    ("command", "jobs", "kills"),
    [
        ("encode", "1", 2),
        ("decode", "4", 2),
        *(
            pytest.param(command, jobs, 25, marks=pytest.mark.slow)
            for command in ("encode", "decode")
            for jobs in ("1", "4")
        ),
    ],
)
def test_killed_runs_are_completed(glc_process, glc, album, tmp_path, command, jobs, kills):
    source = {"encode": "in", "decode": "coded"}[command]
    expected = album[command == "decode"]
    arguments = (command, source, "-o", "out/", "--skip-existing", "-j", jobs)
    generator = random.Random(f"{command} {jobs}")
    finished = 0
    for _ in range(kills):
        process = glc_process(*arguments)
        # Sooner or later after a few files; those that exist are reported first.
        for _ in range(finished + generator.randrange(1, 2 + COUNT // kills)):
            process.stderr.readline()
        time.sleep(generator.random() * 0.01)
        process.kill()
        process.wait()
        before, finished = finished, check_interrupted(tmp_path / "out", expected)
        assert finished >= before
    result = glc(*arguments, "--json")
    assert result.code == 0
    records = [json.loads(line) for line in result.out.splitlines()]
    assert sum("skipped" in record for record in records) == finished
    assert contents(tmp_path / "out") == expected


@pytest.mark.system
@pytest.mark.slow
def test_a_killed_run_with_real_networks(make_picture, micro_path, tmp_path):
    """The files that are made afterwards have the bytes of an undisturbed run."""
    (tmp_path / "in").mkdir()
    for seed in range(30):
        pixels = make_picture(130 + seed, 200, seed)
        Image.fromarray(pixels).save(tmp_path / "in" / f"{seed:02}.png")

    def start(command: str, source: str, out: str) -> subprocess.Popen:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "codec_cli", command, source, "-o", out),
                *("--skip-existing", "--device", "cpu", "--model", micro_path),
            ],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            stderr=subprocess.PIPE,
        )

    for command, source in (("encode", "in"), ("decode", "encode")):
        with start(command, source, f"{command}/") as undisturbed:
            undisturbed.communicate()
        expected = contents(tmp_path / command)
        assert len(expected) == 30
        killed = f"{command}-killed"
        with start(command, source, f"{killed}/") as process:
            for _ in range(9):
                process.stderr.readline()
            process.kill()
        assert 9 <= check_interrupted(tmp_path / killed, expected) < 30
        with start(command, source, f"{killed}/") as again:
            assert b"skipped: exists" in again.communicate()[1]
        assert again.returncode == 0
        assert contents(tmp_path / killed) == expected


@pytest.mark.system
@pytest.mark.parametrize("command", ["encode", "decode"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_a_run_cleanly(glc_process, glc, album, tmp_path, command, number, code):
    source = {"encode": "in", "decode": "coded"}[command]
    expected = album[command == "decode"]
    process = glc_process(command, source, "-o", "out/", "-j", "2")
    process.stderr.readline()
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert b"Traceback" not in err
    assert err.splitlines()[-1] in (b"glc: interrupted", b"glc: terminated")
    assert 0 < check_interrupted(tmp_path / "out", expected) < COUNT
    assert [p.name for p in (tmp_path / "out").iterdir() if p.name.startswith(".")] == []
    assert glc(command, source, "-o", "out/", "--skip-existing").code == 0
    assert contents(tmp_path / "out") == expected


@pytest.mark.parametrize("command", ["encode", "decode"])
def test_rests_of_a_crash_are_not_taken_for_done(glc, album, tmp_path, command):
    """A copy that was cut short, a power cut on a disk that keeps names before content."""
    source = {"encode": "in", "decode": "coded"}[command]
    expected = album[command == "decode"]
    out = tmp_path / "out"
    out.mkdir()
    names = sorted(expected)
    rests = [b"", expected[names[1]][:-1], expected[names[2]][:5], bytes(500)]
    for name, rest in zip(names, rests, strict=False):
        (out / name).write_bytes(rest)
    (out / names[4]).write_bytes(expected[names[4]])
    result = glc(command, source, "-o", "out", "--skip-existing", "--json")
    assert result.code == 0
    records = [json.loads(line) for line in result.out.splitlines()]
    assert [r["output"] for r in records if "skipped" in r] == [f"out/{names[4]}"]
    assert result.err.count("is empty or cut off, and is made again") == len(rests)
    assert contents(out) == expected
    # Without the option they are refused as every file that is there.
    (out / names[0]).write_bytes(b"")
    assert glc(command, source, "-o", "out").code == 1
    assert (out / names[0]).read_bytes() == b""


def test_a_file_that_is_no_rest_is_neither_done_nor_replaced(glc, picture, tmp_path):
    picture("a.png")
    (tmp_path / "a.glc").write_bytes(b"precious")
    result = glc("encode", "a.png", "--skip-existing")
    assert result.code == 1
    assert result.err.startswith("glc encode: a.png: a.glc exists, but: ")
    assert (tmp_path / "a.glc").read_bytes() == b"precious"


@pytest.mark.parametrize("command", ["encode", "decode", "verify"])
def test_an_input_that_vanishes_fails_alone(glc, fake_codec, album, monkeypatch, command):
    source, suffix = {"encode": ("in", "png")}.get(command, ("coded", "glc"))
    original = getattr(fake_codec, command)

    def vanishing(self, *arguments, **options):
        Path(source, f"07.{suffix}").unlink(missing_ok=True)
        return original(self, *arguments, **options)

    monkeypatch.setattr(fake_codec, command, vanishing)
    output = [] if command == "verify" else ["-o", "out/"]
    result = glc(command, source, *output, "--json")
    assert result.code == 1
    failed = [r for r in map(json.loads, result.out.splitlines()) if "error" in r]
    assert [r["input"] for r in failed] == [f"{source}/07.{suffix}"]
    assert failed[0]["error"] == "no such file"
    assert command == "verify" or len(contents(Path("out"))) == COUNT - 1


def test_an_output_folder_that_vanishes_is_made_again(glc, fake_codec, picture, monkeypatch):
    for name in ("in/a.png", "in/b.png"):
        picture(name)
    original = fake_codec.encode

    def vanishing(self, *arguments, **options):
        shutil.rmtree("out", ignore_errors=True)
        return original(self, *arguments, **options)

    monkeypatch.setattr(fake_codec, "encode", vanishing)
    assert glc("encode", "in", "-o", "out/").code == 0
    assert [*contents(Path("out"))] == ["b.glc"]


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 16 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except OSError as error:
        pytest.skip(f"cannot mount a small disk: {error}")
    if done.returncode:
        pytest.skip(f"cannot mount a small disk: {done.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.system
@pytest.mark.parametrize("command", ["encode", "decode"])
def test_a_disk_that_fills_up(glc, album, small_disk, command):
    source = {"encode": "in", "decode": "coded"}[command]
    expected = album[command == "decode"]
    result = glc(command, source, "-o", "disk")
    assert result.code == 1
    found = contents(small_disk)
    assert 0 < len(found) < COUNT
    assert all(expected[name] == data for name, data in found.items())
    assert len([*small_disk.iterdir()]) == len(found)
    lines = [line for line in result.err_lines if line.startswith(f"glc {command}: ")]
    assert len(lines) == COUNT - len(found)
    assert all("No space left on device" in line for line in lines)
    # After making room, the rest.
    subprocess.run(["mount", "-o", "remount,size=10m", str(small_disk)], check=True)
    assert glc(command, source, "-o", "disk", "--skip-existing").code == 0
    assert contents(small_disk) == expected


def without_privileges() -> None:
    """Make the process that is about to start obey the permissions of files, even as root."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)


@pytest.mark.system
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_a_folder_that_is_read_only(glc_process, picture, tmp_path):
    picture("a.png")
    out = tmp_path / "out"
    out.mkdir(mode=0o555)
    try:
        probe = subprocess.run(["touch", out / "x"], preexec_fn=without_privileges, check=False)
        if probe.returncode == 0:
            pytest.skip("privileges of this user cannot be dropped")
        process = glc_process("encode", "a.png", "-o", "out", preexec_fn=without_privileges)
        _, err = process.communicate()
        assert process.returncode == 1
        assert err == b"glc encode: a.png: out/a.glc cannot be written: Permission denied\n"
        assert [*out.iterdir()] == []
    finally:
        out.chmod(0o755)


@pytest.mark.system
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["info", "a.glc"], b"glc info: standard output: " + FULL),
        (
            ["decode", "a.glc", "-o", "-"],
            b"glc decode: a.glc: standard output cannot be written: " + FULL,
        ),
        (
            ["decode", "a.glc", "-o", "/dev/full"],
            b"glc decode: a.glc: /dev/full cannot be written: " + FULL,
        ),
    ],
)
def test_a_standard_output_that_is_full(glc, glc_process, picture, arguments, message):
    picture("a.png", width=100, height=100)
    assert glc("encode", "a.png").code == 0
    with Path("/dev/full").open("wb") as full:
        process = glc_process(*arguments, stdout=full)
        err = process.stderr.read()
    assert process.wait(60) == 1
    assert err == message


@pytest.mark.system
@pytest.mark.parametrize(
    ("descriptor", "arguments", "code", "lines"),
    [
        (0, ["encode", "-"], 1, 1),
        (1, ["decode", "a.glc", "-o", "-"], 2, 1),
        (1, ["info", "a.glc"], 0, 0),
        (2, ["decode", "a.glc", "-o", "b.png"], 0, 0),
    ],
)
def test_a_standard_stream_that_is_closed(
    glc, glc_process, picture, descriptor, arguments, code, lines
):
    picture("a.png")
    assert glc("encode", "a.png").code == 0
    process = glc_process(*arguments, preexec_fn=lambda: os.close(descriptor))
    out, err = process.communicate()
    assert process.returncode == code
    # Least of all does a message end up in the picture on standard output.
    assert out == b""
    assert err.count(b"\n") == lines
    assert b"Traceback" not in err
