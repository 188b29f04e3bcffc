from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from eval.codecs import adapters
from eval.metrics.backbones import Unavailable
from eval.metrics.pixels import psnr_db
from eval.pictures import RGB, pixels

CLASSICAL = [
    "jpeg",
    "jpeg-plain",
    "webp",
    "avif",
    "heic",
    "jxl",
    "jpeg2000",
    "jpeg@1/2",
    "avif@1/4",
]


def build(name: str) -> adapters.Codec:
    try:
        return adapters.build(name)
    except Unavailable as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", CLASSICAL)
def test_more_quality_costs_more_and_looks_better(name: str, photo: RGB) -> None:
    codec = build(name)
    image = Image.fromarray(photo)
    files = [codec.encode(image, q) for q in (codec.qualities[0], codec.qualities[-1])]
    decoded = [codec.decode(data) for data in files]
    assert codec.name == name
    assert all(d.size == image.size and d.mode == "RGB" for d in decoded)
    assert len(files[0]) < len(files[1])
    assert psnr_db(photo, pixels(decoded[0])) < psnr_db(photo, pixels(decoded[1]))


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (33, 64)])
def test_a_shrunk_codec_gives_back_any_size(size: tuple[int, int]) -> None:
    codec = adapters.build("jpeg@1/4")
    image = Image.new("RGB", size, "teal")
    assert codec.decode(codec.encode(image, 50)).size == size


def test_a_shrunk_codec_counts_the_size_it_sends() -> None:
    image = Image.new("RGB", (64, 32), "teal")
    small = image.resize((32, 16), Image.Resampling.LANCZOS)
    inner = adapters.build("jpeg").encode(small, 50)
    assert adapters.build("jpeg@1/2").encode(image, 50) == b"\x00\x40\x00\x20" + inner


def test_optimised_tables_change_the_size_only(photo: RGB) -> None:
    plain, optimised = adapters.build("jpeg-plain"), adapters.build("jpeg")
    image = Image.fromarray(photo)
    a, b = plain.encode(image, 10), optimised.encode(image, 10)
    assert len(b) < len(a)
    np.testing.assert_array_equal(pixels(plain.decode(a)), pixels(optimised.decode(b)))


def test_jpeg2000_hits_its_rate(photo: RGB) -> None:
    data = build("jpeg2000").encode(Image.fromarray(photo), 0.4)
    assert 8 * len(data) / (photo.shape[0] * photo.shape[1]) == pytest.approx(0.4, rel=0.1)


@pytest.mark.parametrize("name", ["gif", "jpeg@1/1", "jpeg@1/99", ""])
def test_an_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="unknown codec"):
        adapters.build(name)


def test_a_missing_plugin_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_plugins(name: str, *rest: Any, **options: Any) -> Any:
        if name in ("pillow_heif", "pillow_jxl"):
            raise ImportError(name)
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without_plugins)
    with pytest.raises(Unavailable, match="pip install pillow-heif"):
        adapters.build("heic")
    with pytest.raises(Unavailable, match="pip install pillow-jxl-plugin"):
        adapters.build("jxl")


def test_both_ends_of_realism_are_two_codecs(linear_path: Path, photo: RGB) -> None:
    image = Image.fromarray(photo[:64, :64])
    both = [adapters.build(f"glc:{linear_path}@realism={realism}") for realism in (0, 100)]
    assert [codec.name for codec in both] == ["glc:linear@realism=0", "glc:linear@realism=100"]
    data, again = (codec.encode(image, 50) for codec in both)
    assert data == again
    decoded = [pixels(codec.decode(data)) for codec in both]
    assert not np.array_equal(*decoded)


@pytest.mark.usefixtures("random_perception")
def test_an_effort_makes_other_files_of_the_same_model(micro_path: Path, photo: RGB) -> None:
    plain, searched = (adapters.build(f"glc:{micro_path}{end}") for end in ("", "@effort=1"))
    assert searched.name == "glc:micro@effort=1"
    assert searched.version == plain.version
    image = Image.fromarray(photo[:64, :64])
    data = searched.encode(image, 50)
    assert data != plain.encode(image, 50)
    assert plain.decode(data).size == image.size


def test_mean_colors_make_other_files_of_the_same_model(micro_path: Path, photo: RGB) -> None:
    plain, colored = (adapters.build(f"glc:{micro_path}{end}") for end in ("", "@mean-colors"))
    assert colored.name == "glc:micro@mean-colors"
    assert colored.version == plain.version
    image = Image.fromarray(photo)
    files = [codec.encode(image, 50) for codec in (plain, colored)]
    assert len(files[0]) < len(files[1])
    shown = [np.asarray(colored.decode(data), np.float64) for data in files]
    errors = [np.abs((decoded - photo).mean(axis=(0, 1))).mean() for decoded in shown]
    assert errors[1] < errors[0]


@pytest.mark.parametrize("name", ["pca16@mean-colors", "jpeg@mean-colors"])
def test_only_glc_has_mean_colors(name: str) -> None:
    with pytest.raises(ValueError, match="unknown codec"):
        adapters.build(name)


@pytest.mark.parametrize("name", ["glc@effort=10", "jpeg@effort=1", "glc@effort=x"])
def test_an_effort_that_means_nothing_is_refused(name: str) -> None:
    with pytest.raises((ValueError, Unavailable), match=r"effort|unknown codec"):
        adapters.build(name)


@pytest.mark.parametrize("name", ["glc@realism=101", "jpeg@realism=0", "glc@realism=x"])
def test_a_realism_that_means_nothing_is_refused(name: str) -> None:
    with pytest.raises((ValueError, Unavailable), match=r"realism|unknown codec"):
        adapters.build(name)


def test_a_model_without_realism_is_not_measured_twice(micro_path: Path) -> None:
    with pytest.raises(Unavailable, match="takes no realism"):
        adapters.build(f"glc:{micro_path}@realism=0")


def test_an_absent_model_is_unavailable() -> None:
    with pytest.raises(Unavailable, match=r"no model to evaluate|not installed"):
        adapters.build("glc:/no/such/model.safetensors")
