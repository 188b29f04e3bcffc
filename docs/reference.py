"""Make the API reference from the docstrings: ``python docs/reference.py DIR``.

Needs pdoc (`pip install '.[docs]'`). A warning is an error, but for those about members that
``glc.pillow.GlcImageFile`` has from Pillow.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pdoc
import pdoc.render

MODULES = (
    "glc",
    *(f"glc.{name}" for name in ("bitstream", "config", "dataset", "errors", "image", "pillow")),
    *(f"glc.{name}" for name in ("rate.heatmap", "tiling.geometry", "weights.checkpoint")),
    "glc.weights.registry",
)
"""The public modules."""


def main(folder: Path) -> int:
    """Write the pages; returns the number of warnings."""
    pdoc.render.configure(docformat="google", footer_text="glc")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pdoc.pdoc(*MODULES, output_directory=folder)
    texts = [str(warning.message) for warning in caught]
    complaints = [text for text in texts if " PIL." not in text and "GlcImageFile.im:" not in text]
    for text in complaints:
        print(text, file=sys.stderr)
    return len(complaints)


if __name__ == "__main__":
    sys.exit(1 if main(Path(sys.argv[1])) else 0)
