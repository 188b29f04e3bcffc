"""Points that papers have published for Kodak: drawn as grey curves, never mixed with measurements.

LPIPS is on AlexNet, FID on patches of 64 pixels. GLC's rates (arXiv 2512.20194) are estimates: its
code writes no file, and with a real coder they are 5 - 8 % higher. HiFiC below .1 bpp and MS-ILLM
below .04 are re-trained models as the GLC paper draws them. *No GAN* is the MSE + LPIPS autoencoder
that NeuralCompression gives as a baseline of MS-ILLM. CoD-Lite is measured on 512 x 512 crops.
CoD-Lite's, OneDC's and DLF's points were read off figures, so take them to two digits.
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


def _system(name: str, rates: tuple[float, ...], **figures: str) -> list[Published]:
    """Return the curves of one system.

    Args:
        name: of the system.
        rates: in bits per pixel.
        figures: by metric, as many as there are rates, `-` where there is none.
    """
    found = []
    for metric, text in figures.items():
        pairs = zip(rates, text.split(), strict=True)
        found.append(Published(name, metric, tuple((r, float(v)) for r, v in pairs if v != "-")))
    return found


KODAK = (
    *_system(
        "GLC, estimated bits",
        (0.0243, 0.0282, 0.0328, 0.0370),
        psnr="21.32 21.73 22.07 22.28",
        ms_ssim=".7487 .768 .782 .7915",
        lpips_alex=".196 .180 .168 .161",
        dists=".113 .104 .098 .095",
        fid="28.14 25.65 24.74 23.91",
    ),
    *_system(
        "MS-ILLM",
        (0.0287, 0.0371, 0.0443, 0.0806, 0.153),
        psnr="23.82 24.36 24.73 25.92 27.53",
        lpips_alex=".218 .187 .158 .110 .073",
        dists=".161 .136 .135 .109 .081",
    ),
    *_system(
        "HiFiC",
        (0.0254, 0.0290, 0.0333, 0.0432, 0.183),
        psnr="24.11 - - 25.32 27.56",
        lpips_alex=".216 .202 .186 .159 .0686",
        dists=".208 .200 .190 .172 -",
    ),
    *_system(
        "No GAN (MSE + LPIPS)",
        (0.0147, 0.0244, 0.0440),
        psnr="23.14 24.25 25.52",
        lpips_alex=".279 .206 .149",
        dists=".248 .207 .168",
    ),
    *_system(
        "CoD-Lite, 512 px",
        (0.0039, 0.0078, 0.0156, 0.0312, 0.125),
        lpips_alex=".338 .281 .224 .162 .095",
        dists=".209 .172 .139 .112 .071",
    ),
    *_system(
        "VTM",
        (0.0205, 0.0340, 0.0480, 0.0681, 0.133),
        psnr="24.02 25.25 26.09 27.01 28.95",
        ms_ssim=".785 .833 .861 - -",
        lpips_alex=".569 .495 .447 .396 .297",
        dists=".321 .287 .266 .243 .196",
    ),
    *_system(
        "DLF",
        (0.0079, 0.0097, 0.0125, 0.0156),
        lpips_alex=".285 .271 .249 .234",
        dists=".149 .139 .130 .125",
    ),
    *_system(
        "StableCodec",
        (0.0058, 0.0108, 0.0171, 0.0250, 0.0341),
        psnr="20.27 21.31 22.05 22.63 23.01",
        lpips_alex=".310 .244 .207 .182 .166",
        dists=".152 .125 .108 .098 .092",
    ),
    *_system(
        "OneDC",
        (0.0102, 0.0165, 0.0245, 0.0355),
        psnr="20.6 21.5 22.2 23.0",
        lpips_alex=".220 .183 .154 .133",
        dists=".131 .110 .097 .085",
    ),
)


def for_pictures(names: Iterable[str], metric: str) -> list[Published]:
    """Return the published points of a metric when the pictures are all 24 of Kodak, else none."""
    numbers = {m[1] for name in names if (m := re.search(r"kodim(\d\d)\.\w+$", name))}
    return [p for p in KODAK if p.metric == metric] if len(numbers) == 24 else []
