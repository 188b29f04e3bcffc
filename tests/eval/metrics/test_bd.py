from __future__ import annotations

import math

import pytest

from eval.metrics import bd
from eval.report.summary import Point

RATES = (0.02, 0.04, 0.08, 0.16, 0.32)


def curve(codec: str, scale: float = 1, shift: float = 0, metric: str = "psnr") -> list[Point]:
    """Return a curve of 3 dB per doubling at `scale` times the rate, `shift` dB higher."""
    sign = 1 if metric == "psnr" else -0.01
    values = [sign * (30 + shift + 3 * math.log2(rate)) for rate in RATES]
    return [
        Point(codec, i, 1, scale * rate, rate, 0, 0, {metric: value})
        for i, (rate, value) in enumerate(zip(RATES, values, strict=True))
    ]


@pytest.mark.parametrize("metric", ["psnr", "dists"])
@pytest.mark.parametrize("scale", [0.5, 1, 2])
def test_a_curve_at_another_scale_of_rate(scale: float, metric: str) -> None:
    found = bd.delta(curve("glc", scale, metric=metric), curve("jpeg", metric=metric), metric)
    assert found.overlap == pytest.approx(1)
    assert found.percent == pytest.approx(100 * (scale - 1), abs=1e-6)


def test_too_little_overlap_has_no_figure() -> None:
    near, far = (bd.delta(curve("glc", 1, shift), curve("jpeg"), "psnr") for shift in (1, 4))
    assert near.overlap == pytest.approx(11 / 13)
    assert near.percent == pytest.approx(100 * (2 ** (-1 / 3) - 1), abs=1)
    assert far.overlap == pytest.approx(8 / 16)
    assert far.percent is None
    assert far.show() == "n/a (0.50)"


def test_curves_apart_overlap_by_nothing() -> None:
    assert bd.delta(curve("glc", 1, 50), curve("jpeg"), "psnr").overlap == 0


def test_few_points_or_falling_quality_have_no_figure() -> None:
    assert bd.delta(curve("glc")[:3], curve("jpeg")[:3], "psnr").percent is None
    falling = curve("glc")
    falling[2] = falling[0].__class__(**{**vars(falling[2]), "values": {"psnr": 1.0}})
    assert bd.delta(falling, curve("jpeg"), "psnr").percent is None


def test_table_has_a_row_per_anchor() -> None:
    points = [*curve("glc", 0.5), *curve("jpeg"), *curve("webp", 1, 4)]
    table = bd.rows(bd.deltas(points, "glc"))
    assert table == [
        ["against", "PSNR dB"],
        ["jpeg", "-50.0 % (1.00)"],
        ["webp", "n/a (0.50)"],
    ]
