"""The search behind ``effort``: more quality for the bits that one pass would take.

Knows nothing of files; what needs gradients is handed in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from glc.coding_loop import CodingLoop, Written
from glc.effort.levels import Level
from glc.entropy import ScaleTables
from glc.runtime.protocol import Floats, Integers, Networks, Pixels
from glc.tiling.progress import Progress, part

if TYPE_CHECKING:
    from glc.weights.checkpoint import Checkpoint

__all__ = ["Refiner", "Search", "bits_of", "fit", "open_refiner"]

Symbols: TypeAlias = "tuple[list[Written], NDArray[np.int16]]"
"""What ``CodingLoop.write`` gives."""

_CLOSE = 0.015
"""Below what is wanted, as a share of it: close enough."""
_USUAL = 0.3
"""By how much the logarithm of the bits usually falls with an amount of thrift of 1."""
_TRIES_TO_FILL = 4
"""At least, where a number of bytes may not be exceeded."""
_MOST = 4.0
"""Amount of thrift beyond which nothing is tried."""


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
    ) -> tuple[Floats, Floats]:
        """Return a y whose symbols take about ``factor`` times the bits of those of ``y``, and
        what to add to it, 0 to about 1 times, to have fewer; less than 0 times, to have more.
        """


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
        loop: CodingLoop,
        pictures: Sequence[Pixels],
        y: Floats,
        indices: Integers,
        quality: int,
        progress: Progress | None = None,
    ) -> Symbols:
        """Choose symbols.

        Args:
            loop: for these pictures and this quality.
            pictures: (H, W, 3) each.
            y: (B, C_y, h, w), of one pass.
            indices: of z, (B, h / 4, w / 4).
            quality: 0 to 100.
            progress: told of the share that is done.

        Returns:
            As ``CodingLoop.write``.
        """
        if self.refiner is None or not self.level.steps:
            return loop.write(y, indices)
        level, told = self.level, part(progress, 0.0, 0.9)
        if self.spare_bits is not None:
            level = replace(level, fits=max(level.fits, _TRIES_TO_FILL))
        own = bits_of(self.scales, loop.write(y, indices)[0])
        at_most = self.spare_bits is not None
        wanted = own + (self.spare_bits or 0.0)
        # What was chosen by one pass may be no bits at all.
        factor = wanted / np.maximum(own, 1.0)
        moved, thrift = self.refiner(pictures, y, indices, quality, factor, level, told)

        def write(amounts: NDArray[np.float64]) -> Symbols:
            changed = moved + amounts.astype(np.float32)[:, None, None, None] * thrift
            return loop.write(changed, indices)

        return fit(write, self.scales, wanted, level.fits, at_most)


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
    at_most: bool = False,
) -> Symbols:
    """Return, of each picture, the symbols whose bits come closest to what is wanted.

    Args:
        write: gives symbols for (B,) amounts of thrift; more of it takes fewer bits.
        scales: tables of the symbols.
        wanted: (B,) bits.
        tries: calls of ``write`` at most, 1 or more; the first has amounts of 0.
        at_most: what has more bits than are wanted is worse than all that has not.
    """
    aim = (1.0 - _CLOSE) * wanted if at_most else wanted
    amounts = np.zeros(len(wanted))
    tried: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
    best: list[tuple[Symbols, int]] = []
    least = np.zeros(len(wanted))
    for number in range(tries):
        found = write(amounts)
        bits = bits_of(scales, found[0])
        tried.append((amounts, bits))
        error = np.abs(bits - aim)
        if at_most:
            error = np.where(bits > wanted, wanted + bits, error)
        if not number:
            best, least = [(found, index) for index in range(len(wanted))], error
        for index in np.flatnonzero(error < least):
            best[index], least[index] = (found, int(index)), error[index]
        if (least <= _CLOSE * wanted).all():
            break
        amounts = np.array(
            [
                _next([(float(a[index]), float(b[index])) for a, b in tried], float(aim[index]))
                for index in range(len(wanted))
            ]
        )
    return _put_together(best)


def _next(tried: Sequence[tuple[float, float]], aim: float) -> float:
    """Return the amount of thrift to try next for one picture.

    Args:
        tried: (amount, bits).
        aim: bits.
    """
    if aim < 1.0:
        return _MOST
    few = [one for one in tried if one[1] <= aim]
    many = [one for one in tried if one[1] > aim]
    if few and many:
        (low, above), (high, below) = max(many), min(few)
        share = math.log(above / aim) / math.log(above / max(below, 1.0)) if above > below else 0.5
        return low + (high - low) * min(max(share, 0.1), 0.9)
    # All on one side: on from the nearest by what is usual, and farther every time.
    amount, bits = max(many) if many else min(few)
    change = math.log(max(bits, 1.0) / aim) / _USUAL * 1.5 ** (len(tried) - 1)
    return min(max(amount + change, -_MOST), _MOST)


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
