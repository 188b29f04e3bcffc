from __future__ import annotations

import math
from pathlib import Path

import pytest

from eval.records import Journal, Record, mean, read


def make(picture: str = "a.png", quality: float = 5, **values: float) -> Record:
    return Record("jpeg", "lib 1", quality, picture, "d1g", 100, 50, 250, 0.25, 0.5, values)


def test_bpp_is_of_the_file() -> None:
    assert make().bpp == 8 * 250 / 5000


def test_a_record_survives_the_csv(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "pictures.csv", ["psnr", "lpips"])
    kept = [make(psnr=30.5, lpips=math.nan), make("folder/b, c.png", psnr=math.inf)]
    journal.append(kept)
    first, second = read(tmp_path / "pictures.csv")
    assert first.key == kept[0].key
    assert first.values["psnr"] == 30.5
    assert math.isnan(first.values["lpips"]), "does not apply"
    assert second.picture == "folder/b, c.png"
    assert second.values == {"psnr": math.inf}, "lpips was not measured"
    assert (first.encode_s, first.decode_s, first.size_bytes) == (0.25, 0.5, 250)


def test_another_run_keeps_earlier_lines_and_columns(tmp_path: Path) -> None:
    path = tmp_path / "pictures.csv"
    Journal(path, ["psnr"]).append([make(psnr=30)])
    journal = Journal(path, ["lpips"])
    journal.append([make(quality=9, lpips=0.5)])
    assert journal.columns == ("lpips", "psnr")
    assert [r.values for r in read(path)] == [{"psnr": 30}, {"lpips": 0.5}]


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "pictures.csv"
    Journal(path, ["psnr"]).append([make(psnr=30), make(quality=9, psnr=31)])
    path.write_text(path.read_text()[:-40])
    assert [r.quality for r in read(path)] == [5]
    assert read(tmp_path / "absent.csv") == []


def test_mean_leaves_out_what_does_not_apply() -> None:
    assert mean([1, math.nan, 3]) == 2
    assert math.isnan(mean([math.nan]))
    assert mean([1, math.inf]) == pytest.approx(math.inf)
