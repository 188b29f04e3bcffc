"""Files of every format version decode for ever."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glc import Codec
from glc.bitstream import FORMAT_VERSIONS, pack, unpack

HERE = Path(__file__).parent
FILES = sorted(HERE.glob("v*/*.glc"))

FROZEN = {
    "v1/alpha.glc": ("e0ba8038490dba73ab58811b78e48ffcf4e7b23bbef458b2e327371109d75b06"),
    "v1/alpha.png": ("df47774b716029821d26f62136e031fef9cea4e2a49e1ce4e735491b55b6392a"),
    "v1/colour.glc": ("2e8c69eafee86c911d0833e3e2169dd8bf6887398bab64116480bd29fd534c3e"),
    "v1/colour.png": ("88b413c39152750ee51f8b25b9dae2c0946fbb6c384c2d35cbd9ef8993b8d692"),
    "v1/expected.json": ("eb9b2e4d1087a0b15b17a9aa140ab19f861f2c3f366e27345109b6ee6faa1121"),
    "v1/golden.safetensors": ("a2b5c5fd39c99e6dfa051af864e96a7f84497ecfb66bf3d0877bb3dc65a6801c"),
    "v1/grey.glc": ("227fc3e6f26cfaf953c73c94e00d9ef9548b24a0dac2595fc59a0c5574f4e321"),
    "v1/grey.png": ("3497773e35cd3bebde817569acba2e48f90042545923319db79dde4c86bda473"),
    "v2/alpha.glc": ("6de40cae796b84973a3f4895825ab22ecc0eb0a96a560c6c95a04a0a45db1186"),
    "v2/alpha.png": ("df47774b716029821d26f62136e031fef9cea4e2a49e1ce4e735491b55b6392a"),
    "v2/colour.glc": ("99e0580b8288719adc7b7162018b16dac7e1b026cff5a6ccd8f1edec0d7cecc4"),
    "v2/colour.png": ("88b413c39152750ee51f8b25b9dae2c0946fbb6c384c2d35cbd9ef8993b8d692"),
    "v2/expected.json": ("eb9b2e4d1087a0b15b17a9aa140ab19f861f2c3f366e27345109b6ee6faa1121"),
    "v2/golden.safetensors": ("a2b5c5fd39c99e6dfa051af864e96a7f84497ecfb66bf3d0877bb3dc65a6801c"),
    "v2/grey.glc": ("f9111e65cf75fc0b33ed12ac132ac1c42686f2e3797c270d8b8d812d2e5e26e3"),
    "v2/grey.png": ("3497773e35cd3bebde817569acba2e48f90042545923319db79dde4c86bda473"),
}
"""SHA-256 of every golden file that exists: lines are only ever added."""


def name_of(path: Path) -> str:
    return path.relative_to(HERE).as_posix()


def test_nothing_was_changed_or_removed():
    paths = [path for path in sorted(HERE.glob("v*/*")) if path.is_file()]
    found = {name_of(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    assert found == FROZEN


def test_every_version_has_golden_files():
    versions = {path.parent.name for path in FILES}
    assert versions == {f"v{number}" for number in FORMAT_VERSIONS}


def test_the_versions_hold_the_same_integers_in_another_order():
    expected = [json.loads((HERE / f"v{n}" / "expected.json").read_text()) for n in FORMAT_VERSIONS]
    assert expected[1] == expected[0]
    for name in expected[0]["files"]:
        first, second = (unpack((HERE / f"v{n}" / f"{name}.glc").read_bytes()) for n in (1, 2))
        assert first.payload != second.payload
        assert abs(len(first.payload) - len(second.payload)) <= 1
        differing = ("payload", "checksum", "version")
        assert replace(first, **{field: getattr(second, field) for field in differing}) == second


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_golden_file_decodes_to_its_symbols_and_picture(path, symbols_of):
    expected = json.loads((path.parent / "expected.json").read_text())
    codec = Codec.from_pretrained(path.parent / "golden.safetensors", device="cpu")
    assert codec.identity.hex() == expected["identity"]
    data = path.read_bytes()
    assert pack(unpack(data)) == data
    assert unpack(data).quality == expected["files"][path.stem]["quality"]
    assert f"v{unpack(data).version}" == path.parent.name
    (symbols,) = symbols_of(codec, data)
    assert hashlib.sha256(symbols).hexdigest() == expected["files"][path.stem]["symbols"]
    decoded = codec.decode(data)
    with Image.open(path.with_suffix(".png")) as image:
        assert (decoded.mode, decoded.size) == (image.mode, image.size)
        difference = np.asarray(decoded, np.int16) - np.asarray(image, np.int16)
    # Pixels come out of floats, whose last bits belong to the machine; alpha does not.
    assert np.abs(difference).max() <= 1
    if image.mode == "RGBA":
        assert not difference[..., 3].any()


def test_golden_files_hold_what_they_are_for(symbols_of, version):
    folder = HERE / f"v{version}"
    codec = Codec.from_pretrained(folder / "golden.safetensors", device="cpu")
    modes = {path.stem: codec.decode(path.read_bytes()).mode for path in folder.glob("*.glc")}
    assert modes == {"alpha": "RGBA", "colour": "RGB", "grey": "L"}
    (symbols,) = symbols_of(codec, (folder / "colour.glc").read_bytes())
    # 45 x 130 pixels: three indices of z, then 8 channels of 4 x 12 positions.
    indices, y = np.frombuffer(symbols[:6], "<u2"), np.frombuffer(symbols[6:], "<i2")
    assert len(set(indices)) == 3
    assert y.size == 8 * 4 * 12
    escapes = np.abs(y) > codec.coder.tables.scales.half_widths.max()
    assert escapes.sum() > 10
    assert (y == 0).sum() > 50
