"""What the page shows of every picture: the original, the codec under test, and rivals at its rate.

Pictures are put into the page as WebP at quality 95, which keeps it small and changes what a
viewer sees by next to nothing; figures and file sizes are those of the real files.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from eval.codecs.adapters import Codec
from eval.metrics.registry import COLUMNS
from eval.pictures import Source, load
from eval.records import Record
from eval.report.live import data_uri
from eval.report.summary import show
from eval.runner import stored_file

SHOWN_BPP = 0.04
"""The codec under test is shown at its quality nearest to this mean rate."""
MOST_PICTURES = 24
RIVALS = ("jpeg", "heic", "avif@1/4", "jpeg@1/4", "jpeg@1/2", "avif", "webp", "jxl", "jpeg2000")
"""Which rivals are shown, the first three of those measured: what most people have first."""
MOST_RIVALS = 3
_FIGURES = ("psnr", "lpips_alex", "dists", "ms_ssim", "colour16")


@dataclass(frozen=True)
class Layer:
    """One version of a picture."""

    codec: str
    quality: str
    size_bytes: int
    bpp: float
    figures: str
    image: str
    """A data URI."""


@dataclass(frozen=True)
class Strip:
    """One picture in all its versions; the rivals' rates are the closest they have."""

    name: str
    width: int
    height: int
    original: Layer
    tested: Layer
    rivals: tuple[Layer, ...]
    coded: str = ""
    """The file of the tested codec as a data URI, where the page is to decode it."""


def strips(
    out: Path,
    sources: Sequence[Source],
    records: Sequence[Record],
    codecs: Sequence[Codec],
    tested: str,
    with_files: bool = False,
) -> list[Strip]:
    """Return the strips of the first pictures, decoded from the files of the run.

    Args:
        out: folder of the run.
        sources: the pictures.
        records: what was measured.
        codecs: that made the files.
        tested: the codec that the run is about.
        with_files: put its files in.
    """
    by_name = {codec.name: codec for codec in codecs}
    measured = {record.codec for record in records}
    known = [name for name in RIVALS if name in measured and name != tested]
    others = sorted(measured - {tested, *known})
    quality = shown_quality([r for r in records if r.codec == tested])
    found = []
    for source in sources[:MOST_PICTURES]:
        mine = [r for r in records if r.picture == source.name]
        ours = next((r for r in mine if r.codec == tested and r.quality == quality), None)
        if ours is None:
            continue
        rivals = [closest(mine, name, ours.size_bytes) for name in [*known, *others][:MOST_RIVALS]]
        found.append(
            Strip(
                name=source.name,
                width=ours.width,
                height=ours.height,
                original=_original(source, ours),
                tested=_layer(out, ours, by_name),
                rivals=tuple(_layer(out, rival, by_name) for rival in rivals if rival),
                coded=data_uri(_file_of(out, ours).read_bytes()) if with_files else "",
            )
        )
    return found


def shown_quality(records: Sequence[Record]) -> float:
    """Return the quality whose mean rate is nearest to SHOWN_BPP, on a logarithmic scale."""
    rates: dict[float, list[float]] = {}
    for record in records:
        rates.setdefault(record.quality, []).append(record.bpp)
    means = {quality: sum(bpp) / len(bpp) for quality, bpp in rates.items()}
    return min(means, key=lambda quality: abs(math.log(means[quality] / SHOWN_BPP)))


def closest(records: Sequence[Record], codec: str, size_bytes: int) -> Record | None:
    """Return the codec's record of the size nearest to `size_bytes`, by ratio."""
    candidates = [r for r in records if r.codec == codec]
    if not candidates:
        return None
    return min(candidates, key=lambda r: abs(math.log(r.size_bytes / size_bytes)))


def _original(source: Source, record: Record) -> Layer:
    size = source.path.stat().st_size
    bpp = 8 * size / (record.width * record.height)
    return Layer("original", source.path.suffix[1:], size, bpp, "", _data_uri(load(source.path)))


def _layer(out: Path, record: Record, codecs: dict[str, Codec]) -> Layer:
    image = codecs[record.codec].decode(_file_of(out, record).read_bytes())
    figures = [
        f"{COLUMNS[key].title}: {show(record.values[key], COLUMNS[key].digits)}"
        for key in _FIGURES
        if key in record.values
    ]
    return Layer(
        codec=record.codec,
        quality=f"{record.quality:g}",
        size_bytes=record.size_bytes,
        bpp=record.bpp,
        figures=", ".join(figures),
        image=_data_uri(image),
    )


def _file_of(out: Path, record: Record) -> Path:
    return stored_file(out, record.codec, record.quality, record.picture)


def _data_uri(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=95, method=2)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
