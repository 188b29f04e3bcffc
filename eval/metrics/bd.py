"""Bjontegaard delta rates: how many percent fewer or more bits for the same figure.

By the package bjontegaard with its "pchip" interpolation, as JVET's sheets have it. A figure is
given only where it means something: at least four points on either curve, quality rising with the
rate, and the two ranges of quality overlapping by 0.75 of their union. The overlap is always shown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import bjontegaard

from eval.metrics.pixels import ms_ssim_db
from eval.metrics.registry import COLUMNS
from eval.report.summary import Point, by_codec, columns_of

MIN_OVERLAP = 0.75
MIN_POINTS = 4
_COMPARABLE = (
    "psnr",
    "lpips_alex",
    "dists",
    "lpips_vgg",
    "ms_ssim",
    "colour16",
    "ssimulacra2",
    "judge_distance",
    "frechet_judge",
    "frechet_squeezenet",
    "fid",
    "lpips_squeeze",
)


@dataclass(frozen=True)
class Delta:
    """The rate of a codec against an anchor at the same figure of one metric."""

    anchor: str
    metric: str
    overlap: float
    """Of the two ranges of the metric: intersection over union, 0..1."""
    percent: float | None
    """Negative: fewer bits than the anchor. None where it would mean nothing."""

    def show(self) -> str:
        """Return the figure with its overlap, as the table has it."""
        figure = "n/a" if self.percent is None else f"{self.percent:+.1f} %"
        return f"{figure} ({self.overlap:.2f})"


def delta(test: Sequence[Point], anchor: Sequence[Point], metric: str) -> Delta:
    """Compare two curves; both lists lowest rate first."""
    test_curve, anchor_curve = _curve(test, metric), _curve(anchor, metric)
    overlap = _overlap([q for _, q in test_curve], [q for _, q in anchor_curve])
    curves = (test_curve, anchor_curve)
    sound = all(len(curve) >= MIN_POINTS and _rises(curve) for curve in curves)
    percent = None
    if sound and overlap >= MIN_OVERLAP:
        anchor_rates, anchor_figures = zip(*anchor_curve, strict=True)
        test_rates, test_figures = zip(*test_curve, strict=True)
        percent = float(
            bjontegaard.bd_rate(
                anchor_rates,
                anchor_figures,
                test_rates,
                test_figures,
                method="pchip",
                require_matching_points=False,
                min_overlap=MIN_OVERLAP,
            )
        )
    return Delta(anchor[0].codec, metric, overlap, percent)


def deltas(all_points: Sequence[Point], test: str) -> list[Delta]:
    """Compare the codec called `test` with every other one on every metric that has a range."""
    curves = by_codec(all_points)
    metrics = [key for key in columns_of(all_points) if key in _COMPARABLE]
    return [
        delta(curves[test], curve, metric)
        for codec, curve in curves.items()
        for metric in metrics
        if codec != test
    ]


def rows(found: Sequence[Delta]) -> list[list[str]]:
    """Return the table: one row per anchor, one column per metric, the header first."""
    metrics = list(dict.fromkeys(d.metric for d in found))
    cells = {(d.anchor, d.metric): d.show() for d in found}
    table = [["against", *(COLUMNS[m].title for m in metrics)]]
    for anchor in dict.fromkeys(d.anchor for d in found):
        table.append([anchor, *(cells[anchor, metric] for metric in metrics)])
    return table


def _curve(points: Sequence[Point], metric: str) -> list[tuple[float, float]]:
    """Return (bpp, figure) with figures turned so that higher is better."""
    sign = 1 if COLUMNS[metric].higher_is_better else -1
    found = []
    for point in points:
        figure = point.values.get(metric, math.nan)
        figure = ms_ssim_db(figure) if metric == "ms_ssim" else sign * figure
        if math.isfinite(figure):
            found.append((point.bpp, figure))
    return found


def _rises(curve: Sequence[tuple[float, float]]) -> bool:
    return all(a[0] < b[0] and a[1] < b[1] for a, b in zip(curve, curve[1:], strict=False))


def _overlap(a: Sequence[float], b: Sequence[float]) -> float:
    if not a or not b:
        return 0.0
    union = max(*a, *b) - min(*a, *b)
    shared = min(max(a), max(b)) - max(min(a), min(b))
    return max(shared, 0.0) / union if union > 0 else 0.0
