"""Distances between two sets of pictures, on patches: Frechet on other features, FID and KID.

They judge realism over a whole set, not one picture against its original. *Frechet (judge)* and
*Frechet (SqueezeNet)* are the formula of FID (Heusel et al., arXiv 1706.08500) on the 512 last
features, averaged over a patch, of the MobileNetV1 that nobody trains against and of SqueezeNet
1.1. They work offline, but their values cannot be compared with any FID, nor with each other.

Patches: squares of 64 pixels when the pictures are no larger than 1 Mpixel, as the GLC paper does
for Kodak; otherwise 256 pixels and a second grid shifted by 128, as HiFiC does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import version
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eval.metrics.backbones import (
    INCEPTION,
    INCEPTION_URL,
    Unavailable,
    checkpoint,
    squeezenet_features,
    to_pm1,
)
from eval.metrics.judge import FEATURE_LAYERS, Judge
from eval.metrics.settings import Settings
from eval.pictures import RGB, patches

FEW_PATCHES = 2048
"""With fewer patches than that a covariance of features is hardly known; a report says so."""
_BATCH = 64
_KID_SUBSET = 500
_SMALL_PICTURE = 1_000_000
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)

T = TypeVar("T")


@dataclass(frozen=True)
class PatchGrid:
    """How patches are cut: their side in pixels and whether a second, shifted grid is added."""

    side: int
    shifted: bool

    @classmethod
    def for_pictures(cls, pixel_counts: Iterable[int]) -> PatchGrid:
        """Return 64 px for sets of small pictures, else 256 px with the half shift."""
        small = max(pixel_counts) <= _SMALL_PICTURE
        return cls(side=64, shifted=False) if small else cls(side=256, shifted=True)

    def count(self, height: int, width: int) -> int:
        """Return how many patches a picture of that size has."""
        side = self.side
        found = (height // side) * (width // side)
        if self.shifted and min(height, width) >= 1.5 * side:
            found += ((height - side // 2) // side) * ((width - side // 2) // side)
        return found

    def cut(self, picture: RGB) -> list[RGB]:
        """Return the patches of one picture; none when it is smaller than a patch."""
        found = list(patches(picture, self.side))
        if self.shifted and min(picture.shape[:2]) >= 1.5 * self.side:
            found += patches(picture, self.side, self.side // 2)
        return found


def frechet_distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return the Frechet distance of the Gaussians fitted to two sets of features.

    Args:
        a: (N, D), N >= 2.
        b: (M, D), M >= 2.
    """
    offset = np.sum((a.mean(axis=0) - b.mean(axis=0)) ** 2)
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    values, vectors = np.linalg.eigh(np.atleast_2d(cov_a))
    root_a = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    # tr sqrt(A B) = tr sqrt(sqrt(A) B sqrt(A)), and that product is symmetric.
    mixed = np.linalg.eigvalsh(root_a @ np.atleast_2d(cov_b) @ root_a)
    spread = np.trace(np.atleast_2d(cov_a)) + np.trace(np.atleast_2d(cov_b))
    return float(max(offset + spread - 2 * np.sum(np.sqrt(mixed.clip(0))), 0.0))


class Frechet:
    """The Frechet distance of picture sets from one set of originals, on a network's features."""

    def __init__(self, column: str, features: Callable[[Tensor], Tensor], device: str) -> None:
        """Take the network.

        Args:
            column: of COLUMNS.
            features: (B, 3, side, side) float32 in [-1, 1] to (B, D).
            device: where it runs.
        """
        self.columns = (column,)
        self._look = features
        self._device = device
        self._originals = np.zeros((0, 0))

    def begin(self, originals: Iterable[RGB]) -> None:
        """Take the patches of the originals."""
        self._originals = self._features(originals)

    def compare(self, decoded: Iterable[RGB]) -> tuple[float, ...]:
        """Return the distance of the decoded patches from the originals' patches."""
        return (frechet_distance(self._originals, self._features(decoded)),)

    def _features(self, tiles: Iterable[RGB]) -> NDArray[np.float64]:
        def look(batch: Tensor) -> NDArray[np.float64]:
            found: NDArray[np.float64] = self._look(batch).double().cpu().numpy()
            return found

        return np.concatenate(_in_batches(tiles, look, self._device))


