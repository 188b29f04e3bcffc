from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eval.codecs import adapters, pca16, pca16_fit
from eval.codecs.pca16 import Exchange, Int64, Model, Pca16Codec, passes_of
from eval.metrics.backbones import Unavailable
from eval.metrics.pixels import psnr_db
from eval.pictures import RGB, pixels
from tests.eval.conftest import make_photo


@pytest.fixture(scope="module")
def codec() -> Pca16Codec:
    return Pca16Codec()


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (17, 33), (250, 130)])
@pytest.mark.parametrize("quality", [0, 50, 100])
def test_bytes_alone_give_the_picture_that_the_encoder_meant(
    codec: Pca16Codec, size: tuple[int, int], quality: int
) -> None:
    width, height = size
    image = Image.fromarray(make_photo(max(height, 2), max(width, 2))[:height, :width])
    data = codec.encode(image, quality)
    decoded = Pca16Codec().decode(data)
    assert decoded.size == size
    assert codec.encode(image, quality) == data
    np.testing.assert_array_equal(pixels(codec.decode(data)), pixels(decoded))


def test_the_decoder_reads_every_symbol(photo: RGB, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Int64] = []
    loop = Model.code

    def keep(self: Model, height: int, width: int, used: int, exchange: Exchange) -> Int64:
        written.append(loop(self, height, width, used, exchange))
        return written[-1]

    monkeypatch.setattr(Model, "code", keep)
    codec = Pca16Codec()
    codec.decode(codec.encode(Image.fromarray(photo), 70))
    np.testing.assert_array_equal(written[0], written[1])
    assert np.count_nonzero(written[0]) > 1000


def test_more_quality_costs_more_and_looks_better(codec: Pca16Codec, photo: RGB) -> None:
    files = [codec.encode(Image.fromarray(photo), quality) for quality in codec.qualities]
    figures = [psnr_db(photo, pixels(codec.decode(data))) for data in files]
    assert sorted(files, key=len) == files
    assert sorted(figures) == figures
    assert figures[-1] > figures[0] + 3


def test_a_flat_picture_costs_next_to_nothing(codec: Pca16Codec) -> None:
    image = Image.new("RGB", (256, 256), (90, 120, 200))
    data = codec.encode(image, 60)
    assert len(data) < 120
    assert np.abs(pixels(codec.decode(data)).astype(int) - pixels(image)).mean() < 8


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 9), (33, 20)])
def test_every_block_is_in_one_pass_after_its_neighbours(size: tuple[int, int]) -> None:
    known: set[int] = set()
    for part in passes_of(*size):
        assert set(part.near.ravel().tolist()) <= known
        assert not known & set(part.blocks.tolist())
        known |= set(part.blocks.tolist())
    assert known == set(range(size[0] * size[1]))


def test_a_neighbour_outside_is_replaced_by_its_partner() -> None:
    parts = {part.stage: part for part in passes_of(1, 4)}
    last = parts[pca16.STAGES - 1]
    assert last.blocks.tolist() == [1, 3]
    assert last.near.T.tolist() == [[0, 2, 0, 2], [2, 2, 2, 2]]


def make_wallpaper(seed: int) -> RGB:
    """Return one random tile over and over, of another strength every time."""
    tile = np.random.default_rng(0).normal(size=(16, 16, 3))
    strength = np.random.default_rng(seed).uniform(-30, 30, (8, 12))
    return (128 + np.kron(strength[..., None], tile)).clip(0, 255).astype(np.uint8)


def test_a_model_is_fitted_saved_and_used(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed in range(3):
        Image.fromarray(make_wallpaper(seed)).save(folder / f"{seed}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    out = tmp_path / "mine.npz"
    assert pca16_fit.main(["--pictures", str(folder), "--out", str(out)]) == 0
    mine = adapters.build(f"pca16:{out}")
    shipped = adapters.build("pca16")
    assert (mine.name, shipped.name) == ("pca16:mine", "pca16")
    assert mine.version != shipped.version
    picture = make_wallpaper(99)
    image = Image.fromarray(picture)
    figures = [psnr_db(picture, pixels(c.decode(c.encode(image, 60)))) for c in (mine, shipped)]
    assert figures[0] > figures[1] + 3


def test_components_are_orthogonal_and_sorted() -> None:
    basis = Model.load(Path(pca16.__file__).with_suffix(".npz")).basis / (1 << pca16.BASIS_BITS)
    np.testing.assert_allclose(basis @ basis.T, np.eye(pca16.COMPONENTS), atol=1e-3)


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    with pytest.raises(Unavailable, match=r"model\.npz"):
        adapters.build(f"pca16:{path}")
    np.savez(path, mean=np.zeros(3))
    with pytest.raises(Unavailable, match="no model of it"):
        adapters.build(f"pca16:{path}")


def test_no_picture_is_wrong_usage(tmp_path: Path) -> None:
    arguments = ["--pictures", str(tmp_path / "absent"), "--out", str(tmp_path / "m.npz")]
    assert pca16_fit.main(arguments) == 2


def test_weights_are_never_negative() -> None:
    features = np.random.default_rng(0).normal(size=(200, 3))
    targets = features @ np.array([2.0, -1.0, 0.5])
    weights = pca16_fit.non_negative(features.T @ features, features.T @ targets)
    assert weights.min() >= 0
    assert weights[1] == 0
    assert weights[0] > 1.5
