"""Two writers at one output: the second is refused; a dead one is in nobody's way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from glc.archive.lock import Lock
from glc.dataset import Archive, ArchiveWriter, compress

REPOSITORY = Path(__file__).parents[2]
WRITING = "another process is writing this"


@pytest.fixture
def other(tmp_path, make_png) -> list[tuple[str, bytes]]:
    return [(f"other/{n}", make_png(n)) for n in range(3)]


def while_writing(folder, target, stub, do, **options):
    """Compress, and do something once, while the first picture is there."""
    done: list[object] = []

    def progress(result):
        if not done:
            done.append(do())

    result = compress(folder, target, 40, model=stub, progress=progress, **options)
    assert done
    return result


class TestTwoRuns:
    @pytest.mark.parametrize("name", ["x.glca", "x.parquet", "x"])
    @pytest.mark.parametrize("resume", [True, False])
    def test_the_second_is_refused_and_the_first_undamaged(
        self, name, resume, folder, other, tmp_path, stub
    ):
        target = tmp_path / name

        def second():
            with pytest.raises(BlockingIOError, match=WRITING):
                compress(other, target, 40, model=stub, resume=resume)

        result = while_writing(folder, target, stub, second)
        assert (result.pictures, result.failures) == (12, [])
        if name == "x.glca":
            with Archive(target) as archive:
                archive.verify()
                assert len(archive) == 12
        if name == "x":
            assert len(list(target.rglob("*.glc"))) == 12
        # Now it is free; and nothing is left of the lock.
        assert not list(tmp_path.rglob("*.lock"))
        compress(other, target, 40, model=stub, resume=False)

    def test_by_another_way_to_the_same_place(self, folder, other, tmp_path, stub, monkeypatch):
        (tmp_path / "link").symlink_to(tmp_path)
        monkeypatch.chdir(tmp_path)

        def second():
            for way in ("x.glca", "./x.glca", tmp_path / "link" / "x.glca"):
                with pytest.raises(BlockingIOError, match=WRITING):
                    compress(other, way, 40, model=stub)

        while_writing(folder, tmp_path / "x.glca", stub, second)

    def test_with_staging_elsewhere_or_shared(self, folder, other, tmp_path, stub):
        for mine, theirs, name in (
            ("s", "t", "x.glca"),
            ("s", "s", "y/x.glca"),
            ("s", None, "x.glca"),
        ):
            (tmp_path / "y").mkdir(exist_ok=True)

            def second(theirs=theirs, name=name):
                staging = None if theirs is None else tmp_path / theirs
                with pytest.raises(BlockingIOError, match=WRITING):
                    compress(other, tmp_path / name, 40, model=stub, staging=staging)

            while_writing(
                folder, tmp_path / "x.glca", stub, second, staging=tmp_path / mine, resume=False
            )

    @pytest.mark.parametrize("name", ["x.glca", "x"])
    def test_shards_are_no_rivals_but_for_the_same_one(self, name, folder, tmp_path, stub):
        target = tmp_path / name

        def others():
            compress(folder, target, 40, model=stub, shard=(1, 2))
            with pytest.raises(BlockingIOError, match=WRITING):
                compress(folder, target, 40, model=stub, shard=(0, 2))

        while_writing(folder, target, stub, others, shard=(0, 2))

    def test_a_run_that_ends_in_an_error_lets_others_in(self, folder, tmp_path, stub):
        def stop(result):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            compress(folder, tmp_path / "x.glca", 40, model=stub, progress=stop)
        with pytest.raises(ValueError, match="begun at 40"):
            compress(folder, tmp_path / "x.glca", 30, model=stub)
        assert compress(folder, tmp_path / "x.glca", 40, model=stub).skipped >= 1

    def test_on_the_command_line_it_is_one_line(self, folder, glc_stub, stub, tmp_path):
        def second():
            code, _, err = glc_stub("pack", folder, "-o", tmp_path / "x.glca")
            assert code == 1
            (line,) = err.splitlines()
            assert line.startswith("glc pack: ")
            assert f"x.glca.part.lock: {WRITING}" in line

        while_writing(folder, tmp_path / "x.glca", stub, second)


HOLD = """
import sys, time
from pathlib import Path
from glc.archive.lock import Lock
lock = Lock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


class TestLock:
    @pytest.mark.system
    @pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
    def test_dies_with_its_process(self, tmp_path):
        path = tmp_path / "x.lock"
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path)], cwd=REPOSITORY, stdout=subprocess.PIPE
        )
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            with pytest.raises(BlockingIOError, match=WRITING):
                Lock(path)
        finally:
            holder.kill()
            holder.wait()
            if holder.stdout is not None:
                holder.stdout.close()
        assert path.exists()
        Lock(path).release()
        assert not path.exists()

    def test_that_someone_removed_is_a_new_one(self, tmp_path):
        path = tmp_path / "x.lock"
        first = Lock(path)
        path.unlink()
        second = Lock(path)
        first.release()
        # Its file was another one by then, so this must not have let a third one in.
        second.release()
        second.release()
        Lock(path).release()

    def test_is_of_no_use_where_there_are_none(self, tmp_path, monkeypatch):
        fcntl = pytest.importorskip("fcntl")
        import errno

        def flock(*_):
            raise OSError(errno.ENOLCK, "no locks")

        monkeypatch.setattr(fcntl, "flock", flock)
        Lock(tmp_path / "x.lock").release()

        def broken(*_):
            raise OSError(errno.EIO, "broken")

        monkeypatch.setattr(fcntl, "flock", broken)
        with pytest.raises(OSError, match="broken"):
            Lock(tmp_path / "x.lock")


class TestTwoArchiveWriters:
    @pytest.mark.parametrize("append", [True, False])
    def test_the_second_is_refused_and_empties_nothing(self, append, tmp_path, identity, make_glc):
        path = tmp_path / "x.glca"
        with ArchiveWriter(path, identity) as writer:
            writer.add("a", make_glc(1))
            with pytest.raises(BlockingIOError, match=WRITING):
                ArchiveWriter(path, identity, append=append)
            writer.add("b", make_glc(3))
        with Archive(path) as archive:
            archive.verify()
            assert archive.keys == ["a", "b"]

    def test_a_shorter_archive_replaces_a_longer_one(self, tmp_path, identity, make_glc):
        path = tmp_path / "x.glca"
        for count in (5, 1):
            with ArchiveWriter(path, identity) as writer:
                for number in range(count):
                    writer.add(str(number), make_glc(number))
        with Archive(path) as archive:
            archive.verify()
            assert len(archive) == 1
        assert os.path.getsize(path) < 1000  # noqa: PTH202
