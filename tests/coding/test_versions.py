"""Which version means which order; and that nothing else decides it."""

from __future__ import annotations

import re
from pathlib import Path

from glc.bitstream import FORMAT_VERSION, FORMAT_VERSIONS
from glc.coding.versions import order_of
from glc.entropy import Order

GLC = Path(__file__).parents[2] / "glc"


def test_every_version_has_its_order_for_ever() -> None:
    found = {version: order_of(version) for version in FORMAT_VERSIONS}
    assert found == {1: Order.SMALL_FIRST, 2: Order.LARGE_FIRST}
    assert max(FORMAT_VERSIONS) == FORMAT_VERSION


def test_nothing_else_names_an_order() -> None:
    named = re.compile(r"Order\.(SMALL|LARGE)_FIRST")
    found = {
        p.relative_to(GLC).as_posix() for p in GLC.rglob("*.py") if named.search(p.read_text())
    }
    assert found == {"coding/versions.py", "entropy/order.py"}
