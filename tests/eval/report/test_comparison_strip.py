from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from eval.codecs import adapters
from eval.pictures import Source
from eval.records import Record
from eval.report import comparison_strip
from eval.runner import stored_file


def make(codec: str, quality: float, size: int) -> Record:
    return Record(codec, "1", quality, "a.png", "x", 100, 100, size, 0, 0, {"psnr": 30.0})


def test_the_closest_rival_is_so_by_ratio() -> None:
    records = [make("jpeg", 1, 50), make("jpeg", 2, 150), make("heic", 1, 100)]
    closest = comparison_strip.closest(records, "jpeg", 90)
    assert closest is not None
    assert closest.size_bytes == 150, "150 / 90 is less than 90 / 50"
    assert comparison_strip.closest(records, "avif", 90) is None


def test_the_shown_quality_is_nearest_to_the_shown_rate() -> None:
    sizes = {1: 10, 2: 40, 3: 60, 4: 400}
    records = [make("glc", quality, size) for quality, size in sizes.items()]
    assert sizes[int(comparison_strip.shown_quality(records))] * 8 / 10000 == pytest.approx(0.048)


def test_a_strip_is_decoded_from_the_stored_files(tmp_path: Path) -> None:
    image = Image.new("RGB", (100, 100), "teal")
    image.save(tmp_path / "a.png")
    built = [
        adapters.build(name) for name in ("webp", "jpeg", "jpeg@1/2", "jpeg-plain", "jpeg@1/4")
    ]
    records = []
    for codec in built:
        data = codec.encode(image, 5)
        path = stored_file(tmp_path, codec.name, 5, "a.png")
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
        records.append(make(codec.name, 5, len(data)))
    sources = [Source("a.png", tmp_path / "a.png", "x"), Source("b.png", tmp_path / "b.png", "y")]
    (strip,) = comparison_strip.strips(tmp_path, sources, records, built, "webp")
    assert strip.tested.size_bytes == records[0].size_bytes
    assert [layer.codec for layer in strip.rivals] == ["jpeg", "jpeg@1/4", "jpeg@1/2"]
    assert strip.rivals[0].figures == "PSNR dB: 30.00"
    assert strip.original.size_bytes == (tmp_path / "a.png").stat().st_size
    assert strip.original.image.startswith("data:image/webp;base64,")
