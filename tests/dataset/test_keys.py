"""What is packed can be unpacked: whatever a picture is called, it lies in its folder."""

from __future__ import annotations

import csv
import io
import json
import os
import tarfile
from pathlib import Path, PurePosixPath

import pytest

from glc.dataset import Archive, ArchiveWriter, compress
from glc.dataset.inputs import list_items
from glc.dataset.keys import relative_path, text_of
from glc.errors import CorruptError

ODD = (
    "2026-11-27 06:40:00",
    "what?",
    "aux",
    "back\\slash",
    "new\nline",
    "trailing.",
    "trailing ",
    "tab\there",
    'pipe|star*quote"<>',
    "con.tar",
    "COM1",
    "esc\x1b[2J",
    "\u3000wide space",
    "family \U0001f468\u200d\U0001f469\u200d\U0001f467",
    "100%41",
    "-o",
    "...x",
    "k" * 251,
)


@pytest.fixture
def odd(tmp_path, make_png) -> Path:
    """A folder of pictures with odd names."""
    folder = tmp_path / "odd"
    folder.mkdir()
    for number, name in enumerate(name for name in ODD if not name.startswith(".")):
        (folder / f"{name}.png").write_bytes(make_png(number))
    return folder


class TestWhatIsPackedIsUnpacked:
    def test_every_name(self, odd, glc_stub):
        count = len(list(odd.iterdir()))
        assert glc_stub("pack", odd, "-o", "x.glca")[0] == 0
        code, _, err = glc_stub("unpack", "x.glca", "-o", "out")
        assert code == 0, err
        assert all(line.isprintable() or "\u200d" in line for line in err.splitlines())
        files = sorted(Path("out").iterdir())
        assert len(files) == count
        # Packed once more, they are the same pictures in another order at most.
        assert glc_stub("pack", "out", "-o", "y.glca")[0] == 0
        with Archive("x.glca") as first, Archive("y.glca") as second:
            assert sorted(data for _, data in first) == sorted(data for _, data in second)
            for key, data in first:
                assert (Path("out") / f"{relative_path(key)}.glc").read_bytes() == data

    @pytest.mark.skipif(os.name == "nt", reason="names that Windows has not")
    def test_here_most_names_stay_as_they_are(self):
        for name in ODD:
            is_kept = not set(name) & set("\n\t\x1b")
            assert (str(relative_path(name)) == name) is is_kept

    def test_to_a_folder_as_to_an_archive(self, odd, tmp_path, stub):
        for _ in range(2):
            result = compress(odd, tmp_path / "out", 40, model=stub)
        assert result.failures == []
        assert result.skipped == len(list((tmp_path / "out").rglob("*.glc")))

    def test_what_cannot_is_refused_when_it_is_packed(self, tmp_path, make_png, stub):
        source = [("k" * 252, make_png(1)), ("\n" * 90, make_png(2)), ("k" * 1025, make_png(3))]
        result = compress([*source, ("fine", make_png(4))], tmp_path / "x.glca", 40, model=stub)
        assert [failure.number for failure in result.failures] == [0, 1, 2]
        assert result.pictures == 1

    def test_a_name_too_long_leads_nowhere_either(self, tmp_path, make_png, stub):
        source = [("../" + "k" * 253 + "/x", make_png(1)), ("fine", make_png(2))]
        for target in ("in/out", "in/x.glca"):
            for _ in range(2):
                result = compress(source, tmp_path / target, 40, model=stub, resume=False)
                (failure,) = result.failures
                assert "longer than the name of a file" in failure.reason
        assert [path.name for path in tmp_path.rglob("*.glc")] == ["fine.glc"]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]

    def test_two_keys_of_one_file_are_told_apart(self, tmp_path, make_png, stub, glc_stub):
        source = [("a\nb", make_png(1)), ("a%0Ab", make_png(2)), ("c", make_png(3))]
        for _ in range(2):
            result = compress(source, tmp_path / "out", 40, model=stub)
            (failure,) = result.failures
            assert "also that of" in failure.reason
        assert result.skipped == 2
        compress(source, tmp_path / "x.glca", 40, model=stub)
        code, _, err = glc_stub("unpack", "x.glca", "-o", "there")
        assert code == 1
        assert "is also that of" in err
        assert len(list(Path("there").iterdir())) == 2


class TestPathsOfKeys:
    @pytest.mark.parametrize(
        ("key", "expected"),
        [
            ("../out", "%2E%2E/out"),
            ("/etc/x", "%/etc/x"),
            ("a//b", "a/%/b"),
            ("a/", "a/%"),
            (".", "%2E"),
            ("a/./b", "a/%2E/b"),
            ("a\0b", "a%00b"),
            ("\x1b[2J", "%1B[2J"),
            ("a\u2028b", "a%E2%80%A8b"),
            ("https://a.b/c", "https:/%/a.b/c"),
        ],
    )
    def test_never_leave_their_folder(self, key, expected):
        found = relative_path(key, is_windows=False)
        assert str(found) == expected
        assert not found.is_absolute()
        assert ".." not in found.parts

    @pytest.mark.parametrize(
        ("key", "expected"),
        [
            ("06:40", "06%3A40"),
            ("what?", "what%3F"),
            ("a\\b", "a%5Cb"),
            ("C:\\x", "C%3A%5Cx"),
            ("aux", "%61ux"),
            ("b/CON.txt", "b/%43ON.txt"),
            ("nul .x", "%6Eul .x"),
            ("com1", "%63om1"),
            ("a.", "a%2E"),
            ("c ", "c%20"),
            ('<>|"*', "%3C%3E%7C%22%2A"),
            ("auxiliary", "auxiliary"),
        ],
    )
    def test_on_windows_are_names_that_it_has(self, key, expected):
        assert str(relative_path(key, is_windows=True)) == expected

    def test_that_are_too_long_are_refused(self):
        assert relative_path("k" * 251) == PurePosixPath("k" * 251)
        for key in ("k" * 252, "a/" + "\u00e9" * 126, "\n" * 84):
            with pytest.raises(CorruptError, match="longer"):
                relative_path(key)


