"""A lent machine's run, rehearsed: stages end in time, and what comes back is whole."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eval.research import gpu_run
from glc import Codec

LINEAR = Path(__file__).parents[2] / "training" / "micro-linear.toml"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(4)
    for index in range(8):
        small = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
        small.resize((160, 140), Image.Resampling.BICUBIC).save(folder / f"{index}-0.png")
    return folder


@pytest.mark.slow
def test_a_rehearsal_from_pictures_to_weights(tmp_path: Path, photos: Path) -> None:
    out, home = tmp_path / "out", tmp_path / "home"
    given = ["train", str(out), "--seconds", "1200", "--after", "1185", "--device", "cpu"]
    given += ["--preset", str(LINEAR), "--data", str(photos), "--name", "micro"]
    given += ["--work", str(tmp_path / "work"), "--part-mb", "0.5", "--features", str(tmp_path)]
    given += ["--files", "12", "--", "--set", "lpips_weight=0", "--set", "alex_weight=0"]
    assert gpu_run.main([*given, "--set", "settle_steps=1"]) == 0
    sizes = [path.stat().st_size for path in out.iterdir()]
    assert len(sizes) > 2
    assert max(sizes) <= 500_000
    assert gpu_run.main(["join", str(out), str(home)]) == 0
    assert Codec.from_pretrained(home / "micro.safetensors", device="cpu").takes_realism
    for name in ("run/log.jsonl", "micro.md", "console.log", "stages.json", "resume/resume.json"):
        assert (home / name).stat().st_size > 0
    (stage,) = json.loads((home / "stages.json").read_text())
    assert stage["code"] == 0
    assert stage["seconds"] < 1200
    # The parts of the resume file are whole, too.
    listing = json.loads((home / "resume" / "resume.json").read_text())
    assert all((home / "resume" / name).is_file() for name in listing["parts"])


def test_a_stage_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    stages = gpu_run.Stages(60.0, tmp_path / "log")
    assert not stages.run(
        "long", "-c", "import time; print('on', flush=True); time.sleep(60)", most=2.0
    )
    assert not stages.run("wrong", "-c", "raise SystemExit(3)")
    assert stages.run("fine", "-c", "print('well')")
    assert [stage["code"] for stage in stages.found] == [-1, 3, 0]
    said = (tmp_path / "log").read_text()
    assert "out of time" in said
    assert "well" in said
    late = gpu_run.Stages(-1.0, tmp_path / "log")
    assert not late.run("never", "-c", "print('never')")


def test_the_first_come_first_and_the_rest_is_named(tmp_path: Path) -> None:
    work, out = tmp_path / "work", tmp_path / "out"
    work.mkdir()
    for name, size in (("small", 100), ("large", 90_000), ("weights.safetensors", 10_000)):
        (work / name).write_bytes(bytes(size))
    # Of half a folder nobody has anything.
    (work / "resume").mkdir()
    for name in ("part-1", "part-2"):
        (work / "resume" / name).write_bytes(bytes(12_000))
    names = ("small", "absent", "large", "weights.safetensors", "resume", "small")
    places = [work / name for name in names]
    assert gpu_run.collect(places, work, out, 20_000, 3) == ["large", "resume"]
    assert sorted(path.name for path in out.iterdir()) == [
        *("results.json", "results.part-1", "results.part-2")
    ]
    gpu_run.join(out, tmp_path / "home")
    found = {path.name: path.stat().st_size for path in (tmp_path / "home").iterdir()}
    assert found == {"small": 100, "weights.safetensors": 10_000}


def test_damage_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(5000))
    gpu_run.collect([tmp_path / "file"], tmp_path, tmp_path / "out", 4000, 8)
    part = tmp_path / "out" / "results.part-2"
    content = part.read_bytes()
    part.write_bytes(content[:-1] + b"x")
    assert gpu_run.main(["join", str(tmp_path / "out"), str(tmp_path / "home")]) == 1
    part.unlink()
    with pytest.raises(ValueError, match=r"missing results\.part-2"):
        gpu_run.join(tmp_path / "out", tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_nothing_is_written_outside_of_the_folder(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../outside"))
    data, out = stream.getvalue(), tmp_path / "out"
    out.mkdir()
    (out / "results.part-1").write_bytes(data)
    digest = gpu_run.hashlib.sha256(data).hexdigest()
    listing = {"sha256": digest, "parts": ["results.part-1"], "left_out": []}
    (out / gpu_run.LISTING).write_text(json.dumps(listing))
    with pytest.raises(ValueError, match="outside"):
        gpu_run.join(out, tmp_path / "home")
    assert not (tmp_path / "outside").exists()
