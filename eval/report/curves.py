"""Curves as JSON in the schema of CompressAI's eval_model, one file per codec.

`python -m compressai.utils.plot -f OUT/curves/*.json -m psnr` draws them, and anybody's existing
CompressAI results overlay. The keys it knows: `psnr-rgb`, `ms-ssim-rgb` (`psnr` and `ms-ssim` in
older releases; both are written), `bpp`, `encoding_time`, `decoding_time`. Ours beside them: the
metric columns by their key, `corpus-bpp` and `quality`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from eval.report.summary import Point, by_codec

_THEIR_NAMES = {"psnr": ("psnr-rgb", "psnr"), "ms_ssim": ("ms-ssim-rgb", "ms-ssim")}


def curve(codec: str, curve_points: Sequence[Point], description: str) -> dict[str, Any]:
    """Return one codec's curve; lists run from the lowest rate to the highest.

    A metric that any of the points lacks is left out, since the schema has no blanks.
    """
    results: dict[str, list[float]] = {
        "bpp": [p.bpp for p in curve_points],
        "corpus-bpp": [p.corpus_bpp for p in curve_points],
        "quality": [p.quality for p in curve_points],
        "encoding_time": [p.encode_s for p in curve_points],
        "decoding_time": [p.decode_s for p in curve_points],
    }
    for key in curve_points[0].values:
        values = [p.values.get(key, math.nan) for p in curve_points]
        if all(math.isfinite(v) for v in values):
            results |= dict.fromkeys(_THEIR_NAMES.get(key, (key,)), values)
    return {"name": codec, "description": description, "results": results}


def write(folder: Path, all_points: Iterable[Point], description: str) -> list[Path]:
    """Write `folder/<codec>.json` for every codec and return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for codec, codec_points in by_codec(all_points).items():
        path = folder / f"{file_name(codec)}.json"
        text = json.dumps(curve(codec, codec_points, description), indent=2, allow_nan=False)
        path.write_text(text + "\n", encoding="utf-8")
        written.append(path)
    return written


def file_name(codec: str) -> str:
    """Return the codec's name with everything but letters, digits, `-` and `.` replaced by `_`."""
    return re.sub(r"[^\w.-]", "_", codec)


def is_ours(codec: str) -> bool:
    """Tell whether a codec is a model of this project."""
    return codec == "glc" or codec.startswith("glc:")
