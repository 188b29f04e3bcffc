"""The task runner says what it can do, and takes what the README says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

import tasks

ROOT = Path(__file__).parent.parent


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tasks.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.system
def test_without_a_task_it_lists_them():
    done = run()
    assert done.returncode == 0
    listed = [line.split()[0] for line in done.stdout.splitlines()[2:]]
    assert {"setup", "test", "system", "lint", "types", "docs", "wheel", "check"} <= set(listed)


def test_both_halves_of_the_tests_are_what_is_run_by_default():
    """Nothing falls between `test` and `system`."""
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f"-m '{tasks.EVERYWHERE}'" in settings
    told: list[list[str]] = []
    with mock.patch.object(tasks, "_run", lambda command: told.append(list(command))):
        tasks.test()
        tasks.system()
    assert [command[-1] for command in told] == [
        f"{tasks.EVERYWHERE} and not system",
        f"{tasks.EVERYWHERE} and system",
    ]
    # What the README says, and continuous integration runs, has both.
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (line,) = [line for line in readme.splitlines() if "python -m pytest" in line]
    assert " -m " not in line.partition("python -m pytest")[2]


@pytest.mark.system
def test_an_unknown_task_is_wrong_usage():
    assert run("nonsense").returncode == 2


@pytest.mark.system
def test_the_code_of_what_failed_is_its_own(tmp_path):
    (tmp_path / "test_it.py").write_text("def test_it():\n    raise ValueError\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    assert run("test", "-c", str(tmp_path / "pytest.ini"), str(tmp_path)).returncode == 1


@pytest.mark.system
def test_setup_installs_the_extras_of_the_test_command():
    code = "import tasks; print(tasks.test_extras())"
    command = [sys.executable, "-c", code]
    extras = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"pip install -e '.[{extras.strip()}]' && python -m pytest" in readme


def test_continuous_integration_calls_the_same_tasks():
    script = (ROOT / ".ci" / "run").read_text()
    assert "python tasks.py lint" in script
    assert "python tasks.py types" in script
