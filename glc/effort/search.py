"""The search behind ``effort``: more quality for the bits that one pass would take.

Knows nothing of files; what needs gradients is handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from glc.effort.frugal import Frugal
from glc.effort.levels import Level
from glc.entropy import ScaleTables
from glc.pipeline import Pipeline, Written
from glc.runtime.protocol import Floats, Integers, Networks, Pixels
from glc.tiling.progress import Progress, part

if TYPE_CHECKING:
    from glc.weights.checkpoint import Checkpoint

__all__ = ["Refiner", "Search", "bits_of", "fit", "open_refiner"]

Symbols: TypeAlias = "tuple[list[Written], NDArray[np.int16]]"
"""What ``Pipeline.write`` gives."""

_FIRST_WEIGHT = 0.004
"""Where the search for the weight of a bit begins, against the square of a step."""
_SLACK = 0.01
"""By how much symbols may take more bits than those of one pass."""
_AIM = 1.1
"""What a descent is asked for, against what is wanted: few steps do not get all of the way,
and what is too much is taken away again."""


class Refiner(Protocol):
    """What descends on y; see ``glc.effort.descent``."""

    def __call__(
        self,
        pictures: Sequence[Pixels],
        y: Floats,
        indices: Integers,
        quality: int,
        factor: NDArray[np.float64],
        level: Level,
        progress: Progress | None = None,
    ) -> Floats:
        """Return a y whose symbols take ``factor`` times the bits of those of ``y``."""


@dataclass(frozen=True)
class Search:
    """A level of effort, ready to choose the symbols of pictures."""

    level: Level
    scales: ScaleTables
    """Of the symbols."""
    refiner: Refiner | None = None
    """Needed if the level has steps."""
    spare_bits: float | None = None
    """That symbols may take beyond those of one pass; a hundredth of these when omitted."""

    def __call__(
        self,
        pipeline: Pipeline,
        pictures: Sequence[Pixels],
        y: Floats,
        indices: Integers,
        quality: int,
        progress: Progress | None = None,
    ) -> Symbols:
        """Choose symbols.

        Args:
            pipeline: for these pictures and this quality.
            pictures: (H, W, 3) each.
            y: (B, C_y, h, w), of one pass.
            indices: of z, (B, h / 4, w / 4).
            quality: 0 to 100.
            progress: told of the share that is done.

        Returns:
            As ``Pipeline.write``.
        """
        own = bits_of(self.scales, pipeline.write(y, indices)[0])
        wanted = own * (1.0 + _SLACK) if self.spare_bits is None else own + self.spare_bits
        if self.refiner is not None and self.level.steps:
            # What was chosen by one pass may be no bits at all.
            factor = _AIM * wanted / np.maximum(own, 1.0)
            while_refining = part(progress, 0.0, 0.9)
            y = self.refiner(pictures, y, indices, quality, factor, self.level, while_refining)

        threshold = pipeline.rounding

        def write(weights: NDArray[np.float64]) -> Symbols:
            return pipeline.write(y, indices, None, Frugal(self.scales, weights, threshold))

        return fit(write, self.scales, wanted, self.level.fits)


def open_refiner(networks: Networks, weights: Checkpoint) -> Refiner:
    """Return what descends on y: in torch, whatever computes else.

    Args:
        networks: of a codec; taken as they are if they are torch's.
        weights: of the same model.

    Raises:
        ModuleNotFoundError: torch is not installed.
    """
    from glc.effort.descent import Descent
    from glc.runtime.torch import TorchNetworks

    mine = networks if isinstance(networks, TorchNetworks) else TorchNetworks(weights, "cpu")
    return Descent(mine)


def fit(
    write: Callable[[NDArray[np.float64]], Symbols],
    scales: ScaleTables,
    wanted: NDArray[np.float64],
    tries: int,
) -> Symbols:
    """Return, of each picture, the symbols with most bits among those with few enough.

    Args:
        write: gives symbols for (B,) weights of a bit; what is heavier takes fewer bits.
        scales: tables of the symbols.
        wanted: (B,) bits at most. Where no try has so few, the one with fewest is taken.
        tries: calls of ``write`` at most, 1 or more; the first has weights of 0.
    """
    weights, fitting = np.zeros(len(wanted)), np.full(len(wanted), np.inf)
    too_light = weights
    best: list[tuple[Symbols, int]] = []
    least = np.zeros(len(wanted))
    for number in range(tries):
        found = write(weights)
        bits = bits_of(scales, found[0])
        fits, had = bits <= wanted, least <= wanted
        better = (fits & (~had | (bits > least))) | (~fits & ~had & (bits < least))
        if not number:
            best, least = [(found, index) for index in range(len(wanted))], bits.copy()
            if fits.all():
                break
        for index in np.flatnonzero(better):
            best[index], least[index] = (found, int(index)), bits[index]
        fitting = np.where(fits, np.minimum(fitting, weights), fitting)
        too_light = np.where(fits, too_light, np.maximum(too_light, weights))
        # Beyond all that was tried: three times as much; else in the middle.
        further = np.maximum(3.0 * too_light, _FIRST_WEIGHT)
        weights = np.where(np.isinf(fitting), further, (too_light + fitting) / 2.0)
        # What fits as it is stays so.
        weights = np.where(fitting == 0.0, 0.0, weights)
    return _put_together(best)


def bits_of(scales: ScaleTables, steps: Sequence[Written]) -> NDArray[np.float64]:
    """Return the bits of the symbols of each picture, by the tables that code them: (B,)."""
    totals = np.zeros(len(steps[0][0]))
    for rows, symbols, coded in steps:
        for index, where in enumerate(coded):
            totals[index] += scales.bits(symbols[index][where], rows[index][where]).sum()
    return totals


def _put_together(parts: Sequence[tuple[Symbols, int]]) -> Symbols:
    """Make one batch of pictures that were chosen from several."""
    steps = []
    for step in range(len(parts[0][0][0])):
        own = [found[0][step] for found, _ in parts]
        which = [index for _, index in parts]
        rows, symbols, coded = (
            np.stack([of_step[kind][index] for of_step, index in zip(own, which, strict=True)])
            for kind in range(3)
        )
        steps.append((rows, symbols, coded))
    return steps, np.stack([found[1][index] for found, index in parts])
