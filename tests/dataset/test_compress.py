"""One call compresses a dataset: order, bytes, failures, shards, going on after an interruption."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glc import image
from glc.bitstream import unpack
from glc.dataset import Archive, ArchiveWriter, compress
from glc.dataset.failures import Failure
from glc.dataset.parquet import read_rows
from glc.errors import GlcError, ImageError


def contents(path: Path) -> dict[str, bytes]:
    """Return the files of an archive, or of a folder in the order of their names."""
    if path.is_dir():
        found = sorted(path.rglob("*.glc"))
        return {p.relative_to(path).as_posix().removesuffix(".glc"): p.read_bytes() for p in found}
    with Archive(path) as archive:
        archive.verify()
        return dict(iter(archive))


@pytest.mark.parametrize("name", ["out.glca", "out"])
def test_a_folder_becomes_what_the_codec_gives_one_by_one(
    name, folder, tmp_path, micro, one_by_one
):
    seen = []
    result = compress(
        folder,
        tmp_path / name,
        40,
        model=micro,
        progress=lambda r: seen.append((r.pictures, r.bytes_out)),
    )
    assert list(contents(tmp_path / name).items()) == list(one_by_one.items())
    assert (result.pictures, result.skipped, result.failures) == (12, 0, [])
    assert result.bytes_out == sum(map(len, one_by_one.values())) == seen[-1][1]
    assert [pictures for pictures, _ in seen] == list(range(1, 13))
    assert result.bytes_in == sum(path.stat().st_size for path in folder.rglob("*.png"))
    assert result.pictures_per_second == pytest.approx(12 / result.seconds)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, "pictures"])


@pytest.mark.parametrize(("workers", "batch_size"), [(1, 1), (5, 1), (1, 3), (3, 3)])
def test_bytes_depend_on_neither_workers_nor_timing(
    workers, batch_size, folder, tmp_path, micro, one_by_one
):
    target = tmp_path / "out.glca"
    compress(folder, target, 40, model=micro, workers=workers, batch_size=batch_size)
    assert contents(target) == one_by_one


@pytest.mark.usefixtures("random_perception")
def test_an_effort_gives_what_the_codec_gives_with_it(tmp_path, micro, make_picture):
    pictures = {f"p{seed}": make_picture(40, 50, seed) for seed in range(3)}
    targets = [tmp_path / f"{workers}.glca" for workers in (1, 3)]
    for target, workers in zip(targets, (1, 3), strict=True):
        compress(pictures.items(), target, 40, model=micro, workers=workers, effort=1)
    expected = {key: micro.encode(picture, 40, effort=1) for key, picture in pictures.items()}
    assert contents(targets[0]) == contents(targets[1]) == expected


def test_an_iterable_of_pictures(tmp_path, micro, make_picture, folder):
    pixels = make_picture(40, 56, 1)
    grey = make_picture(30, 30, 2, channels=1)
    source = [
        ("array", pixels),
        ("image", Image.fromarray(pixels)),
        ("grey", grey),
        ("path", folder / "a" / "001.png"),
        ("floats", np.zeros((8, 8, 3))),
        ("array", grey),
    ]
    result = compress(iter(source), tmp_path / "out.glca", 40, model=micro)
    files = contents(tmp_path / "out.glca")
    assert list(files) == ["array", "image", "grey", "path", "array~2"]
    assert files["array"] == files["image"] == micro.encode(pixels, 40)
    assert files["grey"] == files["array~2"] == micro.encode(grey, 40)
    assert files["path"] == micro.encode(folder / "a" / "001.png", 40)
    (failure,) = result.failures
    assert (failure.number, failure.key) == (4, "floats")
    assert "uint8" in failure.reason


@pytest.fixture
def broken(folder) -> Path:
    """The folder with one file that is no picture and one that is cut off."""
    (folder / "a" / "002.png").write_bytes(b"no picture")
    whole = (folder / "b" / "008.png").read_bytes()
    (folder / "b" / "008.png").write_bytes(whole[:60])
    return folder


@pytest.mark.parametrize("name", ["out.glca", "out"])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_failures_are_data(name, batch_size, broken, tmp_path, micro, one_by_one):
    target = tmp_path / name
    result = compress(broken, target, 40, model=micro, batch_size=batch_size)
    rest = {k: v for k, v in one_by_one.items() if k not in ("a/002", "b/008")}
    assert contents(target) == rest
    assert [(f.number, f.key) for f in result.failures] == [(2, "a/002"), (8, "b/008")]
    listed = target / "failed.csv" if target.is_dir() else tmp_path / "out.glca.failed.csv"
    with listed.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == ["number", "key", "reason"]
    assert [Failure(int(n), k, r) for n, k, r in rows[1:]] == result.failures
    assert "not a picture" in result.failures[0].reason


def test_an_error_can_be_raised_and_the_rest_be_done_later(broken, tmp_path, micro, one_by_one):
    target = tmp_path / "out.glca"
    with pytest.raises(ImageError, match="a/002"):
        compress(broken, target, 40, model=micro, on_error="raise")
    assert not target.exists()
    result = compress(broken, target, 40, model=micro)
    assert (result.skipped, result.pictures, len(result.failures)) == (2, 8, 2)
    assert list(contents(target)) == [k for k in one_by_one if k not in ("a/002", "b/008")]


class Stop(Exception):
    """Ends a run from its progress callback."""


def stop_after(count: int):
    def progress(result):
        if result.pictures + len(result.failures) == count:
            raise Stop

    return progress


@pytest.mark.parametrize("name", ["out.glca", "out", "out.parquet"])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_going_on_after_interruptions_gives_the_same_bytes(
    name, batch_size, broken, tmp_path, micro
):
    options = {"model": micro, "batch_size": batch_size}
    whole, target = tmp_path / "whole" / name, tmp_path / "parts" / name
    compress(broken, whole, 40, **options)
    for count in (1, 2, 4):
        with pytest.raises(Stop):
            compress(broken, target, 40, progress=stop_after(count), **options)
        assert not target.is_file()
    compress(broken, target, 40, **options)
    names = sorted(p.relative_to(whole.parent) for p in whole.parent.rglob("*"))
    assert names == sorted(p.relative_to(target.parent) for p in target.parent.rglob("*"))
    for path in names:
        if (whole.parent / path).is_file():
            assert (whole.parent / path).read_bytes() == (target.parent / path).read_bytes()


@pytest.mark.usefixtures("random_perception")
def test_going_on_with_an_effort_gives_the_same_bytes(tmp_path, micro, make_picture):
    pictures = {f"p{seed}": make_picture(40, 50, seed) for seed in range(4)}
    whole, target = tmp_path / "whole.glca", tmp_path / "parts.glca"
    compress(pictures.items(), whole, 40, model=micro, effort=1)
    for count in (1, 2):
        with pytest.raises(Stop):
            compress(
                pictures.items(), target, 40, model=micro, effort=1, progress=stop_after(count)
            )
    compress(pictures.items(), target, 40, model=micro, effort=1)
    assert target.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("name", ["out.glca", "out.parquet"])
def test_doing_it_again_does_nothing(name, broken, tmp_path, micro):
    target = tmp_path / name
    compress(broken, target, 40, model=micro)
    before = target.read_bytes(), (tmp_path / f"{name}.failed.csv").read_bytes()
    again = compress(broken, target, 40, model=micro)
    assert (again.pictures, again.skipped, again.failures) == (0, 12, [])
    assert (target.read_bytes(), (tmp_path / f"{name}.failed.csv").read_bytes()) == before
    assert len(list(tmp_path.iterdir())) == 3


def test_a_source_that_has_grown_is_appended(folder, tmp_path, micro, make_png, one_by_one):
    target = tmp_path / "out.glca"
    compress(folder, target, 40, model=micro)
    (folder / "c.png").write_bytes(make_png(50))
    result = compress(folder, target, 40, model=micro)
    assert (result.pictures, result.skipped) == (1, 12)
    assert list(contents(target)) == [*one_by_one, "c"]


@pytest.mark.parametrize("name", ["out.glca", "out.parquet"])
def test_a_destination_begun_otherwise_is_refused(name, folder, tmp_path, micro, make_png):
    target = tmp_path / name
    compress(folder, target, 40, model=micro)
    with pytest.raises(ValueError, match=r"not 30; .* -f \(resume=False\) begins again"):
        compress(folder, target, 30, model=micro)
    (folder / "0.png").write_bytes(make_png(50))
    with pytest.raises(ValueError, match=r"has changed; -f \(resume=False\) begins again"):
        compress(folder, target, 40, model=micro)
    result = compress(folder, target, 30, model=micro, resume=False)
    assert (result.pictures, result.skipped) == (13, 0)


def test_shards_are_disjoint_complete_and_idempotent(broken, tmp_path, micro, one_by_one):
    found: list[list[str]] = []
    for index in range(3):
        for _ in range(2):
            result = compress(broken, tmp_path / "out.glca", 40, model=micro, shard=(index, 3))
        assert result.destination == str(tmp_path / f"out-{index:05d}-of-00003.glca")
        assert result.pictures == 0
        files = contents(Path(result.destination))
        assert all(one_by_one[key] == data for key, data in files.items())
        found.append(list(files))
    everything = list(one_by_one)
    assert found[0] == [everything[n] for n in (0, 3, 6, 9)]
    assert sorted(key for keys in found for key in keys) == sorted(
        set(everything) - {"a/002", "b/008"}
    )
    lists = sorted(p.name for p in tmp_path.glob("*.csv"))
    assert lists == ["out-00002-of-00003.glca.failed.csv"]


def test_shards_of_a_folder_share_it(broken, tmp_path, micro, one_by_one):
    for index in range(2):
        compress(broken, tmp_path / "out", 40, model=micro, shard=(index, 2))
    assert contents(tmp_path / "out").keys() == one_by_one.keys() - {"a/002", "b/008"}
    assert (tmp_path / "out" / "failed-00000-of-00002.csv").exists()


def test_coded_files_are_taken_as_they_are_and_load_no_networks(
    tmp_path, micro_path, one_by_one, monkeypatch, make_glc
):
    monkeypatch.setenv("GLC_MODELS", str(micro_path.parent))
    source = tmp_path / "coded"
    for key, data in one_by_one.items():
        (source / key).parent.mkdir(parents=True, exist_ok=True)
        (source / f"{key}.glc").write_bytes(data)
    (source / "b" / "other.glc").write_bytes(make_glc(1))
    monkeypatch.setattr("glc.codec.Codec.__init__", lambda *_: pytest.fail("networks were loaded"))
    result = compress(source, tmp_path / "out.glca")
    assert contents(tmp_path / "out.glca") == one_by_one
    assert [f.key for f in result.failures] == ["b/other"]
    assert "made with model" in result.failures[0].reason


@pytest.fixture
def older(micro, pictures) -> dict[str, bytes]:
    """The pictures as files of version 1."""
    loaded = [image.load(data) for data in pictures.values()]
    files = [micro.encode_batch([picture], 40, version=1)[0] for picture in loaded]
    return dict(zip(pictures, files, strict=True))


def test_an_archive_of_an_earlier_release_is_gone_on_with_in_its_version(
    folder, tmp_path, micro, make_png, older
):
    begun, finished = tmp_path / "begun.glca", tmp_path / "finished.glca"
    for path, keys in ((tmp_path / "begun.glca.part", [*older][:5]), (finished, [*older])):
        with ArchiveWriter(path, micro.identity, version=1) as writer:
            for key in keys:
                writer.add(key, older[key])
    compress(folder, begun, 40, model=micro)
    assert begun.read_bytes() == finished.read_bytes()
    (folder / "c.png").write_bytes(make_png(50))
    assert compress(folder, finished, 40, model=micro).pictures == 1
    files = contents(finished)
    assert {unpack(data).version for data in files.values()} == {1}
    micro.verify_batch([*files.values()])
    # Done again, it is written as this release writes.
    compress(folder, finished, 40, model=micro, resume=False)
    assert {unpack(data).version for data in contents(finished).values()} == {2}


def test_a_table_of_an_earlier_release_is_gone_on_with_in_its_version(
    folder, tmp_path, micro, make_png, older
):
    target = tmp_path / "out.parquet"
    compress([*older.items()], target, 40, model=micro)
    (folder / "c.png").write_bytes(make_png(50))
    assert compress(folder, target, 40, model=micro).pictures == 1
    rows = [row.data for row in read_rows(str(target))]
    assert rows[:-1] == [*older.values()]
    assert [unpack(data).version for data in rows] == [1] * 13


def test_the_first_coded_file_says_the_version_of_a_new_archive(
    tmp_path, micro, make_png, older, one_by_one
):
    source = [("old", older["a/000"]), ("new", make_png(60)), ("newer", one_by_one["a/001"])]
    result = compress(source, tmp_path / "old.glca", 40, model=micro)
    versions = {key: unpack(data).version for key, data in contents(tmp_path / "old.glca").items()}
    assert versions == {"old": 1, "new": 1}
    (failure,) = result.failures
    assert failure.key == "newer"
    assert "holds files of version 1, this one is of version 2" in failure.reason
    # A folder takes every file as it is, and new pictures as this release writes them.
    compress(source, tmp_path / "out", 40, model=micro)
    files = contents(tmp_path / "out")
    assert {key: unpack(data).version for key, data in files.items()} == {
        "old": 1,
        "new": 2,
        "newer": 2,
    }
    assert files["old"] == older["a/000"]


def test_a_key_that_leads_out_of_the_folder_stays_inside(tmp_path, micro, make_png):
    source = [("../out", make_png(0)), ("/etc/x", make_png(1)), ("fine", make_png(2))]
    assert compress(source, tmp_path / "in", 40, model=micro).pictures == 3
    found = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.glc"))
    assert found == ["in/%/etc/x.glc", "in/%2E%2E/out.glc", "in/fine.glc"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quality": 101}, "quality"),
        ({"quality": 5.0}, "quality"),
        ({"effort": 10}, "effort"),
        ({"workers": 0}, "workers"),
        ({"batch_size": 0}, "batch_size"),
        ({"on_error": "ignore"}, "on_error"),
        ({"shard": (2, 2)}, "shard"),
    ],
)
def test_wrong_calls(options, message, folder, tmp_path, micro):
    with pytest.raises(ValueError, match=message):
        compress(folder, tmp_path / "out.glca", model=micro, **options)
    assert not (tmp_path / "out.glca.part").exists()


def test_a_bug_in_the_codec_is_one_pictures_failure(folder, tmp_path, micro, monkeypatch):
    original = type(micro).encode_batch

    def encode_batch(self, pictures, *arguments, **options):
        if any(picture.width == 70 for picture in pictures):
            raise KeyError("a bug")
        return original(self, pictures, *arguments, **options)

    monkeypatch.setattr(type(micro), "encode_batch", encode_batch)
    result = compress(folder, tmp_path / "out.glca", 40, model=micro, batch_size=4)
    assert [f.key for f in result.failures] == ["a/002", "b/007"]
    assert result.failures[0].reason == "KeyError: 'a bug'"


@pytest.mark.parametrize("name", ["out.glca", "b/out.parquet", "out", "a/out"])
@pytest.mark.parametrize("shard", [None, (1, 2)])
def test_output_inside_the_source_is_no_input(name, shard, folder, micro):
    for _ in range(2):
        result = compress(folder, folder / name, 40, model=micro, shard=shard)
    count = 12 if shard is None else 6
    assert (result.pictures, result.skipped, result.failures) == (0, count, [])


def test_the_source_itself_is_no_destination(folder, micro):
    with pytest.raises(ValueError, match="another folder"):
        compress(folder, f"{folder}/", 40, model=micro)
    assert not list(folder.rglob("*.glc"))


def test_nothing_at_the_source_is_an_error(tmp_path, micro):
    (tmp_path / "empty").mkdir()
    for source in (tmp_path / "empty", f"{tmp_path}/*.png"):
        with pytest.raises(ValueError, match="source"):
            compress(source, tmp_path / "out.glca", model=micro)
    with pytest.raises(ValueError, match="no such file"):
        compress(tmp_path / "missing.png", tmp_path / "out.glca", model=micro)
    assert not list(tmp_path.glob("out*"))


def test_files_in_the_archive_decode(folder, tmp_path, micro):
    compress(folder, tmp_path / "out.glca", 40, model=micro)
    with Archive(tmp_path / "out.glca") as archive:
        assert archive.identity == micro.identity
        images = micro.decode_batch([data for _, data in archive])
    assert images[2].size == (70, 50)
    with pytest.raises(GlcError):
        micro.decode(b"g")
