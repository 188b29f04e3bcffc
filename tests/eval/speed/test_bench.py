from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from eval.codecs import adapters
from eval.metrics.backbones import Unavailable
from eval.pictures import RGB
from eval.speed import bench

COPY = "import shutil, sys; shutil.copy(sys.argv[1], sys.argv[2])"
EAT = "import sys; x = bytearray(200_000_000); open(sys.argv[2], 'w').close()"


def test_ratios_are_against_the_first() -> None:
    speeds = [bench.Speed("jpeg", 0.01, 0.02), bench.Speed("glc", 0.5, 0.1)]
    assert bench.rows(speeds)[1:] == [
        ["jpeg", "0.0100", "0.0200", "1.0", "1.0"],
        ["glc", "0.5000", "0.1000", "50.0", "5.0"],
    ]


def test_in_process_times_a_codec(photo: RGB) -> None:
    speed = bench.in_process(adapters.build("jpeg"), [Image.fromarray(photo)], repeat=2)
    assert speed.codec == "jpeg"
    assert 0 < speed.encode_s < 1
    assert 0 < speed.decode_s < 1


@pytest.mark.skipif(sys.platform == "win32", reason="peak memory is read with wait4")
def test_a_command_is_timed_with_its_memory(photo: RGB) -> None:
    command = bench.Command(
        "copy",
        ".bin",
        (sys.executable, "-c", COPY, "IN", "OUT"),
        (sys.executable, "-c", EAT, "IN", "OUT"),
        "none",
    )
    speed = bench.as_command(command, [Image.fromarray(photo)])
    assert speed.encode_mb is not None
    assert speed.decode_mb is not None
    assert speed.decode_mb > speed.encode_mb + 100
    assert speed.encode_s > 0


def test_an_absent_or_failing_program_is_named(photo: RGB) -> None:
    image = Image.fromarray(photo)
    absent = bench.Command("x", ".x", ("no-such-program",), ("no-such-program",), "x-tools")
    with pytest.raises(Unavailable, match=r"no-such-program \(Debian: x-tools\)"):
        bench.as_command(absent, [image])
    fails = (sys.executable, "-c", "raise SystemExit(3)")
    with pytest.raises(Unavailable, match="status 3"):
        bench.as_command(bench.Command("x", ".x", fails, fails, ""), [image])


def test_command_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "bench.json"
    arguments = ["--images", str(folder), "--codecs", "webp,jpeg-plain", "--repeat", "1", "--here"]
    assert bench.main([*arguments, "--threads", "1", "--out", str(out)]) == 0
    assert "## In process" in capsys.readouterr().out
    result = json.loads(out.read_text())
    assert [speed["codec"] for speed in result["in_process"]] == ["webp", "jpeg-plain"]
    assert result["pictures"] == ["a.png", "more/b.png"]
    assert result["arithmetic"] == {}
    assert bench.main(["--images", str(tmp_path / "absent")]) == 2


def test_a_process_of_its_own_and_what_cannot_be_had(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bench.json"
    arguments = ["--images", str(folder), "--codecs", "webp,compressai:nothing/random"]
    arguments += ["--repeat", "1", "--threads", "1", "--out", str(out)]
    assert bench.main(arguments) == 0
    (speed,) = json.loads(out.read_text())["in_process"]
    assert speed["codec"] == "webp"
    if sys.platform == "linux":
        assert 20 < speed["peak_mb"] < 5000
    assert "compressai:nothing/random skipped" in capfd.readouterr().err


def test_memory_columns_are_those_that_are_known() -> None:
    speeds = [bench.Speed("a", 1.0, 1.0, peak_mb=123.4), bench.Speed("b", 1.0, 1.0)]
    table = bench.rows(speeds)
    assert table[0][5:] == ["peak MB"]
    assert [row[5:] for row in table[1:]] == [["123"], ["-"]]