BYTES = (
    b"b\xe9",
    b"\xff\xfe",
    b"\x93\xfa\x96\x7b",
    b"cut \xe2\x82",
    "mixed \u00e9 ".encode() + b"\xe9",
    b"\xc0\xaf",
    b"\xed\xa0\x80",
    b"dir\xe9/a",
    b"dir\xe9/b\xe8",
    b"\x80",
)
ESCAPED = (
    *("b%E9", "%FF%FE", "%93%FA%96{", "cut %E2%82", "mixed \u00e9 %E9", "%C0%AF"),
    *("%ED%A0%80", "dir%E9/a", "dir%E9/b%E8", "%80"),
)


@pytest.fixture
def latin(tmp_path, make_png) -> Path:
    """A folder of pictures whose names are no UTF-8."""
    folder = tmp_path / "latin"
    for number, name in enumerate(BYTES):
        path = os.path.join(os.fsencode(folder), name + b".png")  # noqa: PTH118
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
            with open(path, "wb") as stream:  # noqa: PTH123
                stream.write(make_png(number))
        except OSError:
            pytest.skip("this file system has names in UTF-8 only")
    return folder


class TestNamesThatAreNoText:
    def test_are_kept_with_their_bytes_escaped(self, latin, tmp_path, stub, glc_stub):
        result = compress(latin, tmp_path / "x.glca", 40, model=stub)
        assert (result.pictures, result.failures) == (10, [])
        with Archive(tmp_path / "x.glca") as archive:
            assert sorted(archive.keys) == sorted(ESCAPED)
            first = dict(iter(archive))
        # Unpacked and packed again, the keys are the same.
        assert glc_stub("unpack", "x.glca", "-o", "out")[0] == 0
        compress(tmp_path / "out", tmp_path / "y.glca", 40, model=stub)
        with Archive(tmp_path / "y.glca") as archive:
            assert dict(iter(archive)) == first

    @pytest.mark.parametrize("name", ["x", "x.parquet"])
    def test_in_other_destinations(self, name, latin, tmp_path, stub):
        if name == "x.parquet":
            pytest.importorskip("pyarrow")
        result = compress(latin, tmp_path / name, 40, model=stub)
        assert (result.pictures, result.failures) == (10, [])

    def test_in_a_tar(self, tmp_path, make_png, stub):
        with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.GNU_FORMAT) as tar:
            for number, name in enumerate(BYTES):
                info = tarfile.TarInfo(os.fsdecode(name + b".png"))
                data = make_png(number)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        result = compress(tmp_path / "a.tar", tmp_path / "x.glca", 40, model=stub)
        assert (result.pictures, result.failures) == (10, [])
        with Archive(tmp_path / "x.glca") as archive:
            assert archive.keys == list(ESCAPED)

    def test_that_fail_stop_nothing(self, latin, tmp_path, stub, glc_stub):
        broken = os.path.join(os.fsencode(latin), b"b\xe9.png")  # noqa: PTH118
        with open(broken, "wb") as stream:  # noqa: PTH123
            stream.write(b"no picture")
        code, out, err = glc_stub("pack", latin, "-o", "x.glca", "--json")
        assert code == 1
        assert json.loads(out)["failures"][0]["key"] == "b%E9"
        assert "glc pack: b%E9: text, not a picture" in err
        with Path("x.glca.failed.csv").open(encoding="utf-8", newline="") as stream:
            assert [row[1] for row in csv.reader(stream)] == ["key", "b%E9"]
        assert glc_stub("pack", latin, "-o", "x.glca", "--json")[0] == 0

    def test_named_alone_in_a_pattern_and_as_a_destination(self, latin, tmp_path, stub):
        single = os.fsdecode(os.path.join(os.fsencode(latin), b"b\xe9.png"))  # noqa: PTH118
        assert [item.key for item in list_items(single)] == ["b%E9"]
        assert len([*list_items(f"{latin}/*.png")]) == 8
        target = tmp_path / os.fsdecode(b"out\xe9.glca")
        assert compress(single, target, 40, model=stub).pictures == 1
        assert target.exists()

    def test_keys_of_a_program(self, tmp_path, make_png, stub):
        source = [("\udce9", make_png(1)), ("\ud800x", make_png(2)), ("%E9", make_png(3))]
        result = compress(source, tmp_path / "x.glca", 40, model=stub)
        with Archive(tmp_path / "x.glca") as archive:
            assert archive.keys == ["%E9", "%ED%A0%80x", "%E9~2"]
        assert [notice.times for notice in result.notices] == [1]

    def test_text_stays_as_it_is(self):
        for name in ("", "a", "\u00e9", "%E9", "\U0001f600", "a\nb"):
            assert text_of(name) == name


def test_hostile_archives_stay_in_their_folder(tmp_path, identity, make_glc, glc_stub):
    keys = ("../out", "/etc/x", "a/../../out", "..", "a//b", "\\\\server\\x", "a\x00b")
    with ArchiveWriter(tmp_path / "x.glca", identity) as writer:
        for number, key in enumerate(keys):
            writer.add(key, make_glc(number))
    assert glc_stub("unpack", "x.glca", "-o", "in/side")[0] == 0
    written = list(tmp_path.rglob("*.glc"))
    assert len(written) == len(keys)
    assert all(path.is_relative_to(tmp_path / "in" / "side") for path in written)
