"""Every kind of source gives the same pictures in a fixed order, under keys that are unique."""

from __future__ import annotations

from pathlib import Path

import pytest

from glc.dataset import ArchiveWriter, compress
from glc.dataset.inputs import list_items
from glc.dataset.keys import UniqueKeys, key_of
from glc.dataset.parquet import read_rows
from glc.errors import ImageError


def listed(source) -> dict[str, object]:
    """Return what there is, in order; an error in the place of what cannot be read."""
    found: dict[str, object] = {}
    for number, item in enumerate(list_items(source)):
        assert item.number == number
        try:
            found[item.key] = item.read()
        except Exception as error:
            found[item.key] = error
    return found


def names(pictures):
    return {f"{key}.png": data for key, data in pictures.items()}


def test_a_folder_is_read_to_the_bottom_in_order(folder, pictures):
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "b" / "007").mkdir()
    (folder / "b" / "007" / "x.JPG").write_bytes(b"jpeg")
    expected = dict(pictures)
    found = listed(folder)
    # Names are compared folder by folder, so 007 with its content comes before 007.png.
    assert found.pop("b/007/x") == b"jpeg"
    assert list(found.items()) == list(expected.items())
    assert listed(f"{folder}/") == listed(str(folder))


def test_patterns_files_and_lists(folder, pictures):
    assert list(listed(f"{folder}/b/*.png")) == [key[2:] for key in pictures if key[0] == "b"]
    assert list(listed(f"{folder}/**/*[12].png")) == ["a/001", "a/002", "b/011"]
    assert list(listed(f"{folder}/a/00{{3,1}}.png")) == ["003", "001"]
    assert list(listed(f"{folder}/a/{{001..003}}.png")) == ["001", "002", "003"]
    several = listed([folder / "b" / "006.png", f"{folder}/a"])
    assert list(several) == ["006", *(f"{n:03d}" for n in range(6))]
    with pytest.raises(ValueError, match="too many"):
        listed(f"{folder}/{{0..99999999}}.png")


@pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
def test_tars(suffix, tmp_path, pictures, make_tar):
    mode = "w:gz" if suffix == "tar.gz" else "w"
    members = {"./notes.json": b"{}", **names(pictures), "x/y.cls": b"7"}
    one = make_tar(tmp_path / f"one.{suffix}", members, mode)
    assert list(listed(one).items()) == list(pictures.items())
    make_tar(tmp_path / f"two.{suffix}", {"a/000.png": b"other"}, mode)
    # With several tars the keys say which.
    found = listed(f"{tmp_path}/*.{suffix}")
    assert list(found) == [*(f"one/{key}" for key in pictures), "two/a/000"]
    assert found["two/a/000"] == b"other"
    assert listed(f"{tmp_path}/{{one,two}}.{suffix}") == found == listed(tmp_path)


def test_a_tar_that_is_cut_off_gives_what_is_there_and_one_failure(tmp_path, pictures, make_tar):
    path = make_tar(tmp_path / "one.tar", names(pictures))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    found = listed(path)
    good = {key: data for key, data in found.items() if isinstance(data, bytes)}
    assert 3 < len(good) < 9
    assert all(pictures[key] == data for key, data in good.items())
    bad = {key: data for key, data in found.items() if not isinstance(data, bytes)}
    assert "one.tar" in bad
    assert all(isinstance(error, ImageError) for error in bad.values())
    path.write_bytes(b"this is no tar" * 100)
    (error,) = listed(path).values()
    assert "cannot be read on" in str(error)


def test_an_archive(tmp_path, make_glc, identity):
    files = {f"k{n}": make_glc(n) for n in range(5)}
    with ArchiveWriter(tmp_path / "a.glca", identity) as writer:
        for key, data in files.items():
            writer.add(key, data)
    assert listed(tmp_path / "a.glca") == files


def parquet_of(path: Path, columns: dict[str, list], **options) -> Path:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table(columns), path, **options)
    return path


def test_parquet_as_hugging_face_has_it(tmp_path, pictures):
    path = parquet_of(
        tmp_path / "train-00000-of-00001.parquet",
        {
            "label": list(range(12)),
            "other": [b"no picture"] * 12,
            "image": [{"bytes": d, "path": f"{k}.png"} for k, d in pictures.items()],
        },
        row_group_size=5,
    )
    assert list(listed(path).items()) == list(pictures.items())


def test_parquet_without_paths_and_with_keys(tmp_path, pictures):
    data = list(pictures.values())
    path = parquet_of(
        tmp_path / "a.parquet", {"jpg": [{"bytes": d, "path": None} for d in data], "n": data}
    )
    assert listed(path) == {f"{n:08d}": d for n, d in enumerate(data)}
    path = parquet_of(tmp_path / "b.parquet", {"__key__": list(pictures), "jpg": data})
    assert listed(path) == pictures
    path = parquet_of(tmp_path / "c.parquet", {"text": ["a", "b"]})
    (error,) = listed(path).values()
    assert "holds pictures" in str(error)
    (tmp_path / "d.parquet").write_bytes(b"nothing")
    (error,) = listed(tmp_path / "d.parquet").values()
    assert "not a Parquet file" in str(error)


