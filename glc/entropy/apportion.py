"""Build time only: real weights to integer frequencies that sum to exactly 2**16.

Knows nothing of what the weights mean. Nothing here runs when a model is loaded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from glc.entropy.categorical import TOTAL

_WEIGHT_BITS = 60


def apportion(weights: Sequence[float], copies: Sequence[int] | None = None) -> list[int]:
    """Return frequencies in proportion to the weights, each >= 1, by the largest remainder.

    Weights whose share would be below 1 get 1; the others share what remains in proportion,
    rounded down, and those with the largest remainders get one more (ties go to the lower index).

    Args:
        weights: real numbers >= 0, at least one above 0.
        copies: how many symbols each weight stands for, all of which get the same frequency; 1 for
            each when absent. Units that are left over go, by largest remainder, to entries whose
            copies still fit; the rest goes to index 0, which must stand for a single symbol.

    Returns:
        One frequency per weight; sum(frequency * copies) is 2**16.

    Raises:
        ValueError: negative or infinite weights, or all zero; more symbols than 2**16; several
            copies of index 0.
    """
    counts = [1] * len(weights) if copies is None else list(copies)
    if not all(math.isfinite(w) and w >= 0 for w in weights) or not any(weights):
        raise ValueError("weights: expected finite numbers >= 0, not all of them 0")
    if sum(counts) > TOTAL:
        raise ValueError(f"weights: expected at most {TOTAL} symbols, found {sum(counts)}")
    if counts[0] != 1:
        raise ValueError(f"copies: expected 1 at index 0, found {counts[0]}")

    # Integers from here on: shares, remainders and ties are exact.
    largest = max(weights)
    scaled = [math.floor(math.ldexp(w / largest, _WEIGHT_BITS)) for w in weights]
    everything = range(len(weights))
    free = list(everything)
    while True:
        budget = TOTAL - sum(counts) + sum(counts[i] for i in free)
        norm = sum(scaled[i] * counts[i] for i in free)
        enough = [i for i in free if scaled[i] * budget >= norm]
        if len(enough) == len(free):
            break
        free = enough

    frequencies = [1 for _ in everything]
    for i in free:
        frequencies[i] = scaled[i] * budget // norm
    rest = TOTAL - sum(f * n for f, n in zip(frequencies, counts, strict=True))
    for i in sorted(free, key=lambda i: (-(scaled[i] * budget % norm), i)):
        if counts[i] <= rest:
            frequencies[i] += 1
            rest -= counts[i]
    frequencies[0] += rest
    return frequencies
