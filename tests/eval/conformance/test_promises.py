"""The check of exactness: that it passes here, in other environments, and that it can fail."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from eval.conformance import environments as conditions
from eval.conformance import promises, worker
from eval.conformance.cross_decode import Crossing
from eval.conformance.environments import COMPILED, FULL, QUICK, Setting

GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.fixture
def folder(tmp_path, make_picture):
    """Four pictures of one padded size, and one of another."""
    for seed in range(5):
        pixels = make_picture(70 if seed == 4 else 120 + seed, 66, seed)
        Image.fromarray(pixels).save(tmp_path / f"{seed}.png")
    return tmp_path


def run(folder, model, capsys, *arguments: str) -> tuple[int, str]:
    code = promises.main(
        ["--images", str(folder), "--model", str(model), "--damage", "5", *arguments]
    )
    return code, capsys.readouterr().out


@pytest.mark.system
def test_files_written_anywhere_are_read_everywhere(folder, micro_path, capsys):
    """In two processes: one with every instruction of this processor, one with the oldest."""
    code, out = run(folder, micro_path, capsys, "--qualities", "60", "--golden", str(GOLDEN))
    assert code == 0, out
    rows = re.findall(r"^(as it is|oldest) +(\S+) +5 +(\d+) +(\d+) +0 +0 +[01] ", out, re.M)
    assert len(rows) == 4
    assert rows[1][1] == "DEFAULT"
    assert [int(row[2]) for row in rows] == [25, 25, 0, 0]
    assert int(rows[0][3]) == int(rows[1][3]) >= 25
    # The settings did something: floats differ, symbols do not.
    assert int(re.search(r"(\d+) ways of rounding", out)[1]) >= 4
    assert "0 to a wrong one" in out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "environments"),
    [
        ("full", "as it is,ATen default,ATen AVX2,ATen AVX512"),
        ("full", "as it is,oneDNN SSE4.1,oneDNN AVX2,oneDNN AVX512,oldest"),
        ("quick", "as it is,compiled"),
    ],
)
def test_the_whole_matrix(folder, micro_path, capsys, settings, environments):
    chosen = ["--settings", settings, "--environments", environments]
    chosen += ["--qualities", "60", "--limit", "2"]
    code, out = run(folder, micro_path, capsys, *chosen, "--golden", str(GOLDEN))
    if "skipped, " in out:
        pytest.skip(out.splitlines()[0])
    assert code == 0, out


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_and_cpu(folder, micro_path, capsys):
    chosen = ["--environments", "as it is,CUDA", "--golden", str(GOLDEN)]
    code, out = run(folder, micro_path, capsys, *chosen)
    assert code == 0, out


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_compiled_on_cuda(folder, micro_path, capsys):
    code, out = run(folder, micro_path, capsys, "--environments", "as it is,CUDA,CUDA compiled")
    assert code == 0, out


def test_settings_cover_what_they_say():
    assert len(set(FULL)) == 3 * 3 * 2 * 2 * 2
    assert set(QUICK) | set(COMPILED) <= set(FULL)
    for name in ("threads", "batch", "channels_last", "onednn", "bf16"):
        assert {getattr(s, name) for s in QUICK} == {getattr(s, name) for s in FULL}
    assert len({setting.name for setting in FULL}) == len(FULL)


def test_a_setting_takes_effect_and_is_taken_back(load_micro, make_picture):
    codec = load_micro()
    weight = codec.networks.model.encoder.stem.weight
    setting = Setting(threads=4, channels_last=True, onednn=False, bf16=True)
    with setting.active(codec):
        assert torch.get_num_threads() == 4
        assert weight.is_contiguous(memory_format=torch.channels_last)
        assert not torch.backends.mkldnn.enabled
        assert torch.is_autocast_enabled("cpu")
    with Setting().active(codec):
        assert weight.is_contiguous()
        assert torch.backends.mkldnn.enabled
        assert not torch.is_autocast_enabled("cpu")


@pytest.fixture
def written(micro, make_picture, tmp_path):
    """Three files with their references, which were decoded one by one on one thread."""
    paths = [tmp_path / f"{seed}.glc" for seed in range(3)]
    with Setting().active(micro):
        for seed, path in enumerate(paths):
            path.write_bytes(micro.encode(make_picture(64, 64, seed)))
            np.save(path.with_suffix(".npy"), np.asarray(micro.decode(path.read_bytes())))
    return paths


def crossing_of(setting: Setting, reading: worker.Reading) -> Crossing:
    return Crossing(conditions.ENVIRONMENTS[0], "", readings={setting: reading})


def test_it_counts_what_is_right(micro, written):
    settings = [Setting(), Setting(batch=3)]
    found = worker.read(micro, written, settings)
    alone, together = (found[setting.name] for setting in settings)
    assert alone == worker.Reading(3)
    # On some processors a batch rounds otherwise: that may move a level, and no symbol.
    assert (together.decodes, together.wrong, together.off, together.refused) == (3, 0, 0, "")
    assert together.largest <= 1
    assert together.total < 0.1


def test_it_finds_wrong_symbols(micro, written):
    data = bytearray(written[1].read_bytes())
    data[-1] ^= 1
    written[1].write_bytes(data)
    reading = worker.read(micro, written, [Setting(batch=3)])["1 thread, batch 3"]
    assert (reading.decodes, reading.wrong, reading.off) == (3, 1, 0)
    crossing = crossing_of(Setting(batch=3), reading)
    assert crossing.broken == 1
    assert promises.report("test", [crossing]) == 1


def test_it_finds_wrong_pictures(micro, written):
    reference = np.load(written[2].with_suffix(".npy")).astype(np.int16)
    reference[5, 5, 0] += 2
    np.save(written[2].with_suffix(".npy"), reference)
    reading = worker.read(micro, written, [Setting()])["1 thread, batch 1"]
    assert (reading.wrong, reading.off, reading.largest) == (0, 1, 2)
    crossing = crossing_of(Setting(), reading)
    assert crossing.broken == 1
    # Less precise pictures may differ; what they are made of may not.
    crossing = crossing_of(Setting(bf16=True), reading)
    assert crossing.broken == 0


def test_what_a_machine_lacks_is_said(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    chosen = promises._environments("oldest,CUDA,compiled")
    assert [environment.name for environment in chosen] == ["oldest"]
    assert capsys.readouterr().out.splitlines() == [
        *("CUDA: skipped, no CUDA device", "compiled: skipped, no C++ compiler")
    ]
    with pytest.raises(SystemExit, match="no 'ATen'"):
        promises._environments("ATen")
