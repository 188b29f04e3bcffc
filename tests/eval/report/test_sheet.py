from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eval.codecs import adapters
from eval.pictures import RGB
from eval.report import sheet
from tests.eval.conftest import make_photo


def test_a_file_is_matched_in_size_over_all_qualities(photo: RGB) -> None:
    image = Image.fromarray(photo)
    jpeg = adapters.build("jpeg")
    sizes = [len(jpeg.encode(image, quality)) for quality in range(1, 101)]
    for wanted in (1, 4000, 9000, 10**9):
        found = len(sheet.same_size(jpeg, image, wanted))
        best = min(sizes, key=lambda size: max(size / wanted, wanted / size))
        assert found == pytest.approx(best, rel=0.02)


def test_one_row_per_crop_and_rate(tmp_path: Path) -> None:
    photo = make_photo(300, 400)
    Image.fromarray(photo).save(tmp_path / "a.png")
    (tmp_path / "list.csv").write_text("picture,left,top\na.png,10,20\na.png,100,70\n")
    out = tmp_path / "sheet.png"
    arguments = ["--images", str(tmp_path), "--crops", str(tmp_path / "list.csv")]
    more = ["--codecs", "webp,jpeg", "--rates", "0.3,1", "--out", str(out)]
    assert sheet.main([*arguments, *more]) == 0
    side, caption = sheet.CROP, sheet.CAPTION
    with Image.open(out) as opened:
        assert opened.size == (3 * (side + 4) - 4, 4 * (side + caption))
        drawn = np.array(opened.convert("RGB"))
    np.testing.assert_array_equal(drawn[caption : caption + side, :side], photo[20:244, 10:234])
    third = 2 * (side + caption) + caption
    np.testing.assert_array_equal(drawn[third : third + side, :side], photo[70:294, 100:324])
    low, high = (
        np.abs(drawn[top : top + side, side + 4 : 2 * side + 4] - photo[20:244, 10:234] * 1.0)
        for top in (caption, side + 2 * caption)
    )
    assert 0 < high.mean() < low.mean()


def test_captions_say_what_a_file_took(tmp_path: Path) -> None:
    Image.fromarray(make_photo(256, 256)).save(tmp_path / "a.png")
    jpeg = adapters.build("jpeg")
    ((original, coded),) = sheet.rows(tmp_path, [sheet.Crop("a.png", 0, 0)], [jpeg], [0.5])
    image = Image.open(tmp_path / "a.png")
    size = len(sheet.same_size(jpeg, image, 4096))
    assert original[0] == "a.png, 0.5 bpp"
    assert coded[0] == f"jpeg, {8 * size / 256**2:.4f} bpp"


def test_the_list_that_comes_with_the_package_is_read() -> None:
    crops = sheet.read(Path(sheet.__file__).with_name("crops.csv"))
    assert len(crops) == len(set(crops)) >= 6
    assert all(crop.picture.startswith("kodim") for crop in crops)
    assert all(crop.left + sheet.CROP <= 768 and crop.top + sheet.CROP <= 768 for crop in crops)


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "picture,left,top\na.png,x,0\n"])
def test_a_damaged_list_is_wrong_usage(text: str, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(ValueError, match=r"list\.csv"):
        sheet.read(tmp_path / "list.csv")
    arguments = ["--images", str(folder), "--out", str(tmp_path / "s.png")]
    assert sheet.main([*arguments, "--crops", str(tmp_path / "list.csv"), "--codecs", "jpeg"]) == 2


def test_a_picture_that_is_absent_is_named(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"kodim99\.png"):
        sheet.rows(folder, [sheet.Crop("kodim99.png", 0, 0)], [adapters.build("jpeg")], [1])


def test_every_codec_gets_the_bytes_of_the_smallest_file_of_one(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 2)):
        Image.fromarray(make_photo(256, 400, seed)).save(tmp_path / f"{name}.png")
    jpeg, webp = adapters.build("jpeg"), adapters.build("webp")
    crops = sheet.middles(tmp_path)
    assert [(crop.picture, crop.left, crop.top) for crop in crops] == [
        ("a.png", 88, 16),
        ("b.png", 88, 16),
    ]
    found = sheet.equal_rows(tmp_path, crops, [jpeg, webp], webp)
    for name, row in zip(("a.png", "b.png"), found, strict=True):
        image = Image.open(tmp_path / name)
        size = len(webp.encode(image, min(webp.qualities)))
        assert [cell[0] for cell in row] == [
            "original, 400 x 256",
            f"jpeg, {len(sheet.same_size(jpeg, image, size)):,} bytes",
            f"webp, {size:,} bytes",
        ]
        assert row[0][1].tobytes() == crops[0].of(image).tobytes()


def test_equal_bytes_exclude_rates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = ["--images", str(tmp_path), "--out", "x.png", "--equal-to", "jpeg", "--rates", "1"]
    with pytest.raises(SystemExit):
        sheet.main(wrong)
    assert "not allowed with" in capsys.readouterr().err
