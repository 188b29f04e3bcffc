"""Samples for training: the right ones, once each, whoever shares them and wherever they decode."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from glc.dataset import Archive, ArchiveWriter, BatchDecoder, GlcDataset, GlcStream
from glc.dataset.batching import split
from glc.dataset.decoding import decode_files
from glc.dataset.readers import FolderStore, JoinedStore, ParquetStore, open_store
from glc.errors import CorruptError, GlcError, WeightsError
from glc.weights.model_cache import codec_for_files, codec_named

COUNT = 11


class Coded(NamedTuple):
    files: list[bytes]
    archive: Path
    folder: Path
    model: Path


@pytest.fixture(scope="module")
def coded(micro, micro_path, make_picture, tmp_path_factory) -> Coded:
    """Pictures of one size and two qualities, in an archive and in a folder."""
    root = tmp_path_factory.mktemp("coded")
    files = [micro.encode(make_picture(40, 70, n), 30 + 40 * (n % 2)) for n in range(COUNT)]
    with ArchiveWriter(root / "all.glca", micro.identity) as archive:
        for number, data in enumerate(files):
            archive.add(f"class{number % 3}/{number:02}", data)
    for number, data in enumerate(files):
        path = root / "folder" / f"class{number % 3}" / f"{number:02}.glc"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    codec_named(micro_path, "cpu")
    return Coded(files, root / "all.glca", root / "folder", micro_path)


def number_of(key: str) -> int:
    return int(key.rpartition("/")[2])


def half(picture: torch.Tensor) -> torch.Tensor:
    return picture[..., ::2, ::2]


class Numbered:
    """A store whose files say their own number."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def key(self, index: int) -> str:
        return str(index)

    def read(self, index: int) -> bytes:
        return index.to_bytes(4, "big")


class TestStores:
    def test_all_kinds_give_the_same_files(self, coded):
        archive, folder = open_store(coded.archive), open_store(str(coded.folder))
        assert isinstance(archive, Archive)
        assert isinstance(folder, FolderStore)
        in_archive = {archive.key(n): archive.read(n) for n in range(len(archive))}
        in_folder = {folder.key(n): folder.read(n) for n in range(len(folder))}
        assert in_archive == in_folder
        assert list(in_archive.values()) == coded.files

    def test_several_are_joined(self, coded):
        joined = open_store([coded.archive, coded.folder, coded.archive])
        assert isinstance(joined, JoinedStore)
        assert len(joined) == 3 * COUNT
        assert joined.read(2 * COUNT + 1) == coded.files[1]
        assert joined.key(COUNT) == "class0/00"
        with pytest.raises(IndexError, match=f"0 to {3 * COUNT - 1}"):
            joined.read(3 * COUNT)

    def test_parquet(self, coded, tmp_path):
        pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
        pq = pytest.importorskip("pyarrow.parquet")
        table = pa.table({"glc": [*coded.files, b""], "key": [*map(str, range(COUNT)), "failed"]})
        pq.write_table(table, tmp_path / "part.parquet")
        for path in (tmp_path, tmp_path / "part.parquet"):
            store = pickle.loads(pickle.dumps(open_store(path)))
            assert isinstance(store, ParquetStore)
            assert [store.read(n) for n in range(len(store))] == coded.files
            assert store.key(3) == "3"
        with pytest.raises(ValueError, match="expected a column 'other'"):
            len(ParquetStore(tmp_path / "part.parquet", "other"))

    def test_wrong_sources(self, tmp_path):
        (tmp_path / "a.png").write_bytes(b"")
        with pytest.raises(ValueError, match=r"a folder, or a file \.glca or \.parquet"):
            open_store(tmp_path / "a.png")
        with pytest.raises(FileNotFoundError, match=r"neither \.glc nor"):
            open_store(tmp_path)
        with pytest.raises(FileNotFoundError, match="no such file"):
            open_store(tmp_path / "gone.glca")
        with pytest.raises(ValueError, match="at least one"):
            open_store([])


