"""The tasks of a contributor, with nothing but Python: ``python tasks.py`` lists them.

    python tasks.py setup                 # once: .venv with all that the tests need
    python tasks.py test tests/bitstream  # arguments after a task's name go to it
    python tasks.py check                 # what has to pass before a change goes in

Each runs with the Python that runs this file, or with that of ``.venv`` if it is there and no
other environment is active. `.ci/run` and the workflow of a public host call the same tasks.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent
PARALLEL = ("-n", "2", "--dist", "loadfile")
"""A process per core, and the tests of a file in one, for they share what is dear to make."""
EVERYWHERE = "not gpu and not slow and not network"
"""What pyproject.toml chooses; a second -m takes its place."""
_BINARIES = "Scripts" if os.name == "nt" else "bin"


def setup(*extras: str) -> None:
    """make .venv and install glc into it, editable, with the extras of the tests"""
    environment = ROOT / ".venv"
    if not environment.exists():
        venv.create(environment, with_pip=True)
    wanted = ",".join(extras) or test_extras()
    _run([_of(environment, "python"), "-m", "pip", "install", "-e", f".[{wanted}]"])


def test(*arguments: str) -> None:
    """run pytest: the fast tests, which start no program and train nothing, or those given"""
    marks = [] if arguments else [*PARALLEL, "-m", f"{EVERYWHERE} and not system"]
    _run([_python(), "-m", "pytest", *marks, *arguments])


def system(*arguments: str) -> None:
    """run pytest: the tests that `test` leaves out"""
    _run([_python(), "-m", "pytest", *PARALLEL, "-m", f"{EVERYWHERE} and system", *arguments])


def lint(*paths: str) -> None:
    """ruff: rules and layout"""
    _run([_python(), "-m", "ruff", "check", *(paths or ["."])])
    _run([_python(), "-m", "ruff", "format", "--check", *(paths or ["."])])


def types(*arguments: str) -> None:
    """mypy, strict, of the library and the command"""
    _run([_python(), "-m", "mypy", *arguments])


def docs(*arguments: str) -> None:
    """make the API reference from the docstrings, in build/docs; a warning is an error"""
    _run([_python(), "docs/reference.py", *(arguments or ["build/docs"])])


def wheel(*_: str) -> None:
    """build the wheel, install it alone into a new environment, encode and decode with it"""
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder)
        _run([_python(), "-m", "pip", "wheel", "--no-deps", "-w", folder, "."])
        (built,) = where.glob("*.whl")
        venv.create(where / "venv", with_pip=True)
        _run([_of(where / "venv", "python"), "-m", "pip", "install", str(built)])
        glc, photo = _of(where / "venv", "glc"), str(ROOT / "examples" / "coffee.png")
        # From elsewhere, so that nothing of this checkout is imported.
        _run([glc, "encode", photo, "-o", "photo.glc"], where)
        _run([glc, "verify", "photo.glc"], where)
        _run([glc, "decode", "photo.glc", "-o", "photo.png"], where)


def check(*_: str) -> None:
    """lint, types, docs, test, system"""
    for task in (lint, types, docs, test, system):
        task()


TASKS: dict[str, Callable[..., None]] = {
    task.__name__: task for task in (setup, test, system, lint, types, docs, wheel, check)
}


def test_extras() -> str:
    """Return the extras of the README's test command."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"^<!-- tests -->.*?'\.\[([a-z,]+)\]'", text, re.DOTALL | re.MULTILINE)
    if found is None:
        raise SystemExit("README.md has no test command below its mark")
    return found[1]


def _python() -> str:
    own = ROOT / ".venv"
    return _of(own, "python") if sys.prefix == sys.base_prefix and own.exists() else sys.executable


def _of(environment: Path, program: str) -> str:
    return str(environment / _BINARIES / program)


def _run(command: Sequence[str], where: Path = ROOT) -> None:
    print("+", *command, flush=True)
    code = subprocess.run(command, cwd=where, check=False).returncode
    if code:
        raise SystemExit(code)


def main(arguments: Sequence[str]) -> int:
    """Run one task; without a name list them. Returns the exit code of what failed."""
    name, *rest = arguments or [""]
    if name not in TASKS:
        print("usage: python tasks.py TASK [arguments]\n")
        print("\n".join(f"  {name:<6} {task.__doc__}" for name, task in TASKS.items()))
        return 0 if name in ("", "-h", "--help") else 2
    TASKS[name](*rest)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
