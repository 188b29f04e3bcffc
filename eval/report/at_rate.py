"""The figures of every codec at the same rates, read off its own curve."""

from __future__ import annotations

import math
from collections.abc import Sequence

from eval.metrics.registry import COLUMNS
from eval.report.summary import Point, by_codec, columns_of, show

RATES = (0.015, 0.03, 0.06, 0.15)
"""In bits per pixel."""


def figure(curve: Sequence[Point], metric: str, bpp: float) -> float:
    """Return a metric at a rate: linear between two points, over the logarithm of the rate.

    NaN outside of the curve, which is never extended, and where a point lacks the metric.

    Args:
        curve: the points of one codec, lowest rate first.
        metric: a key of COLUMNS.
        bpp: the rate.
    """
    for below, above in zip(curve, curve[1:], strict=False):
        if below.bpp <= bpp <= above.bpp and below.bpp < above.bpp:
            low, high = (point.values.get(metric, math.nan) for point in (below, above))
            share = math.log(bpp / below.bpp) / math.log(above.bpp / below.bpp)
            return low + share * (high - low)
    return math.nan


def rows(all_points: Sequence[Point], rates: Sequence[float] = RATES) -> list[list[str]]:
    """Return the table: every rate with the codecs that reach it, the header first."""
    keys = columns_of(all_points)
    table = [["codec", "bpp", *(COLUMNS[key].title for key in keys)]]
    for rate in rates:
        for codec, curve in by_codec(all_points).items():
            if curve[0].bpp <= rate <= curve[-1].bpp:
                cells = [show(figure(curve, key, rate), COLUMNS[key].digits) for key in keys]
                table.append([codec, f"{rate:g}", *cells])
    return table
