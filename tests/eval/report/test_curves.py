from __future__ import annotations

import json
import math
from pathlib import Path

from eval.report import curves
from eval.report.summary import Point


def make(codec: str, bpp: float, **values: float) -> Point:
    return Point(codec, bpp * 100, 2, bpp, bpp + 0.01, 0.1, 0.2, values)


POINTS = [
    make("avif@1/4", 0.1, psnr=20.0, ms_ssim=0.8, dists=0.3),
    make("avif@1/4", 0.2, psnr=22.0, ms_ssim=0.9, dists=math.nan),
]


def test_written_curves_have_the_keys_of_compressai(tmp_path: Path) -> None:
    (path,) = curves.write(tmp_path / "curves", POINTS, "2 pictures")
    assert path.name == "avif_1_4.json"
    curve = json.loads(path.read_text())
    assert (curve["name"], curve["description"]) == ("avif@1/4", "2 pictures")
    results = curve["results"]
    assert results["bpp"] == [0.1, 0.2]
    assert results["psnr-rgb"] == results["psnr"] == [20, 22]
    assert results["ms-ssim-rgb"] == results["ms-ssim"] == [0.8, 0.9]
    assert results["encoding_time"] == [0.1, 0.1]
    assert results["decoding_time"] == [0.2, 0.2]
    assert "dists" not in results, "the schema has no blanks"
    assert len({len(values) for values in results.values()}) == 1
