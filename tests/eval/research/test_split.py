from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from eval.research.split import is_held_out, read_all, split


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Twenty pictures in a tar, ten in a folder beside it, and a text in both."""
    picture = io.BytesIO()
    Image.new("RGB", (4, 4)).save(picture, "PNG")
    folder = tmp_path / "source"
    (folder / "more").mkdir(parents=True)
    with tarfile.open(folder / "a.tar", "w") as archive:
        for name in [*(f"in/tar{i}.png" for i in range(20)), "in/readme.txt"]:
            info = tarfile.TarInfo(name)
            info.size = len(picture.getvalue())
            archive.addfile(info, io.BytesIO(picture.getvalue()))
    for index in range(10):
        (folder / "more" / f"file{index}.png").write_bytes(picture.getvalue())
    (folder / "readme.txt").write_text("no picture")
    return folder


def test_every_picture_goes_into_one_part(source: Path, tmp_path: Path) -> None:
    kept, held_out = tmp_path / "kept", tmp_path / "held-out"
    counts = split(source, kept, held_out, 0.3)
    names = [{path.name for path in folder.iterdir()} for folder in (kept, held_out)]
    assert tuple(map(len, names)) == counts
    assert not names[0] & names[1]
    expected = {f"tar{i}.png" for i in range(20)} | {f"file{i}.png" for i in range(10)}
    assert names[0] | names[1] == expected
    assert names[1] == {name for name in expected if is_held_out(name, 0.3)} != set()


def test_parts_hang_on_names_alone() -> None:
    names = [f"{i}.png" for i in range(2000)]
    few, more = ({n for n in names if is_held_out(n, share)} for share in (0.05, 0.2))
    assert few < more
    assert 0.03 < len(few) / 2000 < 0.07
    assert not any(is_held_out(n, 0.0) for n in names)


def test_a_tar_by_itself_and_nothing(source: Path, tmp_path: Path) -> None:
    assert sorted(name for name, _ in read_all(source / "a.tar"))[0] == "tar0.png"
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no picture in"):
        split(tmp_path / "empty", tmp_path / "a", tmp_path / "b", 0.1)
