"""From records to the figures of a table: one point per codec and quality.

Means are over pictures. The rate is given twice, as the mean of the pictures' bpp and of the whole
corpus (all bits over all pixels), because CLIC counts the second way.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from eval.metrics.registry import COLUMNS, FOOTNOTES
from eval.records import Record, mean


@dataclass(frozen=True)
class Point:
    """A codec at one quality over the whole set."""

    codec: str
    quality: float
    pictures: int
    bpp: float
    corpus_bpp: float
    encode_s: float
    """Median seconds per picture."""
    decode_s: float
    values: dict[str, float] = field(default_factory=dict)


def points(
    records: Iterable[Record], of_sets: Mapping[tuple[str, float], dict[str, float]] | None = None
) -> list[Point]:
    """Return the points by codec, in the order the codecs first appear, lowest rate first.

    Args:
        records: any order.
        of_sets: figures of whole sets (Frechet, FID, KID) by (codec, quality).
    """
    groups: dict[tuple[str, float], list[Record]] = defaultdict(list)
    order: dict[str, int] = {}
    for record in records:
        order.setdefault(record.codec, len(order))
        groups[record.codec, record.quality].append(record)
    found = [_point(group, (of_sets or {}).get(key, {})) for key, group in groups.items()]
    return sorted(found, key=lambda point: (order[point.codec], point.bpp))


def by_codec(all_points: Iterable[Point]) -> dict[str, list[Point]]:
    """Return the curve of every codec."""
    curves: dict[str, list[Point]] = defaultdict(list)
    for point in all_points:
        curves[point.codec].append(point)
    return dict(curves)


def columns_of(all_points: Iterable[Point]) -> list[str]:
    """Return the metric columns that any point has, in the table's order."""
    present = {key for point in all_points for key in point.values}
    return [key for key in COLUMNS if key in present]


def rows(all_points: Sequence[Point]) -> list[list[str]]:
    """Return the table that ends a run; the first row is the header."""
    keys = columns_of(all_points)
    header = ["codec", "quality", "bpp", "corpus bpp", *(COLUMNS[k].title for k in keys)]
    found = [[*header, "encode s", "decode s"]]
    for point in all_points:
        rate = [f"{point.bpp:.4f}", f"{point.corpus_bpp:.4f}"]
        figures = [show(point.values.get(k, math.nan), COLUMNS[k].digits) for k in keys]
        seconds = [f"{point.encode_s:.3f}", f"{point.decode_s:.3f}"]
        found.append([point.codec, f"{point.quality:g}", *rate, *figures, *seconds])
    return found


def markdown(table: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table with padded columns; the first row is the header."""
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]

    def line(cells: Sequence[str]) -> str:
        first = cells[0].ljust(widths[0])
        rest = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return "| " + " | ".join([first, *rest]) + " |"

    return "\n".join([line(table[0]), line(rule), *(line(row) for row in table[1:])])


def footnotes(table: Sequence[Sequence[str]]) -> str:
    """Return what belongs under a table, after an empty line; nothing where no column needs it."""
    found = [text for key, text in FOOTNOTES.items() if COLUMNS[key].title in table[0]]
    return "\n\n" + " ".join(found) if found else ""


def show(value: float, digits: int) -> str:
    """Return a figure for a reader; `-` where there is none."""
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def _point(group: Sequence[Record], of_set: Mapping[str, float]) -> Point:
    keys = dict.fromkeys(key for record in group for key in record.values)
    values = {key: mean(r.values[key] for r in group if key in r.values) for key in keys}
    bits = 8 * sum(r.size_bytes for r in group)
    return Point(
        codec=group[0].codec,
        quality=group[0].quality,
        pictures=len(group),
        bpp=mean(r.bpp for r in group),
        corpus_bpp=bits / sum(r.width * r.height for r in group),
        encode_s=statistics.median(r.encode_s for r in group),
        decode_s=statistics.median(r.decode_s for r in group),
        values={**values, **of_set},
    )
