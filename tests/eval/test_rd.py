from __future__ import annotations

import csv
import json
import math
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_msssim import ms_ssim

from eval import rd, runner
from eval.codecs import adapters
from eval.metrics.backbones import Unavailable

NAMES = ["a.png", "more/b.png"]


@dataclass
class BrighterCodec:
    """Adds `10 - quality` grey levels everywhere; its file has 100 bytes per quality and 10."""

    name: str = "brighter"
    version: str = "1"
    qualities: tuple[float, ...] = (5, 8)
    encoded: int = 0
    now: float = 0
    """Its own clock: a quarter of a second to encode, half a one to decode."""

    def encode(self, image: Image.Image, quality: float) -> bytes:
        self.encoded += 1
        self._shift, self._image = 10 - int(quality), image
        self.now += 0.25
        return bytes([self._shift]) + bytes(9 + 100 * int(quality))

    def decode(self, data: bytes) -> Image.Image:
        self.now += 0.5
        return Image.fromarray(np.array(self._image) + np.uint8(data[0]))


@pytest.fixture
def brighter() -> BrighterCodec:
    return BrighterCodec()


@pytest.fixture(autouse=True)
def only_the_fake(monkeypatch: pytest.MonkeyPatch, brighter: BrighterCodec) -> None:
    real = adapters.build

    def build(name: str, device: str = "cpu") -> adapters.Codec:
        return brighter if name == "brighter" else real(name, device)

    monkeypatch.setattr(adapters, "build", build)
    monkeypatch.setattr(runner, "time", SimpleNamespace(perf_counter=lambda: brighter.now))


def run(folder: Path, out: Path, *more: str, names: str = "brighter") -> int:
    return rd.main(["--images", str(folder), "--out", str(out), "--codecs", names, *more])


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def expected_ms_ssim(folder: Path, shift: int) -> float:
    values = []
    for name in NAMES:
        x = torch.from_numpy(np.array(Image.open(folder / name))).permute(2, 0, 1)[None].float()
        values.append(float(ms_ssim(x, x + shift, data_range=255.0)))
    return sum(values) / len(values)


def test_every_number_of_the_table(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folder, tmp_path / "out", "--metrics", "psnr,ms-ssim,grid") == 0
    lines = capsys.readouterr().out.splitlines()
    assert cells(lines[0]) == [
        "codec",
        "quality",
        "bpp",
        "corpus bpp",
        "PSNR dB",
        "MS-SSIM",
        "grid dB",
        "encode s",
        "decode s",
    ]
    areas = [192 * 256, 256 * 176]
    for line, quality in zip(lines[2:], (5, 8), strict=True):
        size = 10 + 100 * quality
        row = cells(line)
        assert row[:2] == ["brighter", str(quality)]
        assert row[2] == f"{sum(8 * size / area for area in areas) / 2:.4f}"
        assert row[3] == f"{8 * 2 * size / sum(areas):.4f}"
        assert row[4] == f"{20 * math.log10(255 / (10 - quality)):.2f}"
        assert float(row[5]) == pytest.approx(expected_ms_ssim(folder, 10 - quality), abs=1e-4)
        assert float(row[6]) == pytest.approx(0, abs=0.01), "a constant has no lines"
        assert row[7:] == ["0.250", "0.500"]


