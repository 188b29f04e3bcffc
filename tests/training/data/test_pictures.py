"""Pictures from folders and tars, in memory and decoded on demand: the same crops."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from glc.training.data.in_memory import InMemoryImages
from glc.training.data.sources import is_held_out, list_pictures
from glc.training.data.streaming import StreamingImages

KINDS = [InMemoryImages, StreamingImages]


def seeded(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tar_of(folder: Path, path: Path) -> Path:
    with tarfile.open(path, "w") as archive:
        for entry in sorted(folder.iterdir()):
            archive.add(entry, arcname=f"set/{entry.name}")
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_a_tar_and_a_glob_hold_the_same(
    folder: Path, tmp_path: Path, kind: type[InMemoryImages]
) -> None:
    tar_of(folder, tmp_path / "shard-0.tar")
    sources = [str(folder), str(tmp_path), str(tmp_path / "shard-*.tar")]
    stores = [kind(source, 64) for source in sources]
    batches = [store.crops(4, 64, 2.0, seeded()) for store in stores]
    assert all(torch.equal(batch, batches[0]) for batch in batches)
    assert {(store.count, store.skipped) for store in stores} == {
        (stores[0].count, stores[0].skipped)
    }


@pytest.mark.parametrize("kind", KINDS)
def test_broken_and_small_pictures_are_counted(folder: Path, kind: type[InMemoryImages]) -> None:
    names = [s.name for s in list_pictures(str(folder))]
    kept = [n for n in names if not is_held_out(n)]
    store = kind(str(folder), 90)
    # Pictures 0 to 4 have a side below 90, and one is broken.
    small = [n for n in kept if n.startswith("photo") and int(n[5:].split("-")[0]) < 5]
    assert store.skipped == len(small) + ("broken-0.png" in kept)
    assert store.count == len(kept) - store.skipped
    assert store.smallest_side == 90
    assert kind(str(folder), 64, limit=3).count == 3
    with pytest.raises(ValueError, match="no usable picture of at least 4000"):
        kind(str(folder), 4000)
    with pytest.raises(ValueError, match="neither a folder nor"):
        kind(str(folder / "absent"), 64)


def test_a_compressed_tar_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "set.tar"
    with tarfile.open(path, "w:gz"):
        pass
    with pytest.raises(ValueError, match="not an uncompressed tar"):
        list_pictures(str(path))


@pytest.mark.parametrize("kind", KINDS)
def test_crops_are_windows_of_the_pictures(tmp_path: Path, kind: type[InMemoryImages]) -> None:
    # Every pixel says where it is, so that a window can be checked against its corner.
    rows, columns = np.mgrid[0:100, 0:120].astype(np.uint8)
    Image.fromarray(np.stack([rows, columns, rows * 0], axis=2)).save(tmp_path / "a-0.png")
    batch = kind(str(tmp_path), 64).crops(16, 64, 1.0, seeded())
    assert batch.shape == (16, 3, 64, 64)
    assert batch.dtype == torch.float32
    pixels = ((batch + 1) * 127.5).round().int()
    span = torch.arange(64, dtype=torch.int32)
    flips = 0
    for crop in pixels:
        top, first, last = crop[0, 0, 0], crop[1, 0, 0], crop[1, 0, -1]
        assert torch.equal(crop[0], (top + span)[:, None].expand(64, 64))
        left = min(first, last)
        expected = left + (span if first < last else span.flip(0))
        assert torch.equal(crop[1], expected[None].expand(64, 64))
        assert 0 <= top <= 36
        assert 0 <= left <= 56
        flips += int(first > last)
    assert 0 < flips < 16


def test_streaming_draws_what_memory_draws(folder: Path) -> None:
    stored, streamed = InMemoryImages(str(folder), 64), StreamingImages(str(folder), 64)
    one, two = seeded(), seeded()
    for crop in (64, 64, 64, 32, 64, 64):
        expected = stored.crops(3, crop, 2.0, one)
        assert torch.equal(streamed.crops(3, crop, 2.0, two), expected)
    assert torch.equal(one.get_state(), two.get_state())


def test_a_picture_that_breaks_later_is_replaced(tmp_path: Path) -> None:
    data = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    Image.fromarray(noise).save(data, "PNG")
    (tmp_path / "cut-0.png").write_bytes(data.getvalue()[:2000])
    Image.fromarray(noise).save(tmp_path / "whole-0.png")
    store = StreamingImages(str(tmp_path), 64)
    assert store.count == 2
    assert store.crops(16, 64, 1.0, seeded()).shape[0] == 16
    assert store.skipped > 0


def test_upright_whatever_the_camera_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (100, 70)).save(tmp_path / "turned-0.jpg", exif=exif)
    for kind in KINDS:
        sizes = kind(str(tmp_path), 64).sizes
        assert (int(sizes.height), int(sizes.width)) == (100, 70)


def test_pieces_of_one_photograph_stay_together() -> None:
    for name in ("lake", "tower"):
        assert len({is_held_out(f"{name}-{piece}.png", 0.5) for piece in range(9)}) == 1
    share = sum(is_held_out(f"{i}-0.png") for i in range(5000)) / 5000
    assert 0.01 < share < 0.03


def test_names_that_are_no_utf8_have_their_place_too() -> None:
    name = b"b\xe9-0.png".decode("utf-8", "surrogateescape")
    assert is_held_out(name, 1.0)
    assert is_held_out(name, 0.5) == is_held_out(name.replace("-0", "-1"), 0.5)