def frechet_squeezenet(settings: Settings) -> Frechet:
    """Return Frechet (SqueezeNet); Unavailable when its weights are absent."""
    device = settings.device
    network = squeezenet_features(device)
    mean = torch.tensor(_MEAN, device=device).view(1, 3, 1, 1)
    std = torch.tensor(_STD, device=device).view(1, 3, 1, 1)

    def features(batch: Tensor) -> Tensor:
        found: Tensor = network(((batch + 1) / 2 - mean) / std).mean(dim=(2, 3))
        return found

    return Frechet("frechet_squeezenet", features, device)


def frechet_judge(settings: Settings) -> Frechet:
    """Return Frechet (judge); Unavailable when its weights are absent."""
    judge = Judge(settings.judge_path(), settings.device)
    last = FEATURE_LAYERS[-1]

    def features(batch: Tensor) -> Tensor:
        return judge.features(batch)[last].mean(dim=(2, 3))

    return Frechet("frechet_judge", features, settings.device)


class InceptionDistances:
    """FID and KID by torchmetrics, on the Inception network of torch-fidelity."""

    columns = ("fid", "kid")

    def __init__(self, settings: Settings) -> None:
        """Load the network; Unavailable when a package or the weights are absent."""
        device = settings.device
        path = checkpoint(INCEPTION, INCEPTION_URL)
        try:
            from torchmetrics.image.fid import FrechetInceptionDistance
            from torchmetrics.image.kid import KernelInceptionDistance

            # antialias=True is torchmetrics' default; older papers' figures differ by it.
            self._fid = FrechetInceptionDistance(
                2048,
                reset_real_features=False,
                feature_extractor_weights_path=str(path),
                antialias=True,
            ).to(device)
            # The same network, which KID would otherwise try to download.
            self._kid = KernelInceptionDistance(
                self._fid.inception, subsets=50, subset_size=_KID_SUBSET, reset_real_features=False
            ).to(device)
        except (ImportError, ModuleNotFoundError) as error:
            raise Unavailable("needs torchmetrics and torch-fidelity: pip install both") from error
        self._device = device

    def begin(self, originals: Iterable[RGB]) -> None:
        """Take the patches of the originals."""
        self._feed(originals, real=True)

    def compare(self, decoded: Iterable[RGB]) -> tuple[float, ...]:
        """Return (FID, KID mean) of the decoded patches against the originals' patches."""
        self._fid.reset()
        self._kid.reset()
        count = self._feed(decoded, real=False)
        self._kid.subset_size = min(_KID_SUBSET, count)
        torch.manual_seed(0)  # KID draws its subsets at random
        return float(self._fid.compute()), float(self._kid.compute()[0])

    def _feed(self, tiles: Iterable[RGB], *, real: bool) -> int:
        def feed(batch: Tensor) -> int:
            as_bytes = ((batch + 1) * 127.5).round().byte()
            self._fid.update(as_bytes, real=real)
            self._kid.update(as_bytes, real=real)
            return len(batch)

        return sum(_in_batches(tiles, feed, self._device))


SetMetric = Frechet | InceptionDistances

SET_METRICS: dict[str, Callable[[Settings], SetMetric]] = {
    "frechet-judge": frechet_judge,
    "frechet-squeezenet": frechet_squeezenet,
    "fid": InceptionDistances,
}
"""Metrics of whole sets by name; `fid` gives KID as well."""


def conditions(grid: PatchGrid, count: int) -> dict[str, str | int | bool]:
    """Return what a reader must know to compare such a figure: patches, library, antialias."""
    return {
        "patch_side": grid.side,
        "half_shift": grid.shifted,
        "patches": count,
        "too_few_for_comfort": count < FEW_PATCHES,
        "torch": version("torch"),
        "antialias": True,
    }


def _in_batches(tiles: Iterable[RGB], use: Callable[[Tensor], T], device: str) -> list[T]:
    results: list[T] = []
    waiting: list[Tensor] = []
    with torch.inference_mode():
        for tile in tiles:
            waiting.append(to_pm1(tile.copy(), device))
            if len(waiting) == _BATCH:
                results.append(use(torch.cat(waiting)))
                waiting.clear()
        if waiting:
            results.append(use(torch.cat(waiting)))
    return results
