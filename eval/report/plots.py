"""Rate-distortion plots: one per metric, rate on a logarithmic axis."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from eval.metrics.pixels import ms_ssim_db
from eval.metrics.registry import COLUMNS
from eval.report.curves import is_ours
from eval.report.published import Published
from eval.report.summary import Point, by_codec

PLOTTED = tuple(key for key in COLUMNS if key not in ("recognised", "kid"))
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b58900", "#56b4e9", "#5b4b8a", "#8c564b")
"""For the rivals; glc is black and thick. After Okabe and Ito: apart for colour-blind eyes too."""
GREY = "#8a8a8a"
_MARKS = "os^vDPX<>"
_TICKS = (0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 3)


def figure(
    metric: str, all_points: Sequence[Point], published: Sequence[Published] = ()
) -> Figure | None:
    """Return the plot of one metric, None when no codec has it."""
    fig = Figure(figsize=(8.2, 4.4), layout="constrained")
    return fig if _fill(fig.add_subplot(), metric, all_points, published) else None


def side_by_side(
    metrics: Sequence[str],
    all_points: Sequence[Point],
    published: Mapping[str, Sequence[Published]],
) -> Figure:
    """Return one figure with a plot per metric."""
    fig = Figure(figsize=(7.2 * len(metrics), 4.2), layout="constrained")
    for index, metric in enumerate(metrics):
        axes = fig.add_subplot(1, len(metrics), index + 1)
        _fill(axes, metric, all_points, published.get(metric, ()))
    return fig


def svg(fig: Figure, name: str) -> str:
    """Return the plot as an <svg> element for a page that holds several of them."""
    buffer = io.StringIO()
    # Text stays text, and ids differ from plot to plot.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        fig.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def write(
    folder: Path, all_points: Sequence[Point], published: Mapping[str, Sequence[Published]]
) -> list[Path]:
    """Write `folder/<metric>.png` and `.svg` for every metric that was measured."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for metric in PLOTTED:
        fig = figure(metric, all_points, published.get(metric, ()))
        if fig is not None:
            path = folder / f"{metric}.png"
            fig.savefig(path, dpi=150)
            path.with_suffix(".svg").write_text(svg(fig, metric), encoding="utf-8")
            written.append(path)
    return written


def _ordered(all_points: Sequence[Point]) -> list[tuple[str, list[Point]]]:
    """Return the curves, glc last, so that it lies on top and the rivals' colours stay."""
    return sorted(by_codec(all_points).items(), key=lambda item: is_ours(item[0]))


def _fill(
    axes: Axes, metric: str, all_points: Sequence[Point], published: Sequence[Published]
) -> bool:
    """Draw one metric; False when no codec has it."""
    drawn = 0
    for index, (codec, points) in enumerate(_ordered(all_points)):
        known = [(p.bpp, _value(p, metric)) for p in points]
        known = [(rate, value) for rate, value in known if math.isfinite(value)]
        drawn += len(known)
        _draw(axes, codec, known, index)
    if not drawn:
        return False
    for mark, system in zip(_MARKS, published, strict=False):
        rates, values = zip(*system.points, strict=True)
        if metric == "ms_ssim":
            values = tuple(ms_ssim_db(v) for v in values)
        label = f"{system.system} (published)"
        (line,) = axes.plot(rates, values, f"{mark}:", color=GREY, linewidth=0.7, label=label)
        line.set(markerfacecolor="none", markersize=5)
    _dress(axes, metric)
    return True


def _draw(axes: Axes, codec: str, known: Sequence[tuple[float, float]], index: int) -> None:
    if not known:
        return
    rates, values = zip(*known, strict=True)
    if is_ours(codec):
        axes.plot(rates, values, "o-", color="black", linewidth=2.4, label=codec, zorder=5)
        return
    style = "--" if "@" in codec else "-"
    colour = COLOURS[index % len(COLOURS)]
    axes.plot(rates, values, f".{style}", color=colour, linewidth=1.3, label=codec)


def _value(point: Point, metric: str) -> float:
    value = point.values.get(metric, math.nan)
    return ms_ssim_db(value) if metric == "ms_ssim" else value


def _dress(axes: Axes, metric: str) -> None:
    column = COLUMNS[metric]
    title = "MS-SSIM dB" if metric == "ms_ssim" else column.title
    better = "higher is better" if column.higher_is_better else "lower is better"
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(_TICKS))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
    axes.set_xlabel("bits per pixel (log)")
    axes.set_ylabel(f"{title} ({better})")
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(alpha=0.3)
    # Beside the curves: twenty names hide what they name.
    axes.legend(
        fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0, frameon=False
    )
