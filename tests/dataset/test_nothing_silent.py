"""What is left out of a dataset, or stays behind, is a failure or a notice, never nothing."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glc.dataset import Archive, compress
from glc.dataset.failures import parse_failures
from glc.dataset.inputs import list_items
from glc.dataset.notices import Notices
from tests.picture_files import png


def said(source, destination="") -> dict[str, tuple[int, str]]:
    """Return the notices about a source."""
    notices = Notices()
    for _ in list_items(source, destination, notices):
        pass
    return {notice.text: (notice.times, notice.first) for notice in notices}


class TestOnePictureTwice:
    def test_a_picture_and_its_own_glc_file(self, folder, make_glc, tmp_path, stub):
        for number in (1, 2):
            (folder / "a" / f"00{number}.glc").write_bytes(make_glc(3))
        found = said(folder)
        times, first = found["a .glc file lies beside a picture of its name, and both are taken"]
        assert (times, first) == (2, str(folder / "a" / "001.glc"))
        result = compress(folder, tmp_path / "x.glca", 40, model=stub)
        assert result.pictures == 14
        assert len(result.notices) == 2

    def test_two_pictures_of_one_name(self, folder, make_png):
        assert said(folder) == {}
        (folder / "a" / "001.jpg").write_bytes(make_png(1))
        text = "several pictures have one key; the later ones get ~2, ~3"
        assert said(folder) == {text: (1, "a/001")}

    def test_a_glc_file_alone_is_no_news(self, folder, make_glc):
        (folder / "a" / "x.glc").write_bytes(make_glc(3))
        assert said(folder) == {}

    def test_on_the_command_line(self, folder, make_glc, glc_stub):
        (folder / "a" / "001.glc").write_bytes(make_glc(3))
        code, out, err = glc_stub("pack", folder, "-o", "x.glca", "--json")
        assert code == 0
        assert "a/001.glc: note: a .glc file lies beside a picture of its name" in err
        assert len(json.loads(out)["notices"]) == 2
        assert glc_stub("pack", folder, "-o", "y.glca", "--quiet") == (0, "", "")


class TestNothingToPack:
    @pytest.mark.parametrize("name", ["missing.png", "missing", "missing.tar", "-", "{0..3}.tar"])
    def test_a_name_that_does_not_exist(self, name, folder, glc_stub, tmp_path):
        for sources in ([name], [folder, name]):
            code, _, err = glc_stub("pack", *sources, "-o", "x.glca")
            assert code == 1
            assert "source: no such file or folder" in err
            assert not list(tmp_path.glob("x.glca*"))

    @pytest.mark.parametrize("kind", ["list", "tar", "parquet", "archive", "folder", "pattern"])
    def test_a_source_without_pictures(self, kind, tmp_path, stub, identity):
        source: object = tmp_path / f"empty.{kind}"
        if kind == "list":
            source = []
        elif kind == "tar":
            with tarfile.open(tmp_path / "empty.tar", "w") as tar:
                tar.addfile(tarfile.TarInfo("notes.txt"))
        elif kind == "parquet":
            arrow = pytest.importorskip("pyarrow")
            parquet = pytest.importorskip("pyarrow.parquet")
            columns = {"image": arrow.array([], arrow.binary())}
            parquet.write_table(arrow.table(columns), source)
        elif kind == "archive":
            from glc.dataset import ArchiveWriter

            source = tmp_path / "empty.glca"
            ArchiveWriter(source, identity).close()
        elif kind == "folder":
            (tmp_path / "empty.folder").mkdir()
        else:
            source = f"{tmp_path}/*.png"
        with pytest.raises(ValueError, match="source: "):
            compress(source, tmp_path / "x.glca", 40, model=stub)
        assert not list(tmp_path.glob("x.glca*"))

    def test_pictures_that_all_fail_leave_a_list_and_no_archive(self, tmp_path, glc_stub):
        for name in ("a.png", "b.png"):
            (tmp_path / name).write_bytes(b"no picture")
        for _ in range(2):
            code, out, err = glc_stub("pack", "a.png", "b.png", "-o", "x.glca", "--json")
            assert code == 1
            assert "x.glca: not written, since every picture failed" in err
            assert json.loads(out)["failed"] == 2
            names = sorted(path.name for path in tmp_path.iterdir())
            assert names == ["a.png", "b.png", "x.glca.failed.csv"]

    def test_a_shard_without_pictures_is_an_archive(self, tmp_path, make_png, stub):
        source = [("a", make_png(1))]
        result = compress(source, tmp_path / "x.glca", 40, model=stub, shard=(1, 2))
        assert result.is_written
        with Archive(result.destination) as archive:
            assert len(archive) == 0


class TestStandardOutput:
    @pytest.mark.parametrize("command", ["pack", "unpack", "sample"])
    def test_is_refused_where_it_cannot_be(self, command, glc_stub, tmp_path, folder):
        inputs = {"pack": [folder], "unpack": ["x.glca"], "sample": []}[command]
        code, out, err = glc_stub(command, *inputs, "-o", "-")
        assert (code, out) == (2, "")
        assert "standard output" in err
        assert not (tmp_path / "-").exists()


class TestTars:
    def tar_of(self, path: Path, make_png) -> Path:
        data = make_png(1)
        with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as tar:
            for name in (
                "a.png",
                "._a.png",
                ".hidden/b.png",
                "./c/._d.png",
                "./c/d.png",
                "../e.png",
            ):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
            for name, kind in (
                ("sym.png", tarfile.SYMTYPE),
                ("hard.png", tarfile.LNKTYPE),
                ("._link.png", tarfile.SYMTYPE),
                ("pipe.png", tarfile.FIFOTYPE),
                ("folder.png", tarfile.DIRTYPE),
                ("link.txt", tarfile.SYMTYPE),
            ):
                info = tarfile.TarInfo(name)
                info.type, info.linkname = kind, "a.png"
                tar.addfile(info)
        return path

    @pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
    def test_hidden_files_are_left_out_as_in_a_folder(self, suffix, tmp_path, make_png):
        path = self.tar_of(tmp_path / f"x.{suffix}", make_png)
        assert [item.key for item in list_items(path)] == ["a", "c/d", "../e"]

    @pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
    def test_links_and_special_files_are_a_notice(self, suffix, tmp_path, make_png):
        path = self.tar_of(tmp_path / f"x.{suffix}", make_png)
        assert said(path) == {
            "a link inside a tar is left out": (2, f"{path}: sym.png"),
            "a file of a special kind inside a tar is left out": (1, f"{path}: pipe.png"),
        }

    def test_on_the_command_line(self, tmp_path, make_png, glc_stub):
        self.tar_of(tmp_path / "x.tar", make_png)
        code, _, err = glc_stub("pack", "x.tar", "-o", "x.glca")
        assert code == 0
        assert "glc pack: 2 times, first x.tar: sym.png: note: a link inside a tar" in err


class TestFolders:
    def test_links_to_folders_are_a_notice(self, folder):
        (folder / "loop").symlink_to(folder)
        (folder / ".hidden").symlink_to(folder)
        assert said(folder) == {"a link to a folder is not followed": (1, str(folder / "loop"))}
        (folder / "gone.png").symlink_to(folder / "nowhere")
        assert "gone" in [item.key for item in list_items(folder)]

    @pytest.fixture
    def locked(self, folder, monkeypatch):
        """The pictures with one folder that may not be listed; root may list all, so it is told."""
        (folder / "b" / "deep").mkdir()
        (folder / "b" / "deep" / "x.png").write_bytes(b"")
        original = os.scandir

        def scandir(path="."):
            if os.fspath(path) == str(folder / "a"):
                raise PermissionError(13, "Permission denied", os.fspath(path))
            return original(path)

        monkeypatch.setattr(os, "scandir", scandir)
        return folder

    @pytest.mark.parametrize("name", ["x.glca", "x"])
    def test_one_that_cannot_be_listed_is_a_failure_among_others(
        self, name, locked, tmp_path, stub
    ):
        (locked / "b" / "deep" / "x.png").unlink()
        result = compress(locked, tmp_path / name, 40, model=stub)
        (failure,) = result.failures
        assert failure.key == "a"
        assert "cannot be listed: Permission denied" in failure.reason
        assert result.pictures == 6

    def test_the_source_itself(self, locked, tmp_path, stub):
        result = compress(locked / "a", tmp_path / "x.glca", 40, model=stub)
        assert [failure.key for failure in result.failures] == ["a"]
        assert not result.is_written


class TestListsOfFailures:
    @pytest.fixture
    def broken(self, folder) -> Path:
        (folder / "a" / "002.png").write_bytes(b"no picture")
        return folder

    def test_every_destination_has_its_own(self, broken, tmp_path, stub):
        pytest.importorskip("pyarrow")
        for name in ("x.glca", "x.parquet", "x"):
            compress(broken, tmp_path / name, 40, model=stub)
        assert (tmp_path / "x.glca.failed.csv").exists()
        assert (tmp_path / "x.parquet.failed.csv").exists()
        assert (tmp_path / "x" / "failed.csv").exists()
        assert not (tmp_path / "x.failed.csv").exists()

    def test_the_help_names_it(self, glc_stub):
        _, out, _ = glc_stub("pack", "--help")
        assert "OUT.failed.csv" in out
        assert "x.glca.failed.csv" in out

    @pytest.mark.parametrize("name", ["x.glca", "x"])
    @pytest.mark.parametrize(
        "text", ["my own notes\n", "a,b\n1,2\n", "number,key,reason\n1,2\n", "\0"]
    )
    def test_what_is_none_is_not_overwritten(self, name, text, broken, tmp_path, stub):
        target = tmp_path / name
        listed = target / "failed.csv" if name == "x" else tmp_path / "x.glca.failed.csv"
        listed.parent.mkdir(exist_ok=True)
        listed.write_text(text)
        with pytest.raises(ValueError, match=r"failed.csv would be replaced"):
            compress(broken, target, 40, model=stub)
        assert listed.read_text() == text
        assert not target.is_file()
        compress(broken, target, 40, model=stub, resume=False)
        assert len(parse_failures(listed.read_text())) == 1

    def test_an_earlier_one_is_replaced_with_a_notice(self, broken, tmp_path, stub):
        compress(broken, tmp_path / "x.glca", 40, model=stub)
        (tmp_path / "x.glca").unlink()
        result = compress(broken, tmp_path / "x.glca", 40, model=stub)
        (notice,) = result.notices
        assert notice.text == "an earlier list of failures is replaced"
        again = compress(broken, tmp_path / "x.glca", 40, model=stub)
        assert (again.skipped, len(again.notices)) == (12, 0)

    def test_nor_when_an_interrupted_run_goes_on(self, broken, tmp_path, stub):
        def stop(result):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            compress(broken, tmp_path / "x.glca", 40, model=stub, progress=stop)
        (tmp_path / "x.glca.failed.csv").write_text("my own notes\n")
        with pytest.raises(ValueError, match="would be replaced"):
            compress(broken, tmp_path / "x.glca", 40, model=stub)
        assert (tmp_path / "x.glca.failed.csv").read_text() == "my own notes\n"

    def test_beside_a_finished_archive_what_is_none_is_refused_each_time(
        self, broken, tmp_path, stub
    ):
        compress(broken, tmp_path / "x.glca", 40, model=stub)
        (tmp_path / "x.glca.failed.csv").write_text("my own notes\n")
        for _ in range(2):
            with pytest.raises(ValueError, match="would be replaced"):
                compress(broken, tmp_path / "x.glca", 40, model=stub)
        assert (tmp_path / "x.glca.failed.csv").read_text() == "my own notes\n"


class TestNoticesOfPictures:
    def test_are_counted(self, tmp_path, stub, make_png):
        wide = png(np.full((4, 4, 3), 1000, np.uint16))
        source = [("a", wide), ("b", make_png(1)), ("c", wide)]
        result = compress(source, tmp_path / "x.glca", 40, model=stub)
        assert [*result.notices] == [("16 bits per channel, reduced to 8", 2, "a")]

    @pytest.mark.filterwarnings("ignore:Corrupt EXIF")
    def test_of_metadata_only_where_it_is_kept(self, tmp_path, stub):
        stream = io.BytesIO()
        Image.new("RGB", (8, 8)).save(stream, "JPEG", exif=b"Exif\0\0garbage")
        for keep in (False, True):
            target = tmp_path / f"{keep}.glca"
            source = [("a", stream.getvalue())]
            result = compress(source, target, 40, model=stub, keep_metadata=keep)
            assert len(result.notices) == keep


class TestUnpackingAgain:
    def test_what_is_there_is_compared(self, tmp_path, make_png, stub, glc_stub):
        for name, number in (("x", 1), ("y", 2)):
            compress([("a", make_png(number)), ("b", make_png(3))], f"{name}.glca", 40, model=stub)
        assert glc_stub("unpack", "x.glca", "-o", "out")[0] == 0
        code, _, err = glc_stub("unpack", "x.glca", "-o", "out", "--skip-existing")
        assert (code, err.count("skipped: exists")) == (0, 2)
        code, _, err = glc_stub("unpack", "y.glca", "-o", "out", "--skip-existing")
        assert code == 1
        assert "exists, but: it holds another picture" in err
        assert err.count("skipped: exists") == 1
        whole = Path("out/a.glc").read_bytes()
        for rest in (b"", whole[:-3], bytes(len(whole))):
            Path("out/a.glc").write_bytes(rest)
            code, _, err = glc_stub("unpack", "x.glca", "-o", "out", "--skip-existing")
            assert code == 0
            assert "is empty or cut off, and is made again" in err
            assert Path("out/a.glc").read_bytes() == whole
