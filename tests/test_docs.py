"""What the documentation shows is run, and what it links to is there."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from codec_cli.main import main

ROOT = Path(__file__).parent.parent
RUN = ("README.md", "docs/cli.md", "docs/python.md")
"""Pages whose blocks of Python and lines of ``glc`` are run, in order, in one folder."""
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "examples/*.md", "weights/*.md", "glc/**/*.md")
    for path in ROOT.glob(pattern)
)


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def commands(page: str) -> Iterator[str]:
    """Yield the lines that begin with ``glc``, without their comments."""
    for block in blocks(page, "sh"):
        for line in block.splitlines():
            if line.startswith("glc "):
                yield line.partition("  # ")[0].partition(" # ")[0].strip()


@pytest.fixture
def folder(tmp_path, monkeypatch, make_picture):
    """A folder with the files that the pages speak of; what they write goes here too."""
    (tmp_path / "pictures").mkdir()
    for number, name in enumerate(("photo", "a", "b", "pictures/one", "pictures/two")):
        pixels = make_picture(64, 96, number)
        Image.fromarray(np.asarray(pixels)).save(tmp_path / f"{name}.jpg", quality=95)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", RUN)
def test_the_python_of_a_page_runs(page, folder):
    found = blocks(page, "python")
    namespace: dict[str, object] = {}
    for block in found:
        exec(compile(block, page, "exec"), namespace)
    assert page == "docs/cli.md" or found


@pytest.mark.system
@pytest.mark.parametrize("page", RUN)
def test_the_commands_of_a_page_run(page, folder, capfd):
    found = list(commands(page))
    for command in found:
        if any(sign in command for sign in "|<>"):
            if shutil.which("sh") is None:
                continue
            python = f"{shlex.quote(sys.executable)} -m codec_cli"
            shell = f'glc() {{ {python} "$@"; }}\n{command}'
            done = subprocess.run(["sh", "-c", shell], cwd=folder, capture_output=True, check=False)
            assert done.returncode == 0, (command, done.stderr)
        else:
            code = main(shlex.split(command)[1:])
            assert code == 0, (command, capfd.readouterr().err)
    assert page == "docs/python.md" or found


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", text)
    local = [link for link in links if not re.match(r"[a-z]+:", link)]
    assert [link for link in local if not ((ROOT / page).parent / link).exists()] == []


def anchors(page: Path) -> set[str]:
    """Return what a host calls the headings of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    headings = (
        re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", h) for h in re.findall(r"(?m)^#+ (.*)$", text)
    )
    return {re.sub(r"[^\w\- ]", "", h.strip().lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_headings(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)\s#:]*)#([^)\s]+)\)", text)
    places = [((ROOT / page).parent / path if path else ROOT / page, part) for path, part in links]
    assert [part for place, part in places if part not in anchors(place)] == []


def test_decisions_are_numbered_and_in_the_index():
    text = (ROOT / "docs/decisions.md").read_text(encoding="utf-8")
    titles = re.findall(r"(?m)^## (.*)$", text)
    assert [title.partition(".")[0] for title in titles] == [
        str(number + 1) for number in range(len(titles))
    ]
    index = re.findall(r"\[(\d+\..*?)\]\(#", text.partition("\n## ")[0])
    assert sorted(index) == sorted(titles)


def test_what_the_code_cites_is_in_the_repository():
    cited = re.compile(r"\b(?:docs|glc|tests|weights)/[\w/.-]+\.md\b|\b[A-Z_]{4,}\.md\b|DESIGN\b")
    wrong = []
    for folder in ("glc", "codec_cli", "eval", "examples", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            for name in cited.findall(path.read_text(encoding="utf-8")):
                # FORMAT.md of the archive stands beside the modules that cite it.
                places = (ROOT, path.parent, ROOT / "glc" / "archive")
                if not any((place / name).exists() for place in places):
                    wrong.append((path.relative_to(ROOT).as_posix(), name))
    own = ("tests/test_docs.py", "tests/test_docstrings.py")  # which look for such names
    assert [item for item in wrong if item[0] not in own] == []
