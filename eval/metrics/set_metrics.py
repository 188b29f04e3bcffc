"""Metrics of whole picture sets (Frechet, FID, KID), from the files that a run has stored.

Every stored file is decoded again: what is judged is what a receiver would have.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from eval.codecs.adapters import Codec
from eval.metrics.frechet import SET_METRICS, PatchGrid, conditions
from eval.metrics.settings import Settings
from eval.pictures import RGB, Source, load, pixels
from eval.runner import stored_file

Figures = dict[tuple[str, float], dict[str, float]]


def measure(
    names: Sequence[str],
    sources: Sequence[Source],
    built: Sequence[Codec],
    qualities: dict[str, tuple[float, ...]],
    out: Path,
    settings: Settings,
    report: Callable[[str], None],
) -> tuple[Figures, dict[str, Any]]:
    """Return the figures by (codec, quality), and the conditions a reader needs.

    Figures already in `OUT/sets.json` for the same pictures and codec version are not redone.

    Args:
        names: of SET_METRICS.
        sources: the originals.
        built: the codecs, whose files are all under `out`.
        qualities: by codec name.
        out: the folder of the run.
        settings: where the networks run and their weights are.
        report: told what is being done, one line each.
    """
    if not names:
        return {}, {}
    sizes = [load(source.path).size for source in sources]
    grid = PatchGrid.for_pictures([width * height for width, height in sizes])
    count = sum(grid.count(height, width) for width, height in sizes)
    if count < 2:
        report("set metrics skipped: the pictures hold fewer than two patches")
        return {}, {}
    path = out / "sets.json"
    known: dict[str, dict[str, float]] = json.loads(path.read_text()) if path.exists() else {}
    corpus = "+".join(source.digest for source in sources)
    figures: Figures = {}
    for name in names:
        metric = SET_METRICS[name](settings)
        metric.begin(_tiles((pixels(load(source.path)) for source in sources), grid))
        for codec in built:
            for quality in qualities[codec.name]:
                key = f"{name}|{codec.name}|{codec.version}|{quality:g}|{corpus}"
                if key not in known:
                    report(f"{name}: {codec.name} at {quality:g}")
                    decoded = _decoded(codec, quality, sources, out)
                    values = metric.compare(_tiles(decoded, grid))
                    known[key] = dict(zip(metric.columns, values, strict=True))
                    path.write_text(json.dumps(known, indent=1), encoding="utf-8")
                figures.setdefault((codec.name, quality), {}).update(known[key])
    return figures, conditions(grid, count)


def _decoded(codec: Codec, quality: float, sources: Sequence[Source], out: Path) -> Iterator[RGB]:
    for source in sources:
        data = stored_file(out, codec.name, quality, source.name).read_bytes()
        yield pixels(codec.decode(data))


def _tiles(decoded: Iterator[RGB], grid: PatchGrid) -> Iterator[RGB]:
    for picture in decoded:
        yield from grid.cut(picture)
