from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from eval import pictures
from eval.pictures import RGB


def test_find_names_pictures_by_their_path_below_the_folder(folder: Path) -> None:
    found = pictures.find(folder)
    assert [source.name for source in found] == ["a.png", "more/b.png"]
    assert found[0].digest != found[1].digest
    assert len(pictures.find(folder, limit=1)) == 1


def test_find_refuses_a_folder_without_pictures(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(ValueError, match="holds no picture"):
        pictures.find(tmp_path)
    with pytest.raises(ValueError, match="expected a folder"):
        pictures.find(tmp_path / "absent")


def test_load_turns_a_picture_upright_and_lays_alpha_over_white(tmp_path: Path) -> None:
    turned = Image.new("RGB", (4, 2), "red")
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.jpg", exif=exif)
    assert pictures.load(tmp_path / "turned.jpg").size == (2, 4)

    Image.new("RGBA", (2, 2), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert pictures.load(tmp_path / "clear.png").getpixel((0, 0)) == (255, 255, 255)


def test_patches_tile_without_overlap() -> None:
    picture = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    tiles = pictures.patches(picture, 2)
    assert len(tiles) == 6
    np.testing.assert_array_equal(tiles[1], picture[0:2, 2:4])
    assert len(pictures.patches(picture, 2, offset=1)) == 6
    assert pictures.patches(picture, 8) == []


def test_profile_and_metadata_stay_behind(photo: RGB, tmp_path: Path) -> None:
    path = tmp_path / "tagged.png"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010E] = "a description"
    Image.fromarray(photo).save(path, icc_profile=profile, exif=exif)
    loaded = pictures.load(path)
    assert not loaded.info
    assert not loaded.getexif()
    np.testing.assert_array_equal(np.asarray(loaded), photo)
