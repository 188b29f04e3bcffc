"""What a finished run leaves in its folder: tables, JSON, curves, plots and the page."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from eval.codecs.adapters import Codec
from eval.pictures import Source, find
from eval.records import Record, mean
from eval.records import read as read_records
from eval.report import at_rate, curves, summary, verdict
from eval.report.comparison_strip import strips
from eval.report.live import Live
from eval.report.page import Page
from eval.report.published import for_pictures
from eval.report.summary import Point
from eval.speed import table

AT_RATE = "At the same rate, between two points of each curve"


@dataclass(frozen=True)
class Results:
    """Everything a run has found."""

    sources: Sequence[Source]
    records: Sequence[Record]
    points: Sequence[Point]
    run: dict[str, Any]


def write(
    out: Path,
    found: Results,
    codecs: Sequence[Codec],
    report: Callable[[str], None],
    live: Live | None = None,
) -> None:
    """Write every output into `out`; what needs a package that is absent is left out and said.

    Args:
        out: folder of the run.
        found: by the run.
        codecs: that made its files.
        report: is told what was left out.
        live: what decodes the files in the page, if it is to do so.
    """
    _dump(out / "run.json", found.run)
    _dump(out / "summary.json", [asdict(point) for point in found.points])
    pictures = f"{found.run['pictures']} pictures of {Path(found.run['images']).name}"
    curves.write(out / "curves", found.points, pictures)
    tables = all_tables(found, report)
    parts = [
        f"## {title}\n\n{summary.markdown(rows)}{summary.footnotes(rows)}"
        for title, rows in tables.items()
    ]
    head = f"{pictures}, {found.run['date']}, {found.run['hardware']}"
    (out / "tables.md").write_text("\n\n".join([head, *parts]) + "\n", encoding="utf-8")
    try:
        from eval.report import plots
    except ImportError as error:
        report(f"plots and page left out: {error}; pip install matplotlib")
        return
    tested = under_test(found.points)
    names = [source.name for source in found.sources]
    published = {metric: for_pictures(names, metric) for metric in plots.PLOTTED}
    plots.write(out / "plots", found.points, published)
    page = Page(
        title=f"{tested} on {pictures}",
        run=found.run,
        tables=tables,
        plots={name: text for name in plots.PLOTTED if (text := _plot(out, name))},
        pictures=strips(out, found.sources, found.records, codecs, tested, live is not None),
        verdicts=_verdicts(found),
        live=live,
    )
    if live is not None:
        live.write(out)
    (out / "report.html").write_text(page.render(), encoding="utf-8")


def read(out: Path) -> Results:
    """Return what a run has left in its folder.

    Raises:
        ValueError: there is no finished run.
    """
    try:
        run = json.loads((out / "run.json").read_text(encoding="utf-8"))
        dumped = json.loads((out / "summary.json").read_text(encoding="utf-8"))
        images = Path(run["images"])
        sources = [s for s in find(images) if s.name in set(run["names"])]
    except (OSError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{out}: no finished run of eval.rd: {error}") from error
    found = [Point(**point) for point in dumped]
    shown = {(point.codec, point.quality) for point in found}
    kept = {r.key[:4]: r for r in read_records(out / "pictures.csv")}
    records = [r for r in kept.values() if (r.codec, r.quality) in shown]
    return Results(sources, records, found, run)


def all_tables(found: Results, report: Callable[[str], None]) -> dict[str, list[list[str]]]:
    """Return the tables by title: figures, delta rates of the codec under test, speed."""
    rates = found.run.get("rates", at_rate.RATES)
    tables = {"Figures": summary.rows(found.points)}
    if len(same := at_rate.rows(found.points, rates)) > 1:
        tables[AT_RATE] = same
    tested = under_test(found.points)
    if len(summary.by_codec(found.points)) > 1:
        try:
            from eval.metrics import bd

            deltas = bd.rows(bd.deltas(found.points, tested))
            tables[f"Rate of {tested} at the same figure (overlap)"] = deltas
        except ImportError as error:
            report(f"delta rates left out: {error}; pip install bjontegaard")
    return {**tables, "Speed": table.rows(found.records)}


def under_test(points: Sequence[Point]) -> str:
    """Return the codec the run is about: the first glc, else the first one."""
    names = list(summary.by_codec(points))
    return next((name for name in names if curves.is_ours(name)), names[0])


def _verdicts(found: Results) -> dict[str, list[str]]:
    """Return what the page says first: sentences about each rival, sizes of a mean picture."""
    pixels = mean(record.width * record.height for record in found.records)
    told = verdict.verdicts(found.points, under_test(found.points))
    return {one.rival: verdict.sentences(one, pixels) for one in told}


def _plot(out: Path, name: str) -> str | None:
    path = out / "plots" / f"{name}.svg"
    return path.read_text(encoding="utf-8") if path.exists() else None


def _dump(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, default=str) + "\n", encoding="utf-8")
