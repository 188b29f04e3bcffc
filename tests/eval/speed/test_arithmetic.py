from __future__ import annotations

from eval.speed import arithmetic
from glc.config import PRESETS
from glc.networks.cost import cost_table


def test_rates_are_multiplications_over_time() -> None:
    cost = {part: kmac for part, _, kmac in cost_table(PRESETS["tiny"])}
    works = {
        "encode": {"E": (0.5, 0.9), "g_a, h_a": (0.1, 0.2), "coding": (0.01, 0.01)},
        "decode": {"all": (2.0, 2.0), "rest": (0.0, 0.0)},
    }
    table = arithmetic.rows(PRESETS["tiny"], works, 1_000_000, 1e10)
    assert [row[0] for row in table[1:]] == [
        "encode: E",
        "encode: g_a, h_a",
        "encode: coding",
        "decode: all",
        "decode: rest",
    ]
    rate = 1000 * cost["E"] * 1_000_000 / 0.5
    expected = [f"{cost['E']:.2f}", "500.0", "900.0", f"{rate / 1e9:.0f}", f"{rate / 1e10:.0%}"]
    assert table[1][1:] == expected
    assert table[2][1] == f"{cost['g_a'] + cost['h_a']:.2f}"
    assert table[3][1:] == ["", "10.0", "10.0", "", ""]
    assert table[4][1] == f"{cost['decode']:.2f}"


def test_the_peak_is_that_of_a_computer() -> None:
    assert 1e8 < arithmetic.measured_peak(128) < 1e14
