"""``--tile``, the bar within one picture, and the note that memory ran out."""

from __future__ import annotations

import io
import sys
import warnings

import pytest

from codec_cli.support.report import Report
from glc.tiling.geometry import SmallerTilesWarning


class Terminal(io.StringIO):
    """Standard error of somebody who looks."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def tiles_seen(fake_codec, monkeypatch):
    """Return the list of what ``tile`` was at every call of the codec."""
    seen: list[int | None] = []
    for name in ("encode", "decode", "verify"):
        original = getattr(fake_codec, name)

        def call(self, *arguments, original=original, **options):
            seen.append(self.tile)
            return original(self, *arguments, **options)

        monkeypatch.setattr(fake_codec, name, call)
    return seen


@pytest.mark.parametrize(("arguments", "tile"), [((), None), (("--tile", "0"), 0)])
def test_the_side_of_a_tile_reaches_the_codec(glc, picture, tiles_seen, arguments, tile):
    picture("a.png")
    assert glc("encode", "a.png", *arguments).code == 0
    assert glc("decode", "a.glc", "-f", "--tile", "512").code == 0
    assert glc("verify", "a.glc").code == 0
    assert tiles_seen == [tile, 512, None]


@pytest.mark.parametrize("command", ["encode", "decode"])
@pytest.mark.parametrize("tile", ["63", "-1", "many", "1.5"])
def test_sides_that_no_tile_has(glc, picture, command, tile):
    picture("a.png")
    result = glc(command, "a.png", "--tile", tile)
    assert result.code == 2
    assert "64 or more" in result.err
    assert len(result.err_lines) == 1


def test_the_bar_moves_within_one_picture(glc, picture, fake_codec, monkeypatch):
    picture("a.png")
    original, done = fake_codec.encode, []

    def encode(self, *arguments, progress, **options):
        for share in (0.25, 0.5, 1.0):
            progress(share)
        return original(self, *arguments, **options)

    def update(self, task, *, completed):
        done.append(completed)

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(fake_codec, "encode", encode)
    monkeypatch.setattr("rich.progress.Progress.update", update)
    assert glc("encode", "a.png").code == 0
    assert done == [0.25, 0.5, 1.0, 1.0]
    assert "a.png -> a.glc" in terminal.getvalue()


def test_shares_of_several_files_add_up(monkeypatch):
    monkeypatch.setattr("sys.stderr", Terminal())
    with Report("encode", 3, False, False) as report:
        one, two = report.progress_of("one"), report.progress_of("two")
        one(0.5)
        two(0.25)
        assert report._progress.tasks[0].completed == 0.75
        report.done("one", {"input": "one"})
        assert report._progress.tasks[0].completed == 1.25
        report.failed("two", "no", {"input": "two"})
        assert report._progress.tasks[0].completed == 2.0


@pytest.mark.parametrize("quiet", [False, True])
def test_nothing_is_told_where_nobody_looks(monkeypatch, quiet):
    assert Report("encode", 1, False, quiet).progress_of("a") is None
    monkeypatch.setattr("sys.stderr", None)
    assert Report("encode", 1, False, quiet).progress_of("a") is None


def test_a_lack_of_memory_is_said(glc, picture, fake_codec, monkeypatch):
    picture("a.png")
    original, shown = fake_codec.encode, warnings.showwarning

    def encode(self, *arguments, **options):
        warnings.warn("going on in tiles of 512 pixels", SmallerTilesWarning, stacklevel=1)
        warnings.warn("of no interest to anyone", UserWarning, stacklevel=1)
        return original(self, *arguments, **options)

    monkeypatch.setattr(fake_codec, "encode", encode)
    result = glc("encode", "a.png")
    assert result.code == 0
    assert "glc encode: note: going on in tiles of 512 pixels" in result.err_lines
    assert "of no interest" not in result.err
    assert glc("encode", "a.png", "-f", "--quiet").err == ""
    assert warnings.showwarning is shown
    assert sys.stderr is not None
