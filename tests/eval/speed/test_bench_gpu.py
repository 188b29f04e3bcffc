from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from eval.speed import bench_gpu
from glc import GlcError


def test_without_a_gpu_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert bench_gpu.main([]) == 0
    assert "no GPU here" in capsys.readouterr().out


def test_rehearsal_on_a_cpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "gpu.json"
    ways = ["float32", "bf16, channels last", "bf16, 2 streams"]
    arguments = ["--device", "cpu", "--preset", "tiny", "--size", "64x128", "--batch", "2"]
    arguments += ["--repeat", "1", "--no-tests", "--out", str(out), "--ways", *ways]
    assert bench_gpu.main(arguments) == 0
    printed = capsys.readouterr()
    assert not printed.err
    found = json.loads(out.read_text())["ways"]
    assert [one["way"] for one in found] == ways
    assert all(one["encode_per_s"] > 0 and one["decode_mpx_per_s"] > 0 for one in found)
    assert found[0]["largest_difference"] <= 1
    # Half the digits of a float move a sample by a few levels, and no symbol.
    assert all(one["largest_difference"] <= 8 for one in found)
    assert "encode Mpx/s" in printed.out


def test_a_way_that_breaks_files_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*given: object) -> bench_gpu.Throughput:
        raise GlcError("checksum")

    monkeypatch.setattr(bench_gpu, "measure", broken)
    arguments = ["--device", "cpu", "--preset", "tiny", "--batch", "1", "--no-tests"]
    assert bench_gpu.main([*arguments, "--ways", "float32", "--size", "64x64"]) == 1
    assert "float32, batch 1: failed: checksum" in capsys.readouterr().err


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_every_way_on_a_gpu(tmp_path: Path) -> None:
    arguments = ["--preset", "tiny", "--size", "128x128", "--batch", "2", "--repeat", "1"]
    assert bench_gpu.main([*arguments, "--no-tests"]) == 0
