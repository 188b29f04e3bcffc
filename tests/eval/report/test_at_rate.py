from __future__ import annotations

import math

import pytest

from eval.report import at_rate
from eval.report.summary import Point


def make(codec: str, bpp: float, **values: float) -> Point:
    return Point(codec, 0, 1, bpp, bpp, 0, 0, values)


CURVE = [make("a", 0.01, psnr=20, dists=0.3), make("a", 0.04, psnr=24), make("a", 0.16, psnr=26)]


def test_a_point_of_the_curve_is_met_and_the_middle_is_geometric() -> None:
    assert at_rate.figure(CURVE, "psnr", 0.01) == 20
    assert at_rate.figure(CURVE, "psnr", 0.16) == 26
    assert at_rate.figure(CURVE, "psnr", 0.02) == pytest.approx(22)
    assert at_rate.figure(CURVE, "psnr", 0.08) == pytest.approx(25)


def test_nothing_is_extended() -> None:
    assert math.isnan(at_rate.figure(CURVE, "psnr", 0.0099))
    assert math.isnan(at_rate.figure(CURVE, "psnr", 0.17))
    assert math.isnan(at_rate.figure(CURVE[:1], "psnr", 0.01))
    assert math.isnan(at_rate.figure(CURVE, "dists", 0.02)), "one end was not measured"


def test_the_table_has_the_codecs_that_reach_a_rate() -> None:
    points = [*CURVE, make("b", 0.05, psnr=30), make("b", 0.2, psnr=32)]
    table = at_rate.rows(points, (0.02, 0.1, 0.18, 1))
    assert table[0] == ["codec", "bpp", "PSNR dB", "DISTS"]
    assert [row[:2] for row in table[1:]] == [
        ["a", "0.02"],
        ["a", "0.1"],
        ["b", "0.1"],
        ["b", "0.18"],
    ]
    assert table[1][2:] == ["22.00", "-"]
