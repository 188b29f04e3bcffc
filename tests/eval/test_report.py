from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from eval import codecs, report
from eval.pictures import RGB

MARKED = f"# Title\n\n{report.BEGIN}\nold\n{report.END}\n\nrest\n"


def test_one_command_fills_the_readme(folder: Path, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(MARKED)
    assets = tmp_path / "docs" / "results"
    arguments = ["--images", str(folder), "--run", str(tmp_path / "run"), "--readme", str(readme)]
    more = ["--assets", str(assets), "--codecs", "webp,jpeg", "--metrics", "psnr,grid"]
    assert report.main([*arguments, *more]) == 0
    text = readme.read_text()
    assert "old" not in text
    assert text.startswith("# Title\n")
    assert text.endswith("\n\nrest\n")
    assert "![Rate and distortion](docs/results/curves.png)" in text
    assert "| webp " in text
    assert "2 pictures of pictures." in text
    assert sum(line.startswith("| jpeg ") for line in text.splitlines()) == 1, "nearest rate only"
    with Image.open(assets / "crops.png") as sheet:
        assert sheet.size == (3 * (report.CROP + 4) - 4, 2 * (report.CROP + 24))
    assert (assets / "curves.png").stat().st_size > 5000

    before = readme.read_text()
    assert report.main(["--run", str(tmp_path / "run"), "--readme", str(readme), *more[:2]]) == 0
    assert readme.read_text() == before, "the same run gives the same README"


def test_a_rival_is_encoded_at_the_same_size(photo: RGB) -> None:
    image = Image.fromarray(photo)
    jpeg = codecs.build("jpeg")
    sizes = [len(jpeg.encode(image, quality)) for quality in range(1, 101)]
    for wanted in (1, 4000, 9000, 10**9):
        found = len(report.same_size(jpeg, image, wanted))
        best = min(sizes, key=lambda size: max(size / wanted, wanted / size))
        assert found == pytest.approx(best, rel=0.02)


def test_a_readme_without_marks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="results:begin"):
        report.fill("no marks", "text")
    with pytest.raises(ValueError, match="results:end"):
        report.fill(f"{report.END} {report.BEGIN}", "text")


def test_a_folder_without_a_run_is_wrong_usage(tmp_path: Path) -> None:
    assert report.main(["--run", str(tmp_path)]) == 2
