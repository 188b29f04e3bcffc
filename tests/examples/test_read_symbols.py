"""The reader of the standard library: docs/format.md alone is enough to read a golden file."""

from __future__ import annotations

import hashlib
import json
import runpy
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
READER = runpy.run_path(str(ROOT / "examples" / "read_symbols.py"))


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("name", ["colour", "grey", "alpha"])
def test_it_reads_the_golden_files(version, name):
    folder = GOLDEN / version
    expected = json.loads((folder / "expected.json").read_text())["files"][name]["symbols"]
    weights = (folder / "golden.safetensors").read_bytes()
    symbols = READER["read"]((folder / f"{name}.glc").read_bytes(), weights)
    assert hashlib.sha256(symbols).hexdigest() == expected


def test_it_compares_the_checksum():
    weights = (GOLDEN / "v2" / "golden.safetensors").read_bytes()
    data = bytearray((GOLDEN / "v2" / "grey.glc").read_bytes())
    data[-1] ^= 1
    with pytest.raises(ValueError, match="checksum"):
        READER["read"](bytes(data), weights)