class TestDecoding:
    def test_each_result_belongs_to_its_file(self, coded, micro, make_picture):
        """Sizes and qualities in disorder, and a limit that makes many batches."""
        files = [*coded.files, micro.encode(make_picture(90, 20), 30), *coded.files[:2]]
        for limit in (1, 64 * 128 * 2, 1 << 22):
            for data, result in zip(files, decode_files(files, "image", "cpu", limit), strict=True):
                expected = np.asarray(micro.decode(data)).astype(int)
                assert np.abs(result.permute(1, 2, 0).numpy() - expected).max() <= 1

    def test_latents_are_what_the_image_decoder_takes(self, coded, micro):
        (latent,) = decode_files(coded.files[:1], "latent", "cpu")
        assert latent.dtype == torch.float32
        assert latent.shape == (micro.networks.model.config.latent_channels, 3, 5)
        # Near the border, the padding of the grid counts too.
        pixels = np.asarray(micro.from_latents(latent.permute(1, 2, 0).numpy())).astype(int)
        decoded = np.asarray(micro.decode(coded.files[0])).astype(int)
        assert np.abs(pixels[:8, :8] - decoded[:8, :8]).max() <= 1

    def test_an_error_stays_with_its_file(self, coded):
        damaged = bytearray(coded.files[0])
        damaged[-1] ^= 1
        unknown = bytearray(coded.files[0])
        unknown[2:5] = b"abc"
        files = [coded.files[0], bytes(damaged), b"", coded.files[2], bytes(unknown)]
        results = decode_files(files, "image", "cpu")
        assert [type(result) for result in results if isinstance(result, GlcError)][0::2] == [
            CorruptError,
            WeightsError,
        ]
        assert torch.equal(results[0], decode_files(files[:1], "image", "cpu")[0])
        assert results[3].shape == (3, 40, 70)

    @given(
        st.lists(st.sampled_from([1, 3, 10, 400]), max_size=30),
        st.integers(min_value=1, max_value=50),
    )
    def test_batches_hold_everything_once_and_not_too_much(self, sizes, limit):
        groups = list(split(sizes, sizes, limit))
        assert sorted(position for group in groups for position in group) == [*range(len(sizes))]
        for group in groups:
            assert len({sizes[position] for position in group}) == 1
            assert len(group) == 1 or sum(sizes[position] for position in group) <= limit

    def test_a_model_is_loaded_once(self, coded, micro):
        assert codec_named(coded.model, "cpu") is codec_named(coded.model, "cpu")
        assert codec_for_files(micro.identity[:3], "cpu") is codec_named(coded.model, "cpu")
        with pytest.raises(ValueError, match="at least 3 bytes"):
            codec_for_files(b"ab")

    def test_weights_that_were_replaced_are_loaded_again(self, tmp_path, make_model, export_model):
        path = tmp_path / "mine.safetensors"
        first = export_model(path, make_model(2), "mine")
        assert codec_named(path, "cpu").identity == first
        second = export_model(path, make_model(3), "mine")
        os.utime(path, ns=(1, 1))
        assert codec_named(path, "cpu").identity == second != first


class TestGlcDataset:
    def test_bytes_and_keys(self, coded):
        dataset = GlcDataset(coded.archive)
        assert len(dataset) == COUNT
        assert dataset[4] == (coded.files[4], "class1/04")
        assert dataset[-1] == dataset[COUNT - 1]
        with pytest.raises(IndexError):
            dataset[COUNT]

    def test_pictures_and_targets(self, coded, micro):
        dataset = GlcDataset(coded.archive, "image", number_of, half, "cpu")
        picture, target = dataset[5]
        assert target == 5
        assert picture.shape == (3, 20, 35)
        assert picture.dtype == torch.uint8
        expected = np.asarray(micro.decode(coded.files[5]))[::2, ::2].transpose(2, 0, 1)
        np.testing.assert_array_equal(picture.numpy(), expected)

    def test_grey_and_transparent_pictures_become_rgb(self, micro, make_picture):
        grey = micro.encode(make_picture(20, 20, channels=1), 50)
        clear = micro.encode(np.dstack([make_picture(20, 20), make_picture(20, 20, 1, 1)]), 50)
        assert [tuple(r.shape) for r in decode_files([grey, clear], "image", "cpu")] == [
            (3, 20, 20)
        ] * 2

    def test_wrong_calls(self, coded):
        with pytest.raises(ValueError, match="output"):
            GlcDataset(coded.archive, "pixels")
        with pytest.raises(ValueError, match="transform"):
            GlcDataset(coded.archive, "bytes", transform=half)

    @pytest.mark.parametrize("where", ["worker", "main"])
    @pytest.mark.parametrize("output", ["image", "latent"])
    def test_batches_decode_in_the_worker_or_in_the_main_process(self, coded, where, output):
        decode = BatchDecoder(output, "cpu", half, coded.model)
        dataset = GlcDataset(coded.archive, target=number_of)
        options = {"batch_size": 4, "num_workers": 1, "multiprocessing_context": "fork"}
        if where == "worker":
            batches = iter(DataLoader(dataset, collate_fn=decode, **options))
        else:
            batches = map(decode, DataLoader(dataset, collate_fn=list, **options))
        batches = list(batches)
        assert [len(batch) for batch, _ in batches] == [4, 4, 3]
        assert torch.cat([targets for _, targets in batches]).tolist() == list(range(COUNT))
        expected = decode_files(coded.files[:4], output, "cpu")
        assert torch.equal(batches[0][0], torch.stack([half(value) for value in expected]))

    def test_a_loader_without_collate_function(self, coded):
        dataset = GlcDataset(coded.folder, "latent", number_of, device="cpu")
        (latents, targets), *_ = DataLoader(dataset, batch_size=COUNT)
        assert latents.shape == (COUNT, 16, 3, 5)
        assert sorted(targets.tolist()) == list(range(COUNT))

    def test_sizes_that_differ_are_explained(self, coded, micro, make_picture):
        samples = [(coded.files[0], 0), (micro.encode(make_picture(8, 8), 30), 1)]
        with pytest.raises(ValueError, match="crop or resize in transform"):
            BatchDecoder(device="cpu")(samples)
        assert len(BatchDecoder(device="cpu").samples(samples)) == 2

    def test_a_bad_sample_is_named(self, coded):
        damaged = coded.files[0][:-1] + bytes([coded.files[0][-1] ^ 1])
        with pytest.raises(CorruptError, match=r"sample 1 of the batch \('bad'\): checksum"):
            BatchDecoder(device="cpu")([(coded.files[0], "good"), (damaged, "bad")])


