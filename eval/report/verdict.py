"""The first question of a report: is the codec better than what I have, and at which sizes?

Two metrics answer, one of how a picture looks and one of its pixels: codecs that invent detail and
codecs that blur it trade one for the other, and no single figure would be fair.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from eval.metrics.registry import COLUMNS
from eval.report.at_rate import figure
from eval.report.summary import Point, by_codec, columns_of

LOOKS = ("dists", "lpips_vgg", "lpips_alex", "ms_ssim", "lpips_squeeze")
"""Which metric speaks for how a picture looks: the first that was measured; those that were in no
training loss come first."""
PIXELS = "psnr"
_STEPS = 400


@dataclass(frozen=True)
class Verdict:
    """What a run says of the codec against one rival."""

    rival: str
    smallest: float
    """Bits per pixel of the smallest files that the rival makes."""
    goes_lower: bool
    """Whether the codec under test makes smaller ones."""
    winners: Mapping[str, Sequence[tuple[str, float]]]
    """For each metric the codecs that are better one after the other, from small files to large
    ones, and the rate in bits per pixel up to which each is. Empty where both never have the same
    rate."""


def verdicts(points: Sequence[Point], tested: str) -> list[Verdict]:
    """Compare the codec `tested` with every other one, in the order of the points."""
    curves = by_codec(points)
    keys = _metrics(points)
    return [
        Verdict(
            rival=name,
            smallest=curve[0].bpp,
            goes_lower=curves[tested][0].bpp < curve[0].bpp,
            winners={key: winners(curves[tested], curve, key) for key in keys},
        )
        for name, curve in curves.items()
        if name != tested
    ]


def winners(ours: Sequence[Point], theirs: Sequence[Point], metric: str) -> list[tuple[str, float]]:
    """Return which of two codecs is better, from the lowest common rate to the highest.

    Curves are read as in ``eval.report.at_rate``: between their points, never beyond.

    Returns:
        (codec, rate up to which it is better), alternating; empty without a common rate.
    """
    low = max(ours[0].bpp, theirs[0].bpp)
    high = min(ours[-1].bpp, theirs[-1].bpp)
    if not low < high:
        return []
    sign = 1 if COLUMNS[metric].higher_is_better else -1
    found = []
    for step in range(_STEPS + 1):
        # The ends themselves, not what rounding makes of them.
        rate = min(max(low * (high / low) ** (step / _STEPS), low), high)
        lead = sign * (figure(ours, metric, rate) - figure(theirs, metric, rate))
        if not math.isnan(lead):
            found.append(((ours if lead > 0 else theirs)[0].codec, rate))
    runs = [list(run) for _, run in groupby(found, key=lambda item: item[0])]
    return [run[-1] for run in runs]


def sentences(verdict: Verdict, pixels: float) -> list[str]:
    """Put a verdict into words; sizes are those of a picture of so many pixels."""

    def size(bpp: float) -> str:
        return f"{bpp * pixels / 8000:.2g} kB ({bpp:.3f} bpp)"

    told = []
    for metric, order in verdict.winners.items():
        name = f"{'By pixels' if metric == PIXELS else 'By looks'} ({COLUMNS[metric].title}): "
        if not order:
            told.append(f"{name}no file size in common.")
        elif len(order) == 1:
            told.append(f"{name}{order[0][0]} at every size that both make.")
        else:
            parts = [f"{order[0][0]} below {size(order[0][1])}"]
            for (_, start), (codec, end) in zip(order, order[1:-1], strict=False):
                parts.append(f"{codec} from {size(start)} to {size(end)}")
            told.append(f"{name}{', '.join([*parts, f'{order[-1][0]} above'])}.")
    if verdict.goes_lower:
        told.append(f"{verdict.rival} makes nothing below {size(verdict.smallest)}.")
    return told


def _metrics(points: Sequence[Point]) -> list[str]:
    present = columns_of(points)
    looks = next((key for key in LOOKS if key in present), None)
    return [key for key in (looks, PIXELS) if key in present]
