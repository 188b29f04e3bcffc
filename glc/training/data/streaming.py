"""Training pictures that do not fit into memory: decoded on demand, some batches ahead.

What is drawn depends on the generator alone, exactly as in ``InMemoryImages``; decoding ahead is a
cache, so that a resumed run sees what an uninterrupted one would have seen.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from glc.training.data.crops import Sizes, Windows, finish
from glc.training.data.sources import Source, is_held_out, list_pictures

_Cut = Future[NDArray[np.uint8] | None]


class StreamingImages:
    """Pictures of one source, read when needed; see ``crops.Pictures`` for the attributes.

    Arguments are those of ``InMemoryImages``; ``ahead`` batches are decoded in advance. Only the
    headers are read at first; a picture that proves broken later is counted, and another crop of
    its batch takes its place.

    Raises:
        ValueError: no picture of the source can be used.
    """

    def __init__(
        self,
        source: str,
        smallest: int,
        held_out: bool = False,
        device: torch.device | str = "cpu",
        limit: int | None = None,
        ahead: int = 4,
    ) -> None:
        self.device, self.ahead, self.skipped = torch.device(device), ahead, 0
        self._pool = ThreadPoolExecutor()
        self._sources: list[Source] = []
        heights, widths = [], []
        chosen = [s for s in list_pictures(source) if is_held_out(s.name) == held_out]
        for candidate, size in zip(chosen, self._pool.map(Source.size, chosen), strict=True):
            if limit is not None and len(self._sources) >= limit:
                break
            if size is None or min(size) < smallest:
                self.skipped += 1
            else:
                self._sources.append(candidate)
                heights.append(size[0])
                widths.append(size[1])
        if not self._sources:
            raise ValueError(f"no usable picture of at least {smallest} pixels a side in {source}")
        self.count = len(self._sources)
        self.sizes = Sizes(torch.tensor(heights), torch.tensor(widths))
        self.pixels = int((self.sizes.height * self.sizes.width).sum())
        self.smallest_side = min(*heights, *widths)
        self._pending: deque[tuple[Windows, list[_Cut]]] = deque()
        self._future_draws = torch.Generator()

    def crops(
        self, batch: int, crop: int, rescale_max: float, generator: torch.Generator
    ) -> Tensor:
        """Draw random crops, as ``crops.Pictures`` has it.

        Raises:
            ValueError: not one picture of a batch could be decoded.
        """
        windows = self.sizes.draw(batch, crop, rescale_max, generator)
        if not self._pending or not self._pending[0][0].same_as(windows):
            # The first call, or the caller asks for something else than was foreseen.
            for _, cuts in self._pending:
                for cut in cuts:
                    cut.cancel()
            self._pending.clear()
            self._future_draws.set_state(generator.get_state())
            self._pending.append((windows, self._start(windows)))
        while len(self._pending) <= self.ahead:
            coming = self.sizes.draw(batch, crop, rescale_max, self._future_draws)
            self._pending.append((coming, self._start(coming)))
        _, cuts = self._pending.popleft()
        found = [cut.result() for cut in cuts]
        sound = [pixels for pixels in found if pixels is not None]
        self.skipped += len(found) - len(sound)
        if not sound:
            raise ValueError("none of the pictures of a whole batch could be decoded")
        filled = sound + [sound[i % len(sound)] for i in range(len(found) - len(sound))]
        stacked = torch.from_numpy(np.stack(filled)).to(self.device, non_blocking=True)
        return finish(stacked.permute(0, 3, 1, 2), crop)

    def _start(self, windows: Windows) -> list[_Cut]:
        """Begin to decode the windows of a batch."""
        rows = zip(
            windows.picture.tolist(), windows.top.tolist(), windows.left.tolist(),
            windows.flip.tolist(), strict=True,
        )  # fmt: skip
        return [self._pool.submit(self._cut, *row, windows.side) for row in rows]

    def _cut(
        self, picture: int, top: int, left: int, flip: bool, side: int
    ) -> NDArray[np.uint8] | None:
        pixels = self._sources[picture].decode()
        if pixels is None:
            return None
        window = pixels[top : top + side, left : left + side]
        if window.shape[:2] != (side, side):
            return None
        return np.ascontiguousarray(window[:, ::-1] if flip else window)
