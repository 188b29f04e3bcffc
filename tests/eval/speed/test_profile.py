from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from eval.pictures import RGB
from eval.speed import profile, profile_worker, random_weights
from glc.weights import checkpoint


@pytest.fixture
def picture(photo: RGB, tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(photo[:64, :128]).save(path)
    return path


@pytest.mark.parametrize("runtime", profile_worker.RUNTIMES)
def test_the_parts_add_up(ranged_path: Path, picture: Path, runtime: str) -> None:
    found = profile_worker.inside(runtime, str(ranged_path), str(picture), 2, (64, 64))
    encode, decode = found["encode"], found["decode"]
    assert {"E", "h_s", "context", "scale map", "coding", "rest", "all"} <= set(encode)
    assert "E" not in decode
    assert any("D" in part for part in decode)
    for parts in found.values():
        (wall, _), known = parts["all"], [v[0] for k, v in parts.items() if k != "all"]
        assert all(seconds >= 0 for seconds in known)
        # Medians of two runs, so that the sum is exact but for rounding.
        assert sum(known) == pytest.approx(wall, rel=1e-3)


@pytest.mark.parametrize("runtime", profile_worker.RUNTIMES)
def test_a_second_decoder_has_a_row_of_its_own(
    ranged_two_decoders_path: Path, picture: Path, runtime: str
) -> None:
    path = str(ranged_two_decoders_path)
    found = profile_worker.inside(runtime, path, str(picture), 1, (64, 64))["decode"]
    # Files are shown at a realism of 1.
    assert "D realistic" in found
    assert "D" not in found


@pytest.mark.parametrize("runtime", profile_worker.RUNTIMES)
def test_a_whole_process_writes_its_result(
    ranged_path: Path,
    picture: Path,
    tmp_path: Path,
    runtime: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    coded, shown = tmp_path / "x.glc", tmp_path / "y.png"
    for work, source, target in (("encode", picture, coded), ("decode", coded, shown)):
        question = {"kind": "whole", "runtime": runtime, "work": work, "began": 0.0}
        question |= {"model": str(ranged_path), "source": str(source), "target": str(target)}
        assert profile_worker.main([json.dumps(question)]) == 0
        found = json.loads(capsys.readouterr().out)["stages"]
        expected = ["numpy, Pillow", "glc", "weights", "networks", "reading", work, "writing"]
        assert [
            name for name in found if name not in ("interpreter", *profile_worker.RUNTIMES.values())
        ] == (expected)
    with Image.open(shown) as image:
        assert image.size == (128, 64)


def test_a_table_has_a_column_per_run() -> None:
    found = {
        "torch": {"E": (0.1, 0.2), "rest": (0.01, 0.01), "all": (0.11, 0.21)},
        "fast": {"E": (0.05, 0.1), "g_s, D": (0.2, 0.2), "rest": (0.0, 0.0), "all": (0.25, 0.3)},
    }
    assert profile.rows(found) == [
        ["", "torch", "fast"],
        ["E", "100.0 (200.0)", "50.0 (100.0)"],
        ["g_s, D", "", "200.0 (200.0)"],
        ["rest", "10.0 (10.0)", "0.0 (0.0)"],
        ["all", "110.0 (210.0)", "250.0 (300.0)"],
    ]


def test_command_line(
    picture: Path, micro_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "profile.json"
    arguments = ["--image", str(picture), "--model", str(micro_path), "--repeat", "1"]
    arguments += ["--threads", "1", "--runtimes", "fast", "--out", str(out)]
    assert profile.main(arguments) == 0
    assert "## decode, whole process, 1 threads" in capsys.readouterr().out
    assert json.loads(out.read_text())["encode, in process, 1 threads"]["fast"]["all"][0] > 0
    assert profile.main(["--image", str(picture), "--model", "absent"]) == 2


def test_random_weights_code_few_symbols(tmp_path: Path, photo: RGB) -> None:
    from glc import Codec

    path = random_weights.write(tmp_path, "tiny")
    assert checkpoint.load(path).config == random_weights.PRESETS["tiny"]
    size = len(Codec.from_pretrained(path, device="cpu").encode(photo, 50))
    assert 0.01 < 8 * size / photo[..., 0].size < 0.3
