"""``python tests/golden/create.py``: make the golden files of the current format version, once."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np

from glc import Codec, image
from glc.bitstream import FORMAT_VERSION

HERE = Path(__file__).parent


def pictures(make: Any) -> dict[str, tuple[np.ndarray, int]]:
    """Return name, pixels and quality: an ordinary picture, a thin grey one, one with alpha."""
    masked = make(64, 72, 3, channels=4)
    masked[..., 3] = np.where(np.add.outer(np.arange(64), np.arange(72)) < 60, 255, 40)
    return {
        "colour": (make(45, 130, 1), 85),
        "grey": (make(17, 1, 2, channels=1), 100),
        "alpha": (masked, 0),
    }


def main() -> int:
    """Write weights, files, pictures and expectations; returns the exit code."""
    folder = HERE / f"v{FORMAT_VERSION}"
    if folder.exists():
        sys.stderr.write(f"{folder} exists; golden files are only ever added\n")
        return 1
    shared = runpy.run_path(str(HERE.parent / "conftest.py"))
    config = dataclasses.replace(
        shared["MICRO"],
        y_channels=8,
        hyper_channels=8,
        hyper_levels=(4, 3, 5),
        encoder_width_8=8,
        decoder_width_8=8,
        scale_hidden=4,
    )
    weights = folder / "golden.safetensors"
    model = shared["random_model"](20, config)
    # Symbols large enough for escapes of several classes.
    model.analysis.head.weight.requires_grad_(False).mul_(6.0)
    shared["export"](weights, model, "golden", shared["narrow_tables"]())
    codec = Codec.from_pretrained(weights, device="cpu")
    expected = {}
    for name, (pixels, quality) in pictures(shared["random_picture"]).items():
        picture = image.from_array(pixels)
        data = codec.encode(picture, quality)
        indices, _, symbols = codec.quantise([picture], codec.analyse([picture]), quality)
        canonical = indices.astype("<u2").tobytes() + symbols.astype("<i2").tobytes()
        (folder / f"{name}.glc").write_bytes(data)
        codec.decode(data).save(folder / f"{name}.png", optimize=True)
        expected[name] = {"quality": quality, "symbols": hashlib.sha256(canonical).hexdigest()}
    text = json.dumps({"identity": codec.identity.hex(), "files": expected}, indent=1)
    (folder / "expected.json").write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
