"""Training pictures that fit into memory: decoded once and kept as uint8 on the device.

The whole set lies in one flat buffer, so that cropping and flipping are a gather there and the
device never waits for a picture. Broken pictures are skipped and counted.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from glc.training.data.crops import Sizes, finish
from glc.training.data.sources import Source, is_held_out, list_pictures


class InMemoryImages:
    """All pictures of one source; see ``crops.Pictures`` for the attributes.

    Args:
        source: folder, tar, or glob of tars.
        smallest: pictures with a shorter side are skipped.
        held_out: take the pictures kept out of training, instead of the others.
        device: where the pixels lie.
        limit: use this many pictures at most.

    Raises:
        ValueError: no usable picture.
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
        chosen = [s for s in list_pictures(source) if is_held_out(s.name) == held_out]
        with ThreadPoolExecutor() as pool:
            for pixels in pool.map(Source.decode, chosen):
                if pixels is None or min(pixels.shape[:2]) < smallest:
                    self.skipped += 1
                else:
                    kept.append(torch.from_numpy(pixels))
                if limit is not None and len(kept) >= limit:
                    pool.shutdown(cancel_futures=True)
                    break
        if not kept:
            raise ValueError(f"no usable picture of at least {smallest} pixels a side in {source}")
        self.count = len(kept)
        self.sizes = Sizes(
            torch.tensor([p.shape[0] for p in kept]), torch.tensor([p.shape[1] for p in kept])
        )
        self.smallest_side = min(int(self.sizes.height.min()), int(self.sizes.width.min()))
        lengths = torch.tensor([p.numel() for p in kept])
        self.pixels = int(lengths.sum()) // 3
        self._offset = lengths.cumsum(0) - lengths
        self.buffer = torch.empty(int(lengths.sum()), dtype=torch.uint8, device=device)
        start = 0
        for index, picture in enumerate(kept):
            self.buffer[start : start + picture.numel()] = picture.flatten().to(device)
            start += picture.numel()
            # Frees it: a large set must not lie in memory twice.
            kept[index] = torch.empty(0)

    def crops(
        self, batch: int, crop: int, rescale_max: float, generator: torch.Generator
    ) -> Tensor:
        """Draw random crops, as ``crops.Pictures`` has it."""
        windows = self.sizes.draw(batch, crop, rescale_max, generator)
        picture = windows.picture
        columns_of_table = (
            self._offset[picture], self.sizes.width[picture], windows.top, windows.left,
            windows.flip.long(),
        )  # fmt: skip
        device = self.buffer.device
        # One small transfer that nobody waits for; everything else happens on the device.
        table = torch.stack(columns_of_table).to(device, non_blocking=True)
        offset, width, top, left, flip = table[:, :, None]
        span = torch.arange(windows.side, device=device)
        rows = top + span
        columns = left + torch.where(flip > 0, span.flip(0), span)
        index = (rows[:, :, None] * width[:, :, None] + columns[:, None, :]) * 3
        index = index + offset[:, :, None]
        pixels = torch.stack([self.buffer[index + channel] for channel in range(3)], dim=1)
        return finish(pixels, crop)