def test_keys():
    assert [key_of(name) for name in ("a.PNG", "a/b.c.jpeg", "a.txt", "a")] == [
        *("a", "a/b.c", "a.txt", "a"),
    ]
    unique = UniqueKeys()
    given = ["a", "b", "a", "a~2", "a", "a~2", "b"]
    assert [unique(key) for key in given] == ["a", "b", "a~2", "a~2~2", "a~3", "a~2~3", "b~2"]


def test_pictures_of_one_name_and_two_kinds(folder, make_png):
    (folder / "a" / "001.jpg").write_bytes(b"jpeg")
    found = listed(folder / "a")
    assert found["001"] == b"jpeg"
    assert found["001~2"] == make_png(1)


def test_parquet_out(folder, tmp_path, micro, one_by_one):
    parquet = pytest.importorskip("pyarrow.parquet")
    (folder / "a" / "002.png").write_bytes(b"no picture")
    target = tmp_path / "out.parquet"
    compress(folder, target, 40, model=micro)
    table = parquet.read_table(target)
    assert table.column_names == ["glc", "width", "height", "bpp", "key", "error"]
    assert table.schema.metadata[b"glc.identity"].decode() == micro.identity.hex()
    rows = {row["key"]: row for row in table.to_pylist()}
    assert list(rows) == list(one_by_one)
    assert rows["a/002"]["glc"] is rows["a/002"]["width"] is None
    assert "not a picture" in rows["a/002"]["error"]
    row = rows["b/007"]
    assert (row["width"], row["height"], row["error"]) == (70, 50, None)
    assert row["bpp"] == pytest.approx(8 * len(one_by_one["b/007"]) / 3500)
    assert {r.key: r.data for r in read_rows(str(target)) if r.data} == {
        key: data for key, data in one_by_one.items() if key != "a/002"
    }
    # What was written can be a source again.
    assert listed(target)["b/007"] == one_by_one["b/007"]


@pytest.fixture
def memory():
    """An empty file system behind ``memory://``."""
    fsspec = pytest.importorskip("fsspec")
    files = fsspec.filesystem("memory")
    files.store.clear()
    yield files
    files.store.clear()


@pytest.mark.parametrize(
    "target", ["memory://out/x.glca", "memory://out/x.parquet", "memory://out"]
)
def test_urls(target, memory, pictures, tmp_path, micro, make_tar, folder):
    (folder / "a" / "002.png").write_bytes(b"no picture")
    pytest.importorskip("pyarrow")
    local = tmp_path / target.removeprefix("memory://out").lstrip("/")
    local = tmp_path / "out" if local == tmp_path else local
    broken = {**pictures, "a/002": b"no picture"}
    for key, data in broken.items():
        memory.pipe_file(f"/in/{key}.png", data)
    tar = make_tar(tmp_path / "one.tar", names(broken))
    memory.put_file(str(tar), "/tars/one.tar")
    compress(folder, local, 40, model=micro)
    for source in ("memory://in", "memory://in/**/*.png", "memory://tars/one.tar"):
        result = compress(source, target, 40, model=micro)
        assert (result.pictures, len(result.failures)) == (11, 1)
        again = compress(source, target, 40, model=micro)
        assert again.pictures == 0
        if local.is_dir():
            for path in local.rglob("*.*"):
                below = path.relative_to(local)
                assert memory.cat_file(f"/out/{below}") == path.read_bytes()
        else:
            assert memory.cat_file(f"/out/{local.name}") == local.read_bytes()
            assert memory.exists(f"/out/{local.name}.failed.csv")
        memory.rm("/out", recursive=True)


def test_staging_makes_a_url_resumable(memory, folder, tmp_path, micro, one_by_one):
    def stop(result):
        if result.pictures == 5:
            raise KeyboardInterrupt

    options = {"model": micro, "staging": tmp_path / "staging"}
    with pytest.raises(KeyboardInterrupt):
        compress(folder, "memory://out/x.glca", 40, progress=stop, **options)
    assert not memory.exists("/out/x.glca")
    result = compress(folder, "memory://out/x.glca", 40, **options)
    assert (result.skipped, result.pictures) == (5, 7)
    assert list((tmp_path / "staging").iterdir()) == []
    compress(folder, tmp_path / "x.glca", 40, model=micro)
    assert memory.cat_file("/out/x.glca") == (tmp_path / "x.glca").read_bytes()


def test_a_url_of_an_unknown_kind(tmp_path, micro):
    pytest.importorskip("fsspec")
    with pytest.raises(ValueError, match="nowhere"):
        compress("nowhere://x", tmp_path / "x.glca", model=micro)


def test_missing_packages_are_named(monkeypatch, tmp_path, micro, folder):
    for name in ("fsspec", "pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(ModuleNotFoundError, match=r"glc-codec\[dataset\]"):
        compress("memory://x", tmp_path / "x.glca", model=micro)
    (tmp_path / "a.parquet").write_bytes(b"")
    with pytest.raises(ModuleNotFoundError, match=r"glc-codec\[dataset\]"):
        compress(tmp_path / "a.parquet", tmp_path / "x.glca", model=micro)
    with pytest.raises(ModuleNotFoundError, match=r"glc-codec\[dataset\]"):
        compress(folder, tmp_path / "x.parquet", 40, model=micro)
    assert not list(tmp_path.glob("x.*"))
