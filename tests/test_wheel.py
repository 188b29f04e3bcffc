"""The wheel in an environment without torch: what a user installs encodes, verifies and decodes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
from collections.abc import Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
BINARIES = "Scripts" if os.name == "nt" else "bin"

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(find_spec("hatchling") is None, reason="hatchling, which builds, is absent"),
    pytest.mark.skipif(find_spec("pip") is None, reason="pip is absent"),
    pytest.mark.skipif(os.name == "nt", reason="links need a privilege there"),
]


def run(command: Sequence[str | Path], where: Path) -> str:
    """Run a program outside of this checkout, and return what it printed."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "GLC_", "PIP_"))}
    done = subprocess.run(
        command, cwd=where, env=kept, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def required(names: Sequence[str]) -> set[str]:
    """Return distributions and all that they need without an extra, as far as it is installed."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = re.split(r"[^\w.-]", waiting.pop(), maxsplit=1)[0]
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            # For another Python, or another system.
            continue
        if name not in found:
            found.add(name)
            waiting += [need for need in needs if "extra ==" not in need]
    return found


def link(distribution: str, site: Path) -> None:
    """Put what a distribution has at the top of site-packages into another one, as links."""
    tops = {Path(file).parts[0] for file in metadata.files(distribution) or ()} - {".."}
    for top in tops - {"__pycache__"}:
        source = Path(str(metadata.distribution(distribution).locate_file(top)))
        if source.exists() and not (site / top).exists():
            (site / top).symlink_to(source, target_is_directory=source.is_dir())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel"]
    offline = ["--no-deps", "--no-index", "--no-build-isolation"]
    run([*pip, *offline, "--wheel-dir", folder, ROOT], folder)
    (built,) = folder.glob("glc_codec-*.whl")
    return built


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment with the wheel and what it needs."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    python = folder / BINARIES / "python"
    print_site = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(run([python, "-c", print_site], folder).strip())
    with ZipFile(wheel) as archive:
        (text,) = (archive.read(n) for n in archive.namelist() if n.endswith("/METADATA"))
    needs = re.findall(r"^Requires-Dist: ([^;\n]+)$", text.decode(), re.MULTILINE)
    assert needs
    for name in required(needs):
        link(name, site)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python]
    run([*pip, "install", "--no-deps", "--no-index", wheel], folder)
    return folder / BINARIES


def test_what_is_installed_codes_without_torch(programs: Path, tmp_path: Path) -> None:
    imported = run(
        [programs / "python", "-c", "import glc; print(glc.__file__); glc.Codec"], tmp_path
    )
    assert str(ROOT) not in imported
    absent = "import importlib.util as u; print([n for n in ('torch', 'lpips') if u.find_spec(n)])"
    assert run([programs / "python", "-c", absent], tmp_path).strip() == "[]"
    photo = ROOT / "examples" / "coffee.png"
    run([programs / "glc", "encode", photo, "-o", "photo.glc"], tmp_path)
    run([programs / "glc", "verify", "photo.glc"], tmp_path)
    run([programs / "glc", "decode", "photo.glc", "-o", "photo.png"], tmp_path)
    with Image.open(photo) as original, Image.open(tmp_path / "photo.png") as decoded:
        assert decoded.size == original.size
    assert (tmp_path / "photo.glc").stat().st_size < 10_000


def test_the_wheel_has_the_weights_and_no_experiments(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "glc/_weights/base.safetensors" in names
    assert "glc/_web/index.html" in names
    assert not [n for n in names if n.startswith(("eval/research/", "tests/"))]
    assert not [n for n in names if "__pycache__" in n]
