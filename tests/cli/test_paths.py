"""Which files arguments mean, and where results go."""

from __future__ import annotations

from pathlib import Path

import pytest

from codec_cli.exits import UsageError
from codec_cli.paths import expand, plan

SUFFIXES = frozenset((".png", ".jpg"))


@pytest.fixture(autouse=True)
def tree(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (
        *("in/b.PNG", "in/a.jpg", "in/.hidden.png", "in/notes.txt"),
        *("in/deep/c.png", "in/deep/er/d.png", "empty/readme.txt", "odd[1].png", "plain"),
    ):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


def names(arguments, recursive=False):
    return [source.name for source in expand(arguments, SUFFIXES, recursive).sources]


def targets(arguments, output, recursive=False):
    jobs = plan(expand(arguments, SUFFIXES, recursive), output, ".glc", SUFFIXES)
    return [job.target_name for job in jobs]


def test_folder():
    assert names(["in"]) == ["in/a.jpg", "in/b.PNG"]
    assert names(["in"], recursive=True) == [
        *("in/a.jpg", "in/b.PNG", "in/deep/c.png", "in/deep/er/d.png")
    ]


def test_files_named_by_themselves_may_have_any_name():
    assert names(["plain", "in/notes.txt", "missing.png"]) == [
        *("plain", "in/notes.txt", "missing.png")
    ]


def test_patterns():
    assert names(["in/*.jpg"]) == ["in/a.jpg"]
    assert names(["in/**/*.png"]) == ["in/deep/c.png", "in/deep/er/d.png"]
    assert names(["odd[1].png"]) == ["odd[1].png"]


def test_a_file_named_twice_is_taken_once():
    assert names(["in/a.jpg", "in/a.jpg"]) == ["in/a.jpg"]


@pytest.mark.parametrize("argument", ["empty", "*.nothing"])
def test_arguments_without_files_are_failures(argument):
    expansion = expand([argument, "plain"], SUFFIXES, False)
    assert [name for name, _ in expansion.failures] == [argument]
    assert len(expansion.sources) == 1


def test_links_in_a_circle_end():
    Path("in/deep/up").symlink_to("..")
    assert len(names(["in"], recursive=True)) == 4


def test_outputs_beside():
    assert targets(["in/a.jpg", "plain", "-"], None) == ["in/a.glc", "plain.glc", "-"]


def test_outputs_keep_the_tree():
    assert targets(["in"], "out", recursive=True) == [
        *("out/a.glc", "out/b.glc", "out/deep/c.glc", "out/deep/er/d.glc")
    ]
    assert targets(["in/**/*.png"], "out") == ["out/deep/c.glc", "out/deep/er/d.glc"]


def test_output_file_and_folder():
    assert targets(["in/a.jpg"], "x.bin") == ["x.bin"]
    assert targets(["in/a.jpg"], "new/") == ["new/a.glc"]
    assert targets(["in/a.jpg"], "empty") == ["empty/a.glc"]
    assert targets(["in/a.jpg"], "-") == ["-"]
    assert targets(["-"], "empty") == ["empty/stdin.glc"]


@pytest.mark.parametrize("output", ["-", "plain", "x.glc"])
@pytest.mark.parametrize("arguments", [["in"], ["in/a.jpg", "plain"], ["in/*.jpg"]])
def test_several_inputs_need_a_folder(arguments, output):
    with pytest.raises(UsageError, match="-o"):
        targets(arguments, output)
