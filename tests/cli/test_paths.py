"""Which files arguments mean, and where results go."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from codec_cli.support.exit_codes import UsageError
from codec_cli.support.paths import expand, plan

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


class TestWhatExistsIsItself:
    """A name that is there is no pattern, whatever letters it has; so is each folder on the way."""

    @pytest.fixture(autouse=True)
    def both(self):
        for name in ("d[1]/x.png", "d1/y.png", "deep/d[1]/z.png", "deep/d1/w.png", "e/d1/v.png"):
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).touch()
        Path("*.png").touch()

    @pytest.mark.parametrize(
        ("pattern", "expected"),
        [
            ("d[1]", ["d[1]/x.png"]),
            ("d[1]/*.png", ["d[1]/x.png"]),
            ("d[1]/[xy].png", ["d[1]/x.png"]),
            ("d?/*.png", ["d1/y.png"]),
            ("deep/d[1]/*.png", ["deep/d[1]/z.png"]),
            ("*/d[1]/*.png", ["deep/d[1]/z.png", "e/d1/v.png"]),
            ("*.png", ["*.png"]),
            ("[o]dd*.png", ["odd[1].png"]),
        ],
    )
    def test_each_part_of_a_name(self, pattern, expected):
        assert names([pattern]) == expected
        absolute = [str(Path(name).absolute()) for name in expected]
        assert names([str(Path.cwd() / pattern)]) == absolute

    def test_outputs_lie_below_the_folder_that_was_named(self):
        assert targets(["d[1]/*.png"], "out") == ["out/x.glc"]
        assert targets(["deep/d[1]/*.png"], "out") == ["out/z.glc"]
        assert targets(["deep/d?/*.png"], "out") == ["out/d1/w.glc"]


class TestLinksAreFollowed:
    def test_to_folders_and_files(self):
        Path("other").mkdir()
        Path("other/e.png").touch()
        Path("in/linked").symlink_to("../other")
        Path("in/f.png").symlink_to("../plain")
        found = names(["in"], recursive=True)
        assert {"in/linked/e.png", "in/f.png"} <= set(found)
        assert names(["in/**/*.png"]) == sorted(n for n in found if n.endswith(".png"))
        assert "in/linked/e.png" in names(["in/*/*.png"])
        assert names(["in/linked"]) == ["in/linked/e.png"]

    @pytest.mark.parametrize("place", ["..", "../..", ".", "../../in/deep"])
    @pytest.mark.parametrize("argument", ["in", "in/**/*.png"])
    def test_a_circle_ends_and_is_said(self, argument, place):
        expected = names([argument], recursive=True)
        Path("in/deep/up").symlink_to(place)
        expansion = expand([argument], SUFFIXES, True)
        assert expansion.failures == ()
        assert any("leads back to a folder above it" in text for _, text in expansion.notices)
        found = [source.name for source in expansion.sources]
        assert [name for name in found if "/up/" not in name] == expected
        assert len(found) < 20

    def test_two_that_lead_to_each_other(self):
        for one, other in (("p", "q"), ("q", "p")):
            Path(one).mkdir()
            Path(one, "x.png").touch()
            Path(one, "to").symlink_to(f"../{other}")
        expansion = expand(["p"], SUFFIXES, True)
        assert [s.name for s in expansion.sources] == ["p/x.png", "p/to/x.png"]
        assert [name for name, _ in expansion.notices] == ["p/to/to"]

    def test_one_that_leads_nowhere_stays_to_be_reported(self):
        Path("in/gone.png").symlink_to("nowhere")
        assert "in/gone.png" in names(["in"])


@pytest.mark.parametrize(
    ("argument", "closed", "methods"),
    [
        # Of another user, mode 700: nothing in it can be listed.
        ("in", "in/deep/er", ["iterdir"]),
        ("in/**/*.png", "in/deep/er", ["iterdir"]),
        ("in/*/*.png", "in/deep", ["iterdir"]),
        # Mode 744: names can be listed, and nothing can be looked at.
        ("in", "in/deep/er", ["stat", "lstat", "is_dir"]),
        ("in/**/*.png", "in/deep/er", ["stat", "lstat", "is_dir"]),
        ("in/*/*.png", "in/deep", ["stat", "lstat", "is_dir"]),
        ("*/deep/er/d.png", "in/deep/er", ["stat", "lstat", "is_dir"]),
    ],
)
def test_a_folder_without_permission_is_a_failure_among_others(
    monkeypatch, argument, closed, methods
):
    """As root sees no permissions, the calls that would fail are made to."""

    def refusing(method):
        original = getattr(Path, method)

        def wrapped(self, *arguments, **options):
            if str(self if method == "iterdir" else self.parent) == closed:
                raise PermissionError(13, "Permission denied", str(self))
            return original(self, *arguments, **options)

        return wrapped

    Path("in/open").mkdir()
    Path("in/open/o.png").touch()
    for method in methods:
        monkeypatch.setattr(Path, method, refusing(method))
    expansion = expand([argument, "plain"], SUFFIXES, True)
    assert (closed, "this folder cannot be read: Permission denied") in expansion.failures
    assert len(expansion.failures) == 1
    found = [source.name for source in expansion.sources]
    assert "plain" in found
    assert ("in/open/o.png" in found) == (argument != "*/deep/er/d.png")
    assert not any(name.startswith(f"{closed}/") for name in found)


def test_pipes_in_a_folder_are_left_out_and_said():
    os.mkfifo("in/pipe.png")
    expansion = expand(["in"], SUFFIXES, False)
    assert "in/pipe.png" not in [source.name for source in expansion.sources]
    assert expansion.notices == (("in/pipe.png", "left out: it is a device or a pipe"),)


def test_folders_within_folders_without_end():
    """Deeper than Python calls itself; made from the inside, since no path is that long."""
    before = Path.cwd()
    for _ in range(300):
        Path("x").mkdir()
        os.chdir("x")
    Path("a.png").touch()
    os.chdir(before)
    expansion = expand(["x"], SUFFIXES, True)
    assert [reason for _, reason in expansion.failures] == ["more than 200 folders deep"]


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
