"""How much arithmetic each network does, and how close to the machine's limit it runs.

The limit is what the machine was seen to do in float32 on as many threads: the faster of a large
matrix product and a wide 3x3 convolution, since some libraries multiply matrices slowly on
processors of another maker. ``MAC`` is one multiplication with its addition.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import torch
from torch.nn import functional

from eval.speed.profile_worker import Seconds
from glc.config import CodecConfig
from glc.networks.cost import cost_table

_TRIES = 5


def measured_peak(side: int = 2048) -> float:
    """Return MAC per second of the fastest of several tries, on torch's threads.

    Args:
        side: of the matrices; an eighth of it are the channels of the convolution.
    """
    a, b = torch.randn(side, side), torch.randn(side, side)
    channels = side // 8
    x, weight = torch.randn(1, channels, 64, 64), torch.randn(channels, channels, 3, 3)
    works: list[tuple[float, Callable[[], object]]] = [
        (side**3, lambda: torch.mm(a, b)),
        (9 * 64 * 64 * channels**2, lambda: functional.conv2d(x, weight, padding=1)),
    ]
    best = 0.0
    with torch.inference_mode():
        for macs, work in works * _TRIES:
            start = time.perf_counter()
            work()
            best = max(best, macs / (time.perf_counter() - start))
    return best


def rows(
    config: CodecConfig, works: Mapping[str, Mapping[str, Seconds]], pixels: int, peak: float
) -> list[list[str]]:
    """Return the table, header first: a row per part, whose rate is that of its wall-clock time.

    Args:
        config: of the model.
        works: what ``eval.speed.profile_worker.inside`` found: parts of ``encode`` and ``decode``.
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
