"""How much arithmetic each network does, and how close to the machine's limit it runs.

The limit is the rate of one large matrix product in float32 on as many threads. ``MAC`` is one
multiplication with its addition.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import torch

from eval.stages import Seconds
from glc.config import CodecConfig
from glc.networks.cost import cost_table

_TRIES = 5


def measured_peak(side: int = 2048) -> float:
    """Return MAC per second of the fastest of several matrix products, on torch's threads."""
    a, b = torch.randn(side, side), torch.randn(side, side)
    best = 0.0
    for _ in range(_TRIES):
        start = time.perf_counter()
        torch.mm(a, b)
        best = max(best, side**3 / (time.perf_counter() - start))
    return best


def rows(
    config: CodecConfig, works: Mapping[str, Mapping[str, Seconds]], pixels: int, peak: float
) -> list[list[str]]:
    """Return the table, header first: a row per part, whose rate is that of its wall-clock time.

    Args:
        config: of the model.
        works: what ``eval.stages.inside`` found: parts of ``encode`` and ``decode``.
        pixels: of the picture, padded.
        peak: MAC per second.
    """
    cost = {part: kmac for part, _, kmac in cost_table(config)}
    table = [["", "kMAC/px", "ms", "processor ms", "GMAC/s", "of the peak"]]
    for work, parts in works.items():
        for part, (wall, cpu) in parts.items():
            names = [work] if part == "all" else part.split(", ")
            kmac = sum(cost.get(name, 0.0) for name in names)
            row = [f"{work}: {part}", "", f"{1000 * wall:.1f}", f"{1000 * cpu:.1f}", "", ""]
            if kmac and wall > 0:
                rate = 1000.0 * kmac * pixels / wall
                row[1], row[4:] = f"{kmac:.2f}", [f"{rate / 1e9:.0f}", f"{rate / peak:.0%}"]
            table.append(row)
    return table
