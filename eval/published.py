"""Points that papers have published for Kodak: drawn as grey marks, never mixed with measurements.

GLC's rates (arXiv 2512.20194) are estimates: its code writes no file, and with a real coder they
are 5 - 8 % higher. LPIPS is on AlexNet, FID on patches of 64 pixels. Some of the other points were
read off figures, so take them to two digits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """One system's points on one metric: (bpp, value)."""

    system: str
    metric: str
    points: tuple[tuple[float, float], ...]


_GLC = (0.0243, 0.0282, 0.0328, 0.0370)
_GLC_NAME = "GLC, estimated bits"

KODAK = (
    Published(_GLC_NAME, "psnr", tuple(zip(_GLC, (21.32, 21.73, 22.07, 22.28), strict=True))),
    Published(_GLC_NAME, "ms_ssim", tuple(zip(_GLC, (0.7487, 0.768, 0.782, 0.7915), strict=True))),
    Published(_GLC_NAME, "lpips_alex", tuple(zip(_GLC, (0.196, 0.180, 0.168, 0.161), strict=True))),
    Published(_GLC_NAME, "dists", tuple(zip(_GLC, (0.113, 0.104, 0.098, 0.095), strict=True))),
    Published(_GLC_NAME, "fid", tuple(zip(_GLC, (28.14, 25.65, 24.74, 23.91), strict=True))),
    Published("MS-ILLM", "psnr", ((0.0443, 24.73),)),
    Published("MS-ILLM", "lpips_alex", ((0.0443, 0.158), (0.0806, 0.110))),
    Published("MS-ILLM", "dists", ((0.0443, 0.135), (0.0806, 0.109))),
    Published("DLF", "lpips_alex", ((0.0125, 0.249),)),
    Published("DLF", "dists", ((0.0125, 0.130),)),
    Published("StableCodec", "lpips_alex", ((0.0171, 0.207), (0.0341, 0.166))),
    Published("StableCodec", "dists", ((0.0171, 0.108), (0.0341, 0.092))),
    Published("OneDC", "lpips_alex", ((0.0245, 0.154),)),
    Published("OneDC", "dists", ((0.0245, 0.097),)),
    Published("VTM", "psnr", ((0.0205, 24.0), (0.0340, 25.3))),
    Published("VTM", "lpips_alex", ((0.0205, 0.569), (0.0340, 0.495))),
    Published("VTM", "dists", ((0.0205, 0.321), (0.0340, 0.287))),
)


def for_pictures(names: Iterable[str], metric: str) -> list[Published]:
    """Return the published points of a metric when the pictures are all 24 of Kodak, else none."""
    numbers = {m[1] for name in names if (m := re.search(r"kodim(\d\d)\.\w+$", name))}
    return [p for p in KODAK if p.metric == metric] if len(numbers) == 24 else []
