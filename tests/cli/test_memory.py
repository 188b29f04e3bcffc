"""The command line keeps freed memory, so that large pictures cost few page faults."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
MEGABYTES, ROUNDS = 48, 8
PAGE_FAULTS = f"""
import resource, sys
import numpy as np
from codec_cli.support.memory import keep_freed

if sys.argv[1] == "keep":
    print(keep_freed())
np.ones({MEGABYTES} << 20, np.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range({ROUNDS}):
    np.ones({MEGABYTES} << 20, np.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def run(word: str, **variables: str) -> list[str]:
    # numpy asks for huge pages, which would hide what torch suffers.
    environment = os.environ | {"NUMPY_MADVISE_HUGEPAGE": "0"} | variables
    done = subprocess.run(
        [sys.executable, "-c", PAGE_FAULTS, word],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.system
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_freed_memory_is_used_again():
    pages = ROUNDS * (MEGABYTES << 20) // os.sysconf("SC_PAGE_SIZE")
    (without,) = run("leave")
    kept, faults = run("keep")
    assert kept == "True"
    assert int(without) > 0.9 * pages
    assert int(faults) < 0.05 * pages


@pytest.mark.system
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_what_the_user_has_set_stays():
    kept, _ = run("keep", MALLOC_MMAP_MAX_="65536")
    assert kept == "False"


def test_other_systems_are_left_alone(monkeypatch):
    from codec_cli.support import memory

    monkeypatch.setattr(memory.sys, "platform", "darwin")
    assert memory.keep_freed() is False


def test_only_commands_that_code_pictures_ask_for_it(monkeypatch):
    from codec_cli import main

    asked = []
    monkeypatch.setattr(main.memory, "keep_freed", lambda: asked.append(sys.argv[1]))
    monkeypatch.setattr(main, "main", lambda: 0)
    for words in (["glc", "decode", "x.glc"], ["glc", "info", "x.glc"], ["glc"]):
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit):
            main.entry()
    assert asked == ["decode"]
