"""Coded pictures for training: one sample at a time, or as a stream shared by many processes.

    dataset = GlcDataset("photos.glca", target=label_of)      # (bytes, label) by index
    decode = BatchDecoder("image", device="cuda", transform=crop)

Bytes are cheap to read and pictures are not cheap to decode, so the two are apart. Three ways:

    decoded in the workers, on the CPU
        DataLoader(dataset, batch_size=32, num_workers=8, collate_fn=decode)
    read in the workers, decoded in the main process, on the GPU
        for images, labels in map(decode, DataLoader(dataset, 32, num_workers=2, collate_fn=list))
    one by one, where a loader with another collate function takes them
        GlcDataset("photos.glca", output="image", target=label_of)[7]

``output="latent"`` stops before the image decoder and gives what it would make the pixels from.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, default_collate, get_worker_info

from glc.arguments import check_realism
from glc.dataset.batching import BATCH_PIXELS
from glc.dataset.decoding import OUTPUTS, Output, decode_files
from glc.dataset.readers import Source, open_store
from glc.errors import GlcError
from glc.weights.model_cache import codec_named

__all__ = ["BatchDecoder", "GlcDataset", "GlcStream"]

Sample: TypeAlias = "tuple[Any, Any]"
"""A .glc file (or what was decoded from it) and its target."""

_READ_AHEAD = 16
"""Samples that a stream decodes together."""


class BatchDecoder:
    """Turns a list of ``(bytes, target)`` samples into a batch; picklable, loads no model before.

    Args:
        output: image, uint8 (B, 3, H, W) RGB; or latent, float32 (B, C_l, H / 16, W / 16).
        device: where the networks run and the batch ends up. auto is a GPU if there is one, but
            the CPU in a worker of a loader, where a GPU cannot be shared.
        transform: applied to each picture or latent on the CPU; should make all of one size.
        model: weights to decode with that are not installed, by path.
        limit: pixels that are decoded at once.
        realism: how pictures are shown, 0 faithful to 100 realistic; no matter to latents.

    Raises:
        ValueError: another output, or a realism that is no whole number from 0 to 100.

    Example:
        >>> from glc.dataset import BatchDecoder
        >>> pictures, targets = BatchDecoder("image", device="cpu")([(data, 3), (data, 5)])
        >>> tuple(pictures.shape), targets.tolist()
        ((2, 3, 64, 96), [3, 5])
    """

    def __init__(
        self,
        output: Output = "image",
        device: str = "auto",
        transform: Callable[[Tensor], Tensor] | None = None,
        model: str | os.PathLike[str] | None = None,
        limit: int = BATCH_PIXELS,
        realism: int | None = None,
    ) -> None:
        check_realism(realism)
        if output not in OUTPUTS:
            raise ValueError(f"output: expected one of {OUTPUTS}, found {output!r}")
        self.output, self.device, self.transform = output, device, transform
        self.model, self.limit, self.realism = model, limit, realism

    def __call__(self, samples: Sequence[Sample]) -> tuple[Tensor, Any]:
        """Decode samples to one tensor and their targets, collated as torch does it.

        Raises:
            GlcError: a sample cannot be decoded; the message names its position and target.
            ValueError: the sizes differ, and no ``transform`` makes them equal.
        """
        decoded = self.samples(samples)
        shapes = {tuple(value.shape) for value, _ in decoded}
        if len(shapes) != 1:
            raise ValueError(
                f"a batch needs one size, found {sorted(shapes)}: crop or resize in transform, "
                "or use BatchDecoder.samples"
            )
        batch = torch.stack([value for value, _ in decoded])
        return batch.to(self._place()), default_collate([target for _, target in decoded])

    def samples(self, samples: Sequence[Sample]) -> list[tuple[Tensor, Any]]:
        """Decode samples of any sizes, and leave them apart and on the CPU."""
        device = self._place()
        if self.model is not None:
            # From here on it is among those that files are decoded with.
            codec_named(self.model, device)
        files = [data for data, _ in samples]
        results = decode_files(files, self.output, device, self.limit, self.realism)
        decoded = []
        for position, (result, (_, target)) in enumerate(zip(results, samples, strict=True)):
            if isinstance(result, GlcError):
                raise type(result)(f"sample {position} of the batch ({target!r}): {result}")
            decoded.append((self.transform(result) if self.transform else result, target))
        return decoded

    def _place(self) -> str:
        if self.device != "auto":
            return self.device
        if get_worker_info() is not None:
            return "cpu"
        from glc.runtime.torch import pick_device

        return pick_device("auto")


class GlcDataset(Dataset[Sample]):
    """Samples by index, for ``DataLoader`` with any sampler.

    Args:
        source: archive, folder, Parquet, or several of them: see ``open_store``.
        output: bytes, to be decoded in batches by a ``BatchDecoder``; image or latent, decoded
            here, those together that a loader asks for together.
        target: makes the second half of a sample from the key of a file; the key itself if None.
        transform, device, model, realism: as for ``BatchDecoder``; for image and latent only.

    Example:
        >>> from glc.dataset import GlcDataset, compress
        >>> result = compress("pictures", "pictures.glca")
        >>> dataset = GlcDataset("pictures.glca", output="image", target=len, device="cpu")
        >>> picture, target = dataset[0]
        >>> tuple(picture.shape), target
        ((3, 64, 96), 3)
    """

    def __init__(
        self,
        source: Source,
        output: Output | Literal["bytes"] = "bytes",
        target: Callable[[str], Any] | None = None,
        transform: Callable[[Tensor], Tensor] | None = None,
        device: str = "auto",
        model: str | os.PathLike[str] | None = None,
        realism: int | None = None,
    ) -> None:
        self.store = open_store(source)
        self.target = target
        self._decode = _decoder(output, transform, device, model, realism)

    def __len__(self) -> int:
        return len(self.store)

    def __getitem__(self, index: int) -> Sample:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index: expected less than {len(self)}, found {index}")
        return self.__getitems__([index % len(self)])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Sample]:
        """Return several samples; loaders prefer this to asking one by one."""
        samples: list[Sample] = []
        for index in indices:
            key = self.store.key(index)
            samples.append((self.store.read(index), self.target(key) if self.target else key))
        return samples if self._decode is None else [*self._decode.samples(samples)]


class GlcStream(IterableDataset[Sample]):
    """Samples in shuffled order, shared by all ranks and all workers of their loaders.

    In each epoch every sample is given to exactly one worker of one rank, and ranks differ by one
    sample at most. Memory does not grow with the number of samples: they are shuffled within
    windows, and the windows' blocks are drawn from all over the source.

    Args:
        source, output, target: as for ``GlcDataset``.
        shuffle: in another order in each epoch, the same in all processes; False keeps the order.
        seed: of the order.
        even: leave out the last samples of an epoch, at most one per rank, so that all ranks have
            equally many; ``DistributedDataParallel`` waits for ever for a rank that has fewer.
        rank, world_size: of this process; if None, of ``torch.distributed`` if it is initialised
            when this object is made, else of the variables that ``torchrun`` sets, else 0 and 1.

    Example:
        >>> from glc.dataset import GlcStream, compress
        >>> result = compress("pictures", "pictures.glca")
        >>> sorted(target for _, target in GlcStream("pictures.glca"))
        ['one', 'two']
    """

    window: int = 1 << 16
    """Samples that are shuffled at a time."""
    block: int = 1 << 8
    """Neighbours in the source that a window takes together, so that reads are not all apart."""

    def __init__(
        self,
        source: Source,
        output: Output | Literal["bytes"] = "bytes",
        target: Callable[[str], Any] | None = None,
        *,
        shuffle: bool = True,
        seed: int = 0,
        even: bool = False,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        self.dataset = GlcDataset(source, output, target)
        self.shuffle, self.seed, self.even = shuffle, seed, even
        self.rank, self.world_size = _place_in_the_world(rank, world_size)
        # Shared memory, since workers that outlive an epoch hold a copy of this object.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of pass ``epoch``, in all workers too, before the loader is iterated."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        """Samples of this rank."""
        total = self._total()
        return total // self.world_size + (self.rank < total % self.world_size)

    def __iter__(self) -> Iterator[Sample]:
        worker = get_worker_info()
        number, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        first, step = self.rank + number * self.world_size, self.world_size * workers
        together = 1 if self.dataset._decode is None else _READ_AHEAD
        passed = 0
        for window in self._windows():
            # The window's positions within the epoch are passed .. passed + len(window) - 1.
            mine = window[(first - passed) % step :: step]
            passed += len(window)
            for start in range(0, len(mine), together):
                yield from self.dataset.__getitems__(mine[start : start + together].tolist())

    def _total(self) -> int:
        total = len(self.dataset)
        return total - total % self.world_size if self.even else total

    def _windows(self) -> Iterator[NDArray[np.int64]]:
        """Yield the positions of an epoch, in order, in pieces; the same in every process."""
        total, left = len(self.dataset), self._total()
        blocks = -(-total // self.block)
        random = np.random.default_rng([self.seed, int(self._epoch)])
        order = random.permutation(blocks) if self.shuffle else np.arange(blocks)
        per_window = max(1, self.window // self.block)
        for start in range(0, blocks, per_window):
            starts = order[start : start + per_window, None] * self.block
            positions = (starts + np.arange(self.block)).ravel()
            positions = positions[positions < total]
            if self.shuffle:
                random.shuffle(positions)
            yield positions[:left]
            left -= min(left, len(positions))


def _decoder(
    output: str,
    transform: Callable[[Tensor], Tensor] | None,
    device: str,
    model: str | os.PathLike[str] | None,
    realism: int | None,
) -> BatchDecoder | None:
    if output == "bytes":
        if transform is not None:
            raise ValueError("transform: bytes are not transformed; give it to BatchDecoder")
        return None
    return BatchDecoder(output, device, transform, model, realism=realism)  # type: ignore[arg-type]


def _place_in_the_world(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """Return rank and world size, from the arguments or from what started this process."""
    if (rank is None) != (world_size is None):
        raise ValueError("rank and world_size: expected both or neither")
    if rank is None or world_size is None:
        distributed = torch.distributed
        if distributed.is_available() and distributed.is_initialized():
            return distributed.get_rank(), distributed.get_world_size()
        rank, world_size = (int(os.environ.get(n, d)) for n, d in (("RANK", 0), ("WORLD_SIZE", 1)))
    if not 0 <= rank < world_size:
        raise ValueError(f"rank: expected 0 to {world_size - 1}, found {rank}")
    return rank, world_size
