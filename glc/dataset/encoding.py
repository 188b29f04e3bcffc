"""Codes many pictures at once, in threads, and gives the results back in order.

Pictures are read and decoded by one group of threads and coded by another, so that disk, networks
and entropy coder overlap. What is coded together depends on the order of the pictures alone, never
on timing: so the bytes do not, either.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from glc import image
from glc.archive.entry import ANY_SIZE, version_of
from glc.bitstream import unpack
from glc.config import IMAGE_STRIDE
from glc.dataset.inputs import Item
from glc.dataset.model_choice import ModelChoice
from glc.errors import BitstreamError, WeightsError

__all__ = ["Coded", "Encoder"]

_WINDOW_BATCHES = 4
"""A window of so many batches is sorted into batches of one size."""
_LOOK_AHEAD = 2
"""So many pictures, or windows of batches, wait for every worker."""


class Coded(NamedTuple):
    """What became of one picture."""

    item: Item
    data: bytes | None
    """The .glc file; None if it failed."""
    error: Exception | None
    bytes_in: int
    """Bytes of the file that was read, or of the pixels of a picture in memory."""
    notices: tuple[str, ...] = ()
    """What reading the picture lost."""


class _Loaded(NamedTuple):
    """A picture in memory, or a .glc file, or what went wrong."""

    content: image.Picture | bytes | None
    error: Exception | None
    bytes_in: int


@dataclass(frozen=True)
class Encoder:
    """Codes the pictures of a source.

    Attributes:
        model: loaded when the first picture needs it.
        quality: 0 to 100.
        keep_metadata: store EXIF and XMP.
        batch_size: how many pictures of one padded size run through the networks together. 1 gives
            the bytes of ``Codec.encode``; a larger one may round differently, on a GPU above all.
        workers: threads that read, and threads that code.
        version: of the format, for the files that are made.
        effort: as in ``Codec.encode``.
    """

    model: ModelChoice
    quality: int
    keep_metadata: bool
    batch_size: int
    workers: int
    version: int
    effort: int = 0

    def run(self, items: Iterable[Item]) -> Iterator[Coded]:
        """Yield the result of every item, in order; nothing but the items' iterator raises."""
        per_window = 1 if self.batch_size == 1 else self.batch_size * _WINDOW_BATCHES
        ahead = _LOOK_AHEAD * self.workers if per_window == 1 else _LOOK_AHEAD
        remaining = iter(items)
        waiting: deque[Future[list[Coded]]] = deque()
        readers = ThreadPoolExecutor(self.workers, "glc-read")
        coders = ThreadPoolExecutor(self.workers, "glc-code")
        try:
            while True:
                while len(waiting) < ahead + 1:
                    window = list(islice(remaining, per_window))
                    if not window:
                        break
                    loading = [readers.submit(_load, item) for item in window]
                    waiting.append(coders.submit(self._code, window, loading))
                if not waiting:
                    return
                yield from waiting.popleft().result()
        finally:
            for pool in (readers, coders):
                pool.shutdown(wait=True, cancel_futures=True)

    def _code(self, window: list[Item], loading: list[Future[_Loaded]]) -> list[Coded]:
        loaded = [future.result() for future in loading]
        results: dict[int, bytes | Exception] = {}
        buckets: dict[tuple[int, int], list[int]] = {}
        for place, (content, error, _) in enumerate(loaded):
            if isinstance(content, image.Picture):
                padded = -(-content.height // IMAGE_STRIDE), -(-content.width // IMAGE_STRIDE)
                buckets.setdefault(padded, []).append(place)
            elif content is not None:
                results[place] = self._accept(content)
            elif error is not None:
                results[place] = error
        for places in buckets.values():
            for start in range(0, len(places), self.batch_size):
                self._code_batch(loaded, places[start : start + self.batch_size], results)
        return [
            self._coded(item, results[place], loaded[place]) for place, item in enumerate(window)
        ]

    def _coded(self, item: Item, result: bytes | Exception, loaded: _Loaded) -> Coded:
        if not isinstance(result, bytes):
            return Coded(item, None, result, loaded.bytes_in)
        notices: tuple[str, ...] = ()
        if isinstance(loaded.content, image.Picture):
            lost = loaded.content.metadata_notices if self.keep_metadata else ()
            notices = (*loaded.content.notices, *lost)
        return Coded(item, result, None, loaded.bytes_in, notices)

    def _code_batch(
        self, loaded: list[_Loaded], places: list[int], results: dict[int, bytes | Exception]
    ) -> None:
        contents = (loaded[place].content for place in places)
        pictures = [picture for picture in contents if isinstance(picture, image.Picture)]
        try:
            codec = self.model.codec
            how = self.quality, self.keep_metadata, self.version
            coded = codec.encode_batch(pictures, *how, effort=self.effort)
            results.update(zip(places, coded, strict=True))
        except Exception as error:
            if len(places) == 1:
                results[places[0]] = error
                return
            # One picture must not take the others of its batch with it.
            for place in places:
                self._code_batch(loaded, [place], results)

    def _accept(self, data: bytes) -> bytes | Exception:
        """Return a .glc file as it is, if it is one of this model."""
        try:
            model = unpack(data, ANY_SIZE).model
        except BitstreamError as error:
            return error
        if not self.model.identity.startswith(model):
            wanted = self.model.identity[: len(model)].hex()
            return WeightsError(f"the file was made with model {model.hex()}, not with {wanted}")
        return data


def _load(item: Item) -> _Loaded:
    size = 0
    try:
        content: Any = item.read()
        if isinstance(content, (bytes, bytearray, memoryview)):
            content = bytes(content)
            size = len(content)
            if version_of(content) is not None:
                return _Loaded(content, None, size)
        if isinstance(content, np.ndarray):
            content = image.from_array(content)
        elif not isinstance(content, image.Picture):
            content = image.load(content, item.key)
        return _Loaded(content, None, size or content.rgb.nbytes)
    except Exception as error:
        return _Loaded(None, error, size)
