"""The plot of `eval.research.learning`: two curves per codec, and what each makes of one picture
when.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from PIL import Image

from eval.report.plots import COLOURS
from eval.research.learning import EQUAL_BPP, ERROR, SHOWN, Measured, corrected_at, psnr_at


def write(path: Path, found: Sequence[Measured], alone: float, out: Path) -> None:
    """Write the plot as a picture file.

    Args:
        path: where to; its suffix is the format.
        found: all measurements.
        alone: bits per pixel of a correction without a model.
        out: folder of the run, for the decoded pictures in `decoded/`.
    """
    steps = sorted({m.crops for m in found})
    fig = Figure(figsize=(10.0, 3.6 + 1.25 * len(SHOWN)), layout="constrained")
    above, below = fig.subfigures(2, 1, height_ratios=[3.6, 1.25 * len(SHOWN)])
    left, right = above.subplots(1, 2)
    _bits(left, found, steps, alone)
    _quality(right, found, steps)
    _pictures(below, found, steps, out)
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, dpi=80)
    if path.suffix == ".png":
        # Few colours are enough for curves and small pictures, and a third of the size.
        with Image.open(path) as image:
            small = image.convert("RGB").quantize(192, dither=Image.Dither.FLOYDSTEINBERG)
        small.save(path, optimize=True)


def _of(found: Sequence[Measured], shown: str, crops: int) -> list[Measured]:
    return [m for m in found if (m.shown, m.crops) == (shown, crops)]


def _bits(axes: Axes, found: Sequence[Measured], steps: Sequence[int], alone: float) -> None:
    """Draw bits at equal quality, and what the correction would need without any model."""
    for colour, shown in zip(COLOURS, SHOWN, strict=False):
        curve = [corrected_at(found, shown, crops) for crops in steps]
        axes.plot(_x(steps), curve, "o-", color=colour, label=f"shown {shown}")
    axes.axhline(alone, color="0.4", linewidth=1.0, linestyle=":", label="no model")
    axes.set_ylabel(f"bits per pixel for an error of at most {ERROR}")
    _dress(axes, steps)


def _quality(axes: Axes, found: Sequence[Measured], steps: Sequence[int]) -> None:
    for colour, shown in zip(COLOURS, SHOWN, strict=False):
        curve = [psnr_at(_of(found, shown, crops), EQUAL_BPP) for crops in steps]
        axes.plot(_x(steps), curve, "o-", color=colour, label=f"shown {shown}")
    axes.set_ylabel(f"PSNR in dB at {EQUAL_BPP:g} bits per pixel")
    _dress(axes, steps)


def _pictures(
    figure: SubFigure, found: Sequence[Measured], steps: Sequence[int], out: Path
) -> None:
    grid = figure.subplots(len(SHOWN), len(steps), squeeze=False)
    for row, shown in zip(grid, SHOWN, strict=True):
        for axes, crops in zip(row, steps, strict=True):
            mine = _of(found, shown, crops)
            point = min(mine, key=lambda m: abs(math.log(m.bpp / EQUAL_BPP)))
            name = f"{shown.replace(' ', '-')}-{crops:06d}-q{point.quality}.png"
            with Image.open(out / "decoded" / name) as image:
                axes.imshow(np.asarray(image))
            axes.set_xticks([])
            axes.set_yticks([])
            axes.set_xlabel(f"{point.bpp:.2f} bpp", fontsize=7, labelpad=1)
        row[0].set_ylabel(f"shown\n{shown}", fontsize=8)
    for axes, crops in zip(grid[0], steps, strict=True):
        axes.set_title(f"{crops} crops", fontsize=8)


def _x(steps: Sequence[int]) -> list[float]:
    """Place 0 left of the first step on a logarithmic axis."""
    first = min((s for s in steps if s), default=1)
    return [s or first / 4 for s in steps]


def _dress(axes: Axes, steps: Sequence[int]) -> None:
    axes.set_xscale("log")
    axes.set_xticks(_x(steps), [str(s) for s in steps])
    axes.minorticks_off()
    axes.set_xlabel("crops seen (log)")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