def test_files_csv_and_json_tell_the_same(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(folder, out, "--metrics", "psnr")
    with (out / "pictures.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["picture"], r["quality"]) for r in rows] == [
        (name, quality) for name in NAMES for quality in ("5", "8")
    ]
    assert [int(r["size_bytes"]) for r in rows] == [510, 810, 510, 810]
    stored = sorted(p.stat().st_size for p in (out / "files").rglob("*.bin"))
    assert stored == [510, 510, 810, 810]
    curve = json.loads((out / "curves" / "brighter.json").read_text())
    summary = json.loads((out / "summary.json").read_text())
    assert curve["results"]["bpp"] == [point["bpp"] for point in summary]
    assert curve["results"]["psnr-rgb"] == pytest.approx([34.1514, 42.1102], abs=1e-3)
    assert json.loads((out / "run.json").read_text())["pictures"] == 2


def test_every_nth_picture_and_figures_at_a_rate(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    area = 192 * 256
    low, high = 8 * 510 / area, 8 * 810 / area
    middle = math.sqrt(low * high)
    more = ["--metrics", "psnr", "--every", "2", "--at", f"{middle},{2 * high}"]
    assert run(folder, tmp_path / "out", *more) == 0
    lines = capsys.readouterr().out.splitlines()
    found = [cells(line) for line in lines if line.startswith("| brighter")]
    assert [row[2] for row in found[:2]] == [f"{low:.4f}", f"{high:.4f}"], "the first picture only"
    between = (20 * math.log10(255 / 5) + 20 * math.log10(255 / 2)) / 2
    assert found[2:] == [["brighter", f"{middle:g}", f"{between:.2f}"]]
    assert "At the same rate" in (tmp_path / "out" / "tables.md").read_text()
    with pytest.raises(SystemExit):
        run(folder, tmp_path / "out", "--every", "0")


def test_a_second_run_does_only_what_is_missing(
    folder: Path, tmp_path: Path, brighter: BrighterCodec
) -> None:
    out = tmp_path / "out"
    run(folder, out, "--metrics", "psnr", "--qualities", "5")
    assert brighter.encoded == 2
    run(folder, out, "--metrics", "psnr", "--qualities", "5,8")
    assert brighter.encoded == 4, "the new quality only"
    run(folder, out, "--metrics", "psnr,grid", "--qualities", "5")
    assert brighter.encoded == 6, "a new metric needs the pictures again"
    brighter.version = "2"
    run(folder, out, "--metrics", "psnr,grid", "--qualities", "5")
    assert brighter.encoded == 8, "another model is another codec"
    Image.new("RGB", (200, 200)).save(folder / "a.png")
    run(folder, out, "--metrics", "psnr,grid", "--qualities", "5")
    assert brighter.encoded == 9, "the changed picture only"


def test_a_failing_codec_is_reported_and_the_rest_goes_on(
    folder: Path,
    tmp_path: Path,
    brighter: BrighterCodec,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(image: Image.Image, quality: float) -> bytes:
        raise RuntimeError("out of paint")

    monkeypatch.setattr(brighter, "encode", fail)
    assert run(folder, tmp_path / "out", "--metrics", "psnr", names="brighter,jpeg") == 1
    shown = capsys.readouterr()
    assert "a.png, brighter: RuntimeError: out of paint" in shown.err
    assert "jpeg" in shown.out


def test_a_codec_that_changes_the_size_fails(
    folder: Path, tmp_path: Path, brighter: BrighterCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(brighter, "decode", lambda data: Image.new("RGB", (8, 8)))
    assert run(folder, tmp_path / "out", "--metrics", "psnr") == 1


def test_a_metric_without_its_weights_is_skipped_with_a_message(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    assert run(folder, tmp_path / "out", "--metrics", "psnr,lpips-alex,judge") == 0
    shown = capsys.readouterr()
    assert "metric lpips-alex skipped: needs alexnet-owt-7be5be79.pth" in shown.err
    assert "metric judge skipped: needs the judge's weights: --judge PATH" in shown.err
    assert "LPIPS" not in shown.out


def test_an_absent_codec_is_an_error_only_when_asked_for(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, brighter: BrighterCodec
) -> None:
    def build(name: str, device: str = "cpu") -> adapters.Codec:
        if name == "brighter":
            return brighter
        raise Unavailable("not here")

    monkeypatch.setattr(adapters, "build", build)
    monkeypatch.setattr(adapters, "DEFAULT", ("brighter", "glc"))
    arguments = ["--images", str(folder), "--out", str(tmp_path / "out"), "--metrics", "psnr"]
    assert rd.main(arguments) == 0
    assert rd.main([*arguments, "--codecs", "brighter,glc"]) == 1


@pytest.mark.parametrize(
    "more", [["--codecs", "gif"], ["--metrics", "beauty"], ["--images", "/no/such/folder"]]
)
def test_wrong_usage(folder: Path, tmp_path: Path, more: list[str]) -> None:
    assert rd.main(["--images", str(folder), "--out", str(tmp_path / "out"), *more]) == 2


@pytest.mark.usefixtures("squeezenet")
def test_set_metrics_and_several_processes(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = "psnr,lpips-squeeze,frechet-squeezenet"
    out = tmp_path / "out"
    more = ["--metrics", metrics, "--qualities", "5,60", "-j", "2"]
    assert run(folder, out, *more, names="jpeg") == 0
    first = capsys.readouterr()
    points = json.loads((out / "summary.json").read_text())
    low, high = (point["values"] for point in points)
    assert low["frechet_squeezenet"] > high["frechet_squeezenet"] > 0
    assert low["lpips_squeeze"] > high["lpips_squeeze"] > 0
    assert json.loads((out / "run.json").read_text())["set_metrics"]["patches"] == 12 + 8
    assert run(folder, out, *more, names="jpeg") == 0
    assert capsys.readouterr().out == first.out, "all of it from the earlier run"
