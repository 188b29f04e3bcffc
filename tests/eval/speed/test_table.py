from __future__ import annotations

from eval.records import Record
from eval.speed import table


def test_medians_and_rates() -> None:
    records = [
        Record("glc", "1", 1, name, "x", 1000, 1000, 9, seconds, 0.5)
        for name, seconds in (("a", 0.1), ("b", 0.2), ("c", 9.0))
    ]
    assert table.rows(records)[1] == ["glc", "0.2000", "0.5000", "5.00", "2.00"]
