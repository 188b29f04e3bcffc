"""The metrics by name: which there are, how their columns are called, which can be used here.

The measuring itself is in `pixels`, `grid`, `perceptual`, `judge`, `classifier` and `frechet`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from eval import grid, pixels
from eval.backbones import Unavailable
from eval.classifier import Classifier
from eval.frechet import SET_METRICS
from eval.judge import Judge
from eval.perceptual import Dists, Lpips, Ssimulacra2
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
        Column("ms_ssim", "MS-SSIM", 4, True),
        Column("lpips_squeeze", "LPIPS(squeeze)", 4, False),
        Column("lpips_alex", "LPIPS(alex)", 4, False),
        Column("lpips_vgg", "LPIPS(vgg)", 4, False),
        Column("dists", "DISTS", 4, False),
        Column("grid_db", "grid dB", 2, False),
        Column("ssimulacra2", "SSIMULACRA 2", 1, True),
        Column("agree", "top-1 agreement", 3, True),
        Column("recognised", "recognised", 3, True),
        Column("judge_distance", "judge distance", 4, False),
        Column("frechet_squeezenet", "Frechet (SqueezeNet)", 0, False),
        Column("fid", "FID", 2, False),
        Column("kid", "KID", 5, False),
    )
}


@dataclass(frozen=True)
class Metric:
    """A metric of one decoded picture against its original; one value per column."""

    name: str
    columns: tuple[str, ...]
    measure: Callable[[RGB, RGB], tuple[float, ...]]


@dataclass(frozen=True)
class Settings:
    """What metrics need to know: the device, the judge's weights, the classifier."""

    device: str = "cpu"
    judge: Path | None = None
    classifier: str = "resnet50"
    """Of torchvision, for the metric `agree`."""


PICTURE_METRICS: dict[str, tuple[str, ...]] = {
    "psnr": ("psnr",),
    "ms-ssim": ("ms_ssim",),
    "lpips-squeeze": ("lpips_squeeze",),
    "lpips-alex": ("lpips_alex",),
    "lpips-vgg": ("lpips_vgg",),
    "dists": ("dists",),
    "ssimulacra2": ("ssimulacra2",),
    "grid": ("grid_db",),
    "agree": ("agree",),
    "judge": ("recognised", "judge_distance"),
}
ALL = (*PICTURE_METRICS, *SET_METRICS)
QUICK = ("psnr", "ms-ssim", "lpips-squeeze", "grid", "judge")


def build(name: str, settings: Settings) -> Metric:
    """Make the metric called `name`.

    Raises:
        Unavailable: a package or weight file is missing; the message says which and where.
    """
    return Metric(name, PICTURE_METRICS[name], _measure(name, settings))


def usable(names: Sequence[str], settings: Settings) -> tuple[list[str], dict[str, str]]:
    """Split `names` into those that work here and those that do not, with the reason.

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
                SET_METRICS[name](settings.device)
            else:
                build(name, settings)
            works.append(name)
        except Unavailable as error:
            reasons[name] = str(error)
    return works, reasons


def _measure(name: str, settings: Settings) -> Callable[[RGB, RGB], tuple[float, ...]]:
    device = settings.device
    if name == "judge":
        if settings.judge is None:
            raise Unavailable("needs the judge's weights: --judge PATH of the safetensors file")
        return Judge(settings.judge, device).compare
    if name.startswith("lpips-"):
        return _single(Lpips(name.removeprefix("lpips-"), device).compare)
    if name == "agree":
        return _single(Classifier(settings.classifier, device).compare)
    if name in ("dists", "ssimulacra2"):
        return _single(Dists(device).compare if name == "dists" else Ssimulacra2().compare)
    if name == "ms-ssim":
        return lambda x, x_hat: (pixels.ms_ssim(x, x_hat, device),)
    return _single({"psnr": pixels.psnr_db, "grid": grid.grid_score_db}[name])


def _single(compare: Callable[[RGB, RGB], float]) -> Callable[[RGB, RGB], tuple[float, ...]]:
    return lambda x, x_hat: (compare(x, x_hat),)
