"""``glc pack``, ``unpack``, ``list``, and what ``info`` and ``verify`` say about archives."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from codec_cli.main import main
from glc.bitstream import Container, pack
from glc.dataset import Archive, ArchiveWriter


@pytest.fixture
def run(monkeypatch, capsys, tmp_path, micro_path):
    """Return a function that runs ``glc`` in an empty folder, with the micro model installed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLC_MODELS", str(micro_path.parent))
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)

    def command(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


@pytest.fixture
def packed(run, folder) -> Path:
    code, out, err = run("pack", folder, "-o", "x.glca", "-q", 40, "--model", "micro")
    assert (code, out) == (0, "")
    (line,) = err.splitlines()
    assert line.startswith("x.glca: 12 pictures, ")
    assert "pictures/s" in line
    return Path("x.glca")


def test_pack(packed, one_by_one):
    with Archive(packed) as archive:
        assert list(archive) == list(one_by_one.items())


def test_pack_says_which_pictures_failed(run, folder):
    (folder / "a" / "002.png").write_bytes(b"no picture")
    code, out, err = run("pack", folder, "-o", "x.glca", "--model", "micro", "--json", "-j", 3)
    assert code == 1
    assert err.startswith("glc pack: a/002: text, not a picture")
    (line,) = out.splitlines()
    fields = json.loads(line)
    assert (fields["pictures"], fields["failed"], fields["skipped"]) == (11, 1, 0)
    assert fields["failures"][0]["key"] == "a/002"
    assert fields["bytes_out"] < fields["bytes_in"]
    assert Path("x.glca.failed.csv").exists()
    code, out, _ = run("pack", folder, "-o", "x.glca", "--model", "micro", "--json")
    assert (code, json.loads(out)["skipped"]) == (0, 12)
    code, _, err = run(
        "pack", folder, "-o", "y.glca", "--model", "micro", "--on-error", "raise", "--quiet"
    )
    assert code == 1
    assert "not a picture" in err


def test_pack_takes_its_shard_from_the_environment(run, folder, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert run("pack", folder, "-o", "x.glca", "--model", "micro", "--quiet") == (0, "", "")
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv("RANK", "0")
    assert run("pack", folder, "-o", "x.glca", "--model", "micro", "--shard", "0/2")[0] == 0
    assert sorted(p.name for p in Path().glob("x*")) == [
        "x-00000-of-00002.glca",
        "x-00001-of-00002.glca",
    ]
    monkeypatch.setenv("RANK", "3")
    assert run("pack", folder, "-o", "x.glca")[0] == 2


@pytest.mark.parametrize(
    "arguments", [["--shard", "2/2"], ["--shard", "x"], ["-q", "101"], ["-j0"]]
)
def test_pack_refuses_wrong_usage(arguments, run, folder):
    assert run("pack", folder, "-o", "x.glca", *arguments)[0] == 2
    assert not list(Path().glob("x*"))


def test_pack_reports_what_ends_it(run, tmp_path):
    code, _, err = run("pack", tmp_path, "-o", "x.glca", "--model", "micro")
    assert code == 1
    assert "holds no picture" in err
    (tmp_path / "a.png").write_bytes(b"")
    code, _, err = run("pack", tmp_path, "-o", "x.glca", "--model", "missing")
    assert code == 1
    assert "missing' is not installed" in err


def test_list(run, packed, one_by_one):
    code, out, _ = run("list", packed)
    lines = out.splitlines()
    assert code == 0
    assert len(lines) == 12
    assert lines[2].split() == [
        *["2", "70", "x", "50", str(len(one_by_one["a/002"])), "bytes"],
        *[f"{8 * len(one_by_one['a/002']) / 3500:.4f}", "bpp", "q40", "a/002"],
    ]
    _, out, _ = run("list", packed, "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["key"] for row in rows] == list(one_by_one)
    assert [row["bytes"] for row in rows] == [len(data) for data in one_by_one.values()]
    code, _, err = run("list", "missing.glca", packed)
    assert code == 1
    assert "No such file" in err


def test_info(run, packed, micro):
    code, out, _ = run("info", packed)
    assert code == 0
    size = packed.stat().st_size
    assert out == (
        f"x.glca: GLC archive 1, 12 pictures, {size:,} bytes, model "
        f"{micro.identity[:3].hex()} (micro)\n"
    )
    packed.write_bytes(packed.read_bytes()[:-1])
    _, out, _ = run("info", packed, "--json")
    fields = json.loads(out)
    assert (fields["pictures"], fields["complete"], fields["leftover_bytes"]) == (12, False, 26)
    assert "interrupted" in run("info", packed)[1]


def test_verify(run, packed):
    code, _, err = run("verify", packed)
    assert (code, err.startswith("x.glca: ok, 12 pictures")) == (0, True)
    data = bytearray(packed.read_bytes())
    data[300] ^= 1
    packed.write_bytes(bytes(data))
    code, _, err = run("verify", packed)
    assert code == 1
    assert "damaged archive" in err


def test_verify_decodes_what_the_archive_cannot_check(run, micro, one_by_one):
    data = bytearray(one_by_one["a/001"])
    data[-1] ^= 1
    with ArchiveWriter("x.glca", micro.identity) as writer:
        writer.add("good", one_by_one["a/000"])
        writer.add("bad", bytes(data))
    code, _, err = run("verify", "x.glca")
    assert code == 1
    assert "bad: checksum" in err


def test_unpack(run, packed, one_by_one, micro):
    code, _, err = run("unpack", packed, "-o", "out")
    assert code == 0
    assert len(err.splitlines()) == 12
    for key, data in one_by_one.items():
        assert (Path("out") / f"{key}.glc").read_bytes() == data
    assert run("unpack", packed, "-o", "out")[0] == 1
    code, out, _ = run("unpack", packed, "-o", "out", "--skip-existing", "--json")
    assert (code, all(json.loads(line)["skipped"] for line in out.splitlines())) == (0, True)
    code, _, _ = run("unpack", packed, "-o", "decoded", "--decode", "--format", "webp", "-j", 2)
    assert code == 0
    with Image.open("decoded/a/002.webp") as image:
        assert image.size == (70, 50)
    assert run("unpack", packed, "-o", "out", "--format", "png")[0] == 2
    assert run("unpack", packed, "-o", "out", "--int8")[0] == 2
    code, _, err = run("unpack", "missing.glca", "-o", "out")
    assert code == 1
    assert "No such file" in err


def test_an_interrupted_archive_is_unpacked_as_far_as_it_goes(run, packed, one_by_one):
    packed.write_bytes(packed.read_bytes()[:-60])
    code, _, err = run("unpack", packed, "-o", "out")
    assert code == 0
    assert "interrupted" in err
    assert len(list(Path("out").rglob("*.glc"))) == 11
    code, out, err = run("list", packed)
    assert (code, len(out.splitlines()), "interrupted" in err) == (0, 11, True)


def test_packing_an_interrupted_archive_repairs_it(run, packed, one_by_one):
    packed.write_bytes(packed.read_bytes()[:-60])
    assert run("pack", packed, "-o", "y.glca")[0] == 0
    with Archive("y.glca") as archive:
        archive.verify()
        assert list(archive) == list(one_by_one.items())[:11]


@pytest.mark.system
def test_list_and_info_cost_no_torch(tmp_path, identity):
    path = tmp_path / "x.glca"
    with ArchiveWriter(path, identity) as writer:
        writer.add("a", pack(Container(8, 8, 50, identity[:3], b"")))
    code = """
import sys
from codec_cli.main import main
main(["list", sys.argv[1]]), main(["info", sys.argv[1]])
print({"torch", "numpy", "PIL"} & set(sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "set()"


def test_the_bar_says_how_it_goes(monkeypatch, folder, tmp_path, micro):
    from codec_cli.support.progress import Tally
    from glc.dataset import compress

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    (folder / "a" / "002.png").write_bytes(b"")
    with Tally("pack", quiet=False) as tally:
        compress(folder, tmp_path / "x.glca", 40, model=micro, progress=tally)
    assert "glc pack: a/002: empty" in terminal.getvalue()
    assert "11 pictures, 1 failed, " in terminal.getvalue()
    assert "MB in" in terminal.getvalue()
