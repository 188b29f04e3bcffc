from __future__ import annotations

import math

import pytest

from eval.records import Record
from eval.report import summary


def make(codec: str, quality: float, size: int, pixels: int, **values: float) -> Record:
    seconds = size / 1000
    return Record(codec, "1", quality, f"{pixels}", "x", pixels, 1, size, seconds, 2, values)


RECORDS = [
    make("b", 9, 300, 800, psnr=30.0, dists=math.nan),
    make("b", 9, 100, 1600, psnr=34.0, dists=0.5),
    make("a", 1, 50, 800, psnr=20.0),
    make("b", 2, 10, 800, psnr=10.0),
]


def test_points_are_means_over_pictures() -> None:
    point = summary.points(RECORDS)[1]
    assert (point.codec, point.quality, point.pictures) == ("b", 9, 2)
    assert point.bpp == pytest.approx((3 + 0.5) / 2)
    assert point.corpus_bpp == pytest.approx(8 * 400 / 2400)
    assert point.values == {"psnr": 32, "dists": 0.5}
    assert (point.encode_s, point.decode_s) == (0.2, 2)


def test_points_come_by_codec_and_rate() -> None:
    order = [(p.codec, p.quality) for p in summary.points(RECORDS)]
    assert order == [("b", 2), ("b", 9), ("a", 1)]
    assert list(summary.by_codec(summary.points(RECORDS))) == ["b", "a"]


def test_figures_of_sets_join_their_point() -> None:
    points = summary.points(RECORDS, {("b", 9): {"fid": 7.0}})
    assert [p.values.get("fid") for p in points] == [None, 7, None]
    assert summary.columns_of(points) == ["psnr", "dists", "fid"]


def test_table_shows_every_figure_and_a_dash_for_none() -> None:
    lines = summary.markdown(summary.rows(summary.points(RECORDS))).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0][:6] == ["codec", "quality", "bpp", "corpus bpp", "PSNR dB", "DISTS"]
    assert cells[3] == ["b", "9", "1.7500", "1.3333", "32.00", "0.5000", "0.200", "2.000"]
    assert cells[4] == ["a", "1", "0.5000", "0.5000", "20.00", "-", "0.050", "2.000"]
    assert len({len(line) for line in lines}) == 1, "columns line up"
