from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from eval.metrics import registry
from eval.report import readme as report
from eval.report import sheet

MARKED = f"# Title\n\n{report.BEGIN}\nold\n{report.END}\n\nrest\n"


def test_one_command_fills_the_readme(folder: Path, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(MARKED)
    assets = tmp_path / "docs" / "results"
    arguments = ["--images", str(folder), "--run", str(tmp_path / "run"), "--readme", str(readme)]
    more = ["--assets", str(assets), "--codecs", "webp,jpeg", "--metrics", "psnr,grid,colour16"]
    assert report.main([*arguments, *more]) == 0
    text = readme.read_text()
    assert "old" not in text
    assert text.startswith("# Title\n")
    assert text.endswith("\n\nrest\n")
    assert "![Rate and distortion](docs/results/curves.png)" in text
    assert "| webp " in text
    assert "| PSNR dB |\n" in text
    assert sum(line.startswith("| webp ") for line in text.splitlines()) == 1, "one row each"
    page = (assets / "README.md").read_text()
    assert "| PSNR dB | colour16 | grid dB |" in page
    assert sum(line.startswith("| webp ") for line in page.splitlines()) > 1, "all points"
    assert "![Rate and distortion](curves.png)" in page
    assert sum(line.startswith("| jpeg ") for line in page.splitlines()) == 1, "nearest rate only"
    assert "2 pictures of pictures." in text
    assert sum(line.startswith("| jpeg ") for line in text.splitlines()) == 1, "nearest rate only"
    with Image.open(assets / "crops.png") as crops:
        assert crops.size == (3 * (sheet.CROP + 4) - 4, 2 * (sheet.CROP + sheet.CAPTION))
    assert (assets / "curves.png").stat().st_size > 5000

    before = readme.read_text()
    assert report.main(["--run", str(tmp_path / "run"), "--readme", str(readme), *more[:2]]) == 0
    assert readme.read_text() == before, "the same run gives the same README"
    assert (assets / "README.md").read_text() == page


def test_a_readme_without_marks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="results:begin"):
        report.fill("no marks", "text")
    with pytest.raises(ValueError, match="results:end"):
        report.fill(f"{report.END} {report.BEGIN}", "text")


def test_a_folder_without_a_run_is_wrong_usage(tmp_path: Path) -> None:
    assert report.main(["--run", str(tmp_path)]) == 2


@pytest.mark.usefixtures("squeezenet")
def test_what_was_trained_on_stands_last_with_a_footnote(folder: Path, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(MARKED)
    arguments = ["--images", str(folder), "--run", str(tmp_path / "run"), "--readme", str(readme)]
    more = ["--assets", str(tmp_path), "--codecs", "jpeg", "--metrics", "lpips-squeeze,psnr"]
    assert report.main([*arguments, *more]) == 0
    text = readme.read_text()
    assert "PSNR dB | LPIPS(squeeze)* |\n" in text
    assert registry.FOOTNOTES["lpips_squeeze"] in text
    assert registry.FOOTNOTES["lpips_alex"] not in text, "no such column"
