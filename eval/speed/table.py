"""The speed table of a run: seconds per picture and megapixels per second, as they were measured.

Times are in-process, one picture at a time, file bytes to pixels. `eval.speed.bench` compares
speeds more carefully.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence

from eval.records import Record


def rows(found: Sequence[Record]) -> list[list[str]]:
    """Return the table, header first, a row per codec; medians over pictures and qualities."""
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in found:
        groups[record.codec].append(record)
    table = [["codec", "encode s", "decode s", "encode Mpx/s", "decode Mpx/s"]]
    for codec, group in groups.items():
        seconds = [statistics.median(r.encode_s for r in group)]
        seconds.append(statistics.median(r.decode_s for r in group))
        encode = statistics.median(r.width * r.height / max(r.encode_s, 1e-9) for r in group)
        decode = statistics.median(r.width * r.height / max(r.decode_s, 1e-9) for r in group)
        rates = [f"{encode / 1e6:.2f}", f"{decode / 1e6:.2f}"]
        table.append([codec, *(f"{s:.4f}" for s in seconds), *rates])
    return table
