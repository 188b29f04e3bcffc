"""Pictures that nobody took: drawn from the learned tables or from noise, and between latents.

Knows nothing of files. What the tables know is how often each index and each symbol occurs, given
what the networks predict; whoever codes with them can also draw from them.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from glc.coding_loop import CodingLoop
from glc.entropy import IndexTables, ScaleTables
from glc.entropy.arrays import Int32Array
from glc.runtime.protocol import Floats, Integers

__all__ = ["PRIORS", "Draw", "draw_normal", "draw_symbols", "path", "spherical"]

PRIORS = ("learned", "normal")
"""Where samples come from: the tables that files are coded with, or N(0, I)."""


class Draw:
    """Draws symbols from integer tables; the same seed gives the same symbols on every machine.

    Random bits are those of PCG64, whose stream numpy promises to keep. At temperature 1 a symbol
    is as probable as the file format says; below, frequent symbols become more so; above, less.

    Args:
        seed: 0 or more.
        number: which of several pictures of a seed.
        temperature: above 0.

    Raises:
        ValueError: a seed below 0, or a temperature that is not above 0.
    """

    def __init__(self, seed: int, number: int, temperature: float = 1.0) -> None:
        if seed < 0:
            raise ValueError(f"seed: expected 0 or more, found {seed}")
        if not 0.0 < temperature < float("inf"):
            raise ValueError(f"temperature: expected a number above 0, found {temperature}")
        self._bits = np.random.PCG64(np.random.SeedSequence((seed, number)))
        self._exponent = 1.0 / temperature

    def indices(self, tables: IndexTables, row: int, count: int) -> Int32Array:
        """Return ``count`` indices drawn from one row of index tables: (count,) int32."""
        return self._choose(tables.frequencies[row], count)

    def symbols(self, tables: ScaleTables, rows: Int32Array) -> Int32Array:
        """Return a symbol for every row: (n,) int32, 0 at row 0.

        An escape, which the format gives to one symbol in thousands, is not drawn: the magnitudes
        behind it have a code, but no learned distribution.
        """
        symbols = np.zeros(len(rows), np.int32)
        for row in np.unique(rows[rows > 0]).tolist():
            where = np.flatnonzero(rows == row)
            codes = 2 * int(tables.half_widths[row]) + 1
            drawn = self._choose(tables.frequencies[row, :codes], len(where))
            magnitudes = (drawn + 1) >> 1
            symbols[where] = np.where(drawn & 1, -magnitudes, magnitudes)
        return symbols

    def normals(self, count: int) -> NDArray[np.float64]:
        """Return ``count`` numbers of N(0, T) at temperature T: (count,) float64.

        By Box and Muller's transform, so that the numbers of a seed do not depend on the version
        of numpy. As with tables, the density is taken to the power 1 / T.
        """
        pairs = (count + 1) // 2
        # Above 0, which has no logarithm.
        radius = np.sqrt(-2.0 / self._exponent * np.log(1.0 - self._uniform(pairs)))
        angle = 2.0 * math.pi * self._uniform(pairs)
        return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).ravel()[:count]

    def _uniform(self, count: int) -> NDArray[np.float64]:
        """Return numbers in [0, 1): (count,) float64."""
        uniform: NDArray[np.float64] = (self._bits.random_raw(count) >> np.uint64(11)) * 2.0**-53
        return uniform

    def _choose(self, frequencies: Int32Array, count: int) -> Int32Array:
        weights = (frequencies / frequencies.max()) ** self._exponent
        ends = np.cumsum(weights)
        uniform = self._uniform(count)
        chosen = np.searchsorted(ends, uniform * ends[-1], side="right")
        # A product may round up to the last end itself.
        clipped: Int32Array = np.minimum(chosen, len(frequencies) - 1).astype(np.int32)
        return clipped


def draw_symbols(
    loop: CodingLoop, scales: ScaleTables, z: Integers, draw: Draw
) -> NDArray[np.int16]:
    """Draw every symbol of y in the order of the file format, given indices of z.

    Args:
        loop: whose rows choose the tables.
        scales: the tables of the symbols.
        z: (1, h, w) indices.
        draw: where symbols come from.

    Returns:
        (1, C_y, 4h, 4w).
    """

    def decode(rows: NDArray[np.uint8], coded: NDArray[np.bool_]) -> NDArray[np.int16]:
        symbols = draw.symbols(scales, rows.ravel().astype(np.int32))
        return symbols.reshape(rows.shape).astype(np.int16)

    return loop.read(z, decode)


def draw_normal(channels: int, height: int, width: int, draw: Draw) -> NDArray[np.float32]:
    """Draw z ~ N(0, I): (1, channels, height, width) float32."""
    numbers = draw.normals(channels * height * width).astype(np.float32)
    return numbers.reshape(1, channels, height, width)


def path(ends: Floats, steps: int) -> Floats:
    """Return ``steps`` >= 2 latents on the way: (2, C, h, w) -> (steps, C, h, w)."""
    shares = [step / (steps - 1) for step in range(steps)]
    return np.concatenate([spherical(ends[:1], ends[1:], share) for share in shares])


def spherical(a: Floats, b: Floats, share: float) -> Floats:
    """Go from a to b along the sphere that every position of a latent lies on.

    Spherical interpolation (Shoemake, SIGGRAPH 1985) of each position by itself; a straight line
    would lead through the inside of the sphere, where the decoder was never trained.

    Args:
        a: (B, C, h, w), unit mean square at every position.
        b: same shape.
        share: 0 gives a, 1 gives b.

    Returns:
        (B, C, h, w) float32; where a and b point the same way or opposite ways, the straight line.
    """
    # Numbers near 0 may vanish, whatever a program has numpy do about it.
    with np.errstate(all="ignore"):
        lengths = np.sqrt(np.square(a).sum(1) * np.square(b).sum(1))
        cosine = (a * b).sum(1) / np.maximum(lengths, 1e-12)
        angle = np.arccos(np.clip(cosine, -1.0, 1.0))[:, None]
        sine = np.sin(angle)
        straight = sine < 1e-4
        sine = np.where(straight, 1.0, sine)
        left = np.where(straight, 1.0 - share, np.sin((1.0 - share) * angle) / sine)
        right = np.where(straight, share, np.sin(share * angle) / sine)
        between: Floats = (a * left + b * right).astype(np.float32)
    return between
