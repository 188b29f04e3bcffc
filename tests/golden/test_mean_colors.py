"""A file with mean colours decodes for ever: docs/format.md, section 5.3."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glc import Codec
from glc.bitstream import pack, unpack
from glc.coding.mean_colors import of_file

HERE = Path(__file__).parent
FOLDER = HERE / "mean-colors"

FROZEN = {
    "colour.glc": "22abd3ef0058fc5556a507a3402d6cef3bcd8d87b45ee5506163eb4e0eb77cb5",
    "colour.png": "f2f8bff591d2d109e2376acdcf78e7fe272f561bf1cf2b607714c1820702b460",
}
SYMBOLS = [
    [-4, 0, 2, 0, 2, 4, -1, -3, 5, 1, -4, -4],
    [6, -2, 8, -1, -5, 6, -6, 4, 4, -4, 4, 18],
    [12, 15, -1, -11, 10, -5, -8, -11, 3, -7, -6, -5],
]


def test_nothing_was_changed_or_removed():
    found = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in FOLDER.iterdir()}
    assert found == FROZEN


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime"])
def test_it_decodes_to_its_symbols_and_picture(runtime):
    weights = HERE / "v2" / "golden.safetensors"
    codec = Codec.from_pretrained(weights, runtime=runtime, device="cpu")
    data = (FOLDER / "colour.glc").read_bytes()
    container = unpack(data)
    assert pack(container) == data
    found = of_file(container, codec.coder.tables.scales)
    assert found is not None
    assert found.reshape(3, -1).tolist() == SYMBOLS
    with Image.open(FOLDER / "colour.png") as picture:
        expected = np.asarray(picture, np.int16)
    assert np.abs(np.asarray(codec.decode(data), np.int16) - expected).max() <= 1
