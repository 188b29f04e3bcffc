"""The metrics by name: which there are, how their columns are called, which can be used here.

The order of the columns is that of every table: what papers report comes first, what every model of
glc was trained on last.
The measuring itself is in `pixels`, `grid`, `perceptual`, `dists`, `judge`, `classifier` and
`frechet`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from eval.metrics import grid, pixels
from eval.metrics.backbones import Unavailable
from eval.metrics.classifier import Classifier
from eval.metrics.dists import Dists
from eval.metrics.frechet import SET_METRICS
from eval.metrics.judge import Judge
from eval.metrics.perceptual import Lpips, Ssimulacra2
from eval.metrics.settings import Settings
from eval.pictures import RGB


@dataclass(frozen=True)
class Column:
    """One figure of a table: its key in CSV and JSON, its title, and how to read it."""

    key: str
    title: str
    digits: int
    higher_is_better: bool


COLUMNS: dict[str, Column] = {
    column.key: column
    for column in (
        Column("psnr", "PSNR dB", 2, True),
        Column("lpips_alex", "LPIPS(alex)", 4, False),
        Column("dists", "DISTS", 4, False),
        Column("lpips_vgg", "LPIPS(vgg)", 4, False),
        Column("ms_ssim", "MS-SSIM", 4, True),
        Column("colour16", "colour16", 2, False),
        Column("grid_db", "grid dB", 2, False),
        Column("recognised", "recognised", 3, True),
        Column("judge_distance", "judge distance", 4, False),
        Column("ssimulacra2", "SSIMULACRA 2", 1, True),
        Column("agree", "top-1 agreement", 3, True),
        Column("frechet_judge", "Frechet (judge)", 2, False),
        Column("frechet_squeezenet", "Frechet (SqueezeNet)", 0, False),
        Column("fid", "FID", 2, False),
        Column("kid", "KID", 5, False),
        Column("lpips_squeeze", "LPIPS(squeeze)*", 4, False),
    )
}
TRAINED_ON = "lpips_squeeze"
FOOTNOTES = {
    "lpips_squeeze": "* LPIPS(squeeze) was among the training losses of glc and flatters it.",
    "lpips_alex": "LPIPS(alex) is among the training losses of those models of glc whose cards say "
    "so, and flatters them; DISTS and LPIPS(vgg) are among none.",
}
"""What goes under every table that has the column."""

HEADLINE = ("psnr", "lpips_alex", "dists", "ms_ssim", "colour16", "grid_db", "recognised")
"""What short tables have."""


@dataclass(frozen=True)
class Metric:
    """A metric of one decoded picture against its original; one value per column."""

    name: str
    columns: tuple[str, ...]
    measure: Callable[[RGB, RGB], tuple[float, ...]]


PICTURE_METRICS: dict[str, tuple[str, ...]] = {
    "psnr": ("psnr",),
    "lpips-alex": ("lpips_alex",),
    "dists": ("dists",),
    "lpips-vgg": ("lpips_vgg",),
    "ms-ssim": ("ms_ssim",),
    "colour16": ("colour16",),
    "grid": ("grid_db",),
    "judge": ("recognised", "judge_distance"),
    "ssimulacra2": ("ssimulacra2",),
    "agree": ("agree",),
    "lpips-squeeze": ("lpips_squeeze",),
}
ALL = (*PICTURE_METRICS, *SET_METRICS)
QUICK = ("psnr", "lpips-alex", "ms-ssim", "colour16", "grid", "judge", "lpips-squeeze")


def build(name: str, settings: Settings) -> Metric:
    """Make the metric called `name`.

    Args:
        name: a key of PICTURE_METRICS.
        settings: where networks run and where their weights are.

    Raises:
        Unavailable: a package or weight file is missing; the message says which and where.
    """
    return Metric(name, PICTURE_METRICS[name], _measure(name, settings))


def usable(names: Sequence[str], settings: Settings) -> tuple[list[str], dict[str, str]]:
    """Split `names` into those that work here and those that do not, with the reason.

    Args:
        names: of ALL.
        settings: where networks run and where their weights are.

    Returns:
        The usable names in their order, and a reason for each of the others.

    Raises:
        ValueError: a name that no metric has.
    """
    works: list[str] = []
    reasons: dict[str, str] = {}
    for name in names:
        if name not in ALL:
            raise ValueError(f"--metrics: unknown metric {name!r}; known: {', '.join(ALL)}")
        try:
            if name in SET_METRICS:
                SET_METRICS[name](settings)
            else:
                build(name, settings)
            works.append(name)
        except Unavailable as error:
            reasons[name] = str(error)
    return works, reasons


def _measure(name: str, settings: Settings) -> Callable[[RGB, RGB], tuple[float, ...]]:
    device = settings.device
    if name == "judge":
        return Judge(settings.judge_path(), device).compare
    if name.startswith("lpips-"):
        return _single(Lpips(name.removeprefix("lpips-"), device, settings.features).compare)
    if name == "dists":
        return _single(Dists(device, settings.features).compare)
    if name == "agree":
        return _single(Classifier(settings.classifier, device).compare)
    if name == "ssimulacra2":
        return _single(Ssimulacra2().compare)
    if name == "ms-ssim":
        return lambda x, x_hat: (pixels.ms_ssim(x, x_hat, device),)
    plain = {"psnr": pixels.psnr_db, "colour16": pixels.colour16, "grid": grid.grid_score_db}
    return _single(plain[name])


def _single(compare: Callable[[RGB, RGB], float]) -> Callable[[RGB, RGB], tuple[float, ...]]:
    return lambda x, x_hat: (compare(x, x_hat),)
