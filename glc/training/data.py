"""Training pictures: a folder or WebDataset tars, decoded once and kept as uint8.

The whole set lies in one flat buffer on the training device, so that cropping, flipping and
rescaling are a gather there. Broken pictures are skipped and counted.
"""

from __future__ import annotations

import glob
import hashlib
import io
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}


def iterate_pictures(source: str) -> Iterator[tuple[str, bytes]]:
    """Yield (name, encoded bytes) of every picture of a folder, a tar, or a glob of tars."""
    paths = [Path(source)] if Path(source).exists() else [Path(p) for p in sorted(glob.glob(source))]
    if not paths:
        raise ValueError(f"no pictures: {source} is neither a folder nor matches any file")
    for path in paths:
        if path.is_dir():
            for entry in sorted(path.rglob("*")):
                if entry.suffix.lower() == ".tar":
                    yield from _iterate_tar(entry)
                elif entry.suffix.lower() in _SUFFIXES:
                    yield entry.name, entry.read_bytes()
        else:
            yield from _iterate_tar(path)


def _iterate_tar(path: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile() and Path(member.name).suffix.lower() in _SUFFIXES:
                stream = archive.extractfile(member)
                if stream is not None:
                    yield member.name, stream.read()


def is_held_out(name: str, share: float = 0.02) -> bool:
    """Say whether a picture is kept out of training, by a hash of its photograph's name.

    Pieces of one photograph are named ``<photograph>-<piece>.<suffix>`` and stay together.
    """
    photograph = Path(name).stem.rsplit("-", 1)[0]
    digest = hashlib.sha256(photograph.encode()).digest()
    return int.from_bytes(digest[:4], "big") < share * 2**32


class PictureStore:
    """All pictures of one source as one flat uint8 buffer on one device.

    Attributes:
        skipped: pictures that could not be read or are smaller than ``smallest``.
        count: pictures kept.
        pixels: their pixels in all.
    """

    def __init__(
        self,
        source: str,
        smallest: int,
        held_out: bool = False,
        device: torch.device | str = "cpu",
        limit: int | None = None,
    ) -> None:
        self.skipped = 0
        kept: list[Tensor] = []
        chosen = (item for item in iterate_pictures(source) if is_held_out(item[0]) == held_out)
        with ThreadPoolExecutor() as pool:
            for pixels in pool.map(lambda item: _decode(item[1]), chosen):
                if limit is not None and len(kept) >= limit:
                    break
                if pixels is None or min(pixels.shape[:2]) < smallest:
                    self.skipped += 1
                else:
                    kept.append(torch.from_numpy(pixels))
        if not kept:
            raise ValueError(f"no usable picture of at least {smallest} pixels a side in {source}")
        self.count = len(kept)
        self.height = torch.tensor([p.shape[0] for p in kept], device=device)
        self.width = torch.tensor([p.shape[1] for p in kept], device=device)
        sizes = torch.tensor([p.numel() for p in kept])
        self.pixels = int(sizes.sum()) // 3
        self.offset = (sizes.cumsum(0) - sizes).to(device)
        self.buffer = torch.empty(int(sizes.sum()), dtype=torch.uint8, device=device)
        start = 0
        for index, picture in enumerate(kept):
            self.buffer[start : start + picture.numel()] = picture.flatten().to(device)
            start += picture.numel()
            kept[index] = torch.empty(0)
        self._area = (self.height * self.width).double()

    def crops(
        self, batch: int, crop: int, rescale_max: float, generator: torch.Generator
    ) -> Tensor:
        """Draw random crops, half of the batches reduced from larger ones, half of them mirrored.

        Args:
            batch: number of crops; pictures are drawn in proportion to their area.
            crop: side in pixels.
            rescale_max: largest reduction.
            generator: CPU generator; the only source of randomness.

        Returns:
            (batch, 3, crop, crop) float32 in [-1, 1] on the store's device.
        """
        device = self.buffer.device
        draws = torch.rand(batch, 4, generator=generator).to(device)
        chosen = torch.multinomial(
            self._area.cpu(), batch, replacement=True, generator=generator
        ).to(device)
        scale = 1.0
        if torch.rand(1, generator=generator).item() < 0.5:
            scale = 1.0 + (rescale_max - 1.0) * torch.rand(1, generator=generator).item()
        smallest = int(torch.minimum(self.height[chosen], self.width[chosen]).min())
        side = min(round(crop * scale), smallest)
        height, width = self.height[chosen], self.width[chosen]
        top = torch.minimum((draws[:, 0] * (height - side + 1)).long(), height - side)
        left = torch.minimum((draws[:, 1] * (width - side + 1)).long(), width - side)
        span = torch.arange(side, device=device)
        rows = top[:, None] + span
        flip = draws[:, 2] < 0.5
        columns = left[:, None] + torch.where(flip[:, None], span.flip(0), span)
        index = (rows[:, :, None] * width[:, None, None] + columns[:, None, :]) * 3
        index = self.offset[chosen, None, None] + index
        picked = torch.stack([self.buffer[index + channel] for channel in range(3)], dim=1)
        crops = picked.float() / 127.5 - 1.0
        if side != crop:
            crops = functional.interpolate(
                crops, size=(crop, crop), mode="bilinear", antialias=True, align_corners=False
            )
        return crops.contiguous(memory_format=torch.channels_last)


def _decode(data: bytes) -> np.ndarray | None:
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.array(image.convert("RGB"))
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