def numbers(stream: GlcStream) -> list[int]:
    return [int.from_bytes(data, "big") for data, _ in stream]


class TestGlcStream:
    @settings(max_examples=40)
    @given(
        st.integers(min_value=0, max_value=300),
        st.integers(min_value=1, max_value=5),
        st.integers(min_value=1, max_value=4),
        st.booleans(),
        st.booleans(),
    )
    def test_every_sample_once_for_all_ranks_and_workers(
        self, count, ranks, workers, shuffle, even
    ):
        whole: list[int] = []
        for rank in range(ranks):
            stream = GlcStream(
                Numbered(count), shuffle=shuffle, even=even, rank=rank, world_size=ranks
            )
            stream.window, stream.block = 64, 4
            mine = [
                number for worker in range(workers) for number in of_worker(stream, worker, workers)
            ]
            assert len(mine) == len(stream)
            whole += mine
        left_out = count % ranks if even else 0
        assert len(whole) == len(set(whole)) == count - left_out
        assert set(whole) <= set(range(count))

    def test_order(self):
        stream = GlcStream(Numbered(3000), seed=5)
        stream.window, stream.block = 512, 16
        first, again = numbers(stream), numbers(stream)
        stream.set_epoch(1)
        second = numbers(stream)
        assert first == again
        assert sorted(first) == sorted(second) == list(range(3000))
        agreeing = np.mean(np.array(first) == np.array(second))
        assert agreeing < 0.01
        # Neighbours come from all over: the mean distance of random pairs is a third of the range.
        assert np.abs(np.diff(first)).mean() > 700
        assert numbers(GlcStream(Numbered(9), shuffle=False)) == list(range(9))

    @pytest.mark.system
    def test_workers_that_outlive_an_epoch_see_the_next_one(self):
        stream = GlcStream(Numbered(40), target=int)
        loader = DataLoader(
            stream,
            5,
            num_workers=2,
            collate_fn=list,
            persistent_workers=True,
            multiprocessing_context="fork",
        )
        epochs = []
        for epoch in range(2):
            stream.set_epoch(epoch)
            epochs.append([target for batch in loader for _, target in batch])
        assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(40))
        assert epochs[0] != epochs[1]

    def test_pictures(self, coded):
        stream = GlcStream(coded.archive, "image", number_of, shuffle=False, rank=1, world_size=2)
        decoded = list(stream)
        assert [target for _, target in decoded] == list(range(1, COUNT, 2))
        assert torch.equal(decoded[0][0], decode_files(coded.files[1:2], "image", "cpu")[0])

    def test_rank_of_the_environment(self, monkeypatch):
        monkeypatch.setenv("RANK", "2")
        monkeypatch.setenv("WORLD_SIZE", "3")
        assert numbers(GlcStream(Numbered(7), shuffle=False)) == [2, 5]
        with pytest.raises(ValueError, match="both or neither"):
            GlcStream(Numbered(7), rank=1)
        with pytest.raises(ValueError, match="rank: expected 0 to 1, found 2"):
            GlcStream(Numbered(7), rank=2, world_size=2)

    @pytest.mark.system
    def test_real_processes_with_real_workers(self, coded, tmp_path):
        """Two processes of torch.distributed, two workers each, without RANK in the environment."""
        code = """
import sys
import torch.distributed as dist
from torch.utils.data import DataLoader
from glc.dataset import GlcStream
archive, store, rank = sys.argv[1], sys.argv[2], int(sys.argv[3])
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
stream = GlcStream(archive)
loader = DataLoader(stream, 2, num_workers=2, collate_fn=list, multiprocessing_context="fork")
print(*sorted(key for batch in loader for _, key in batch))
dist.barrier()
"""
        environment = {
            name: v for name, v in os.environ.items() if name not in ("RANK", "WORLD_SIZE")
        }
        processes = [
            subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    code,
                    str(coded.archive),
                    str(tmp_path / "store"),
                    str(rank),
                ],
                cwd=Path(__file__).parents[2],
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
            )
            for rank in range(2)
        ]
        shares = [process.communicate(timeout=120)[0].split() for process in processes]
        assert [process.returncode for process in processes] == [0, 0]
        assert sorted(map(len, shares)) == [COUNT // 2, COUNT - COUNT // 2]
        with Archive(coded.archive) as archive:
            assert sorted(shares[0] + shares[1]) == sorted(archive.keys)


def of_worker(stream: GlcStream, worker: int, workers: int) -> list[int]:
    """What a stream gives inside a worker process of a loader."""
    from unittest import mock

    info = mock.Mock(id=worker, num_workers=workers)
    with mock.patch("glc.dataset.torch.get_worker_info", return_value=info):
        return numbers(stream)
