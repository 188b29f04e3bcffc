"""Pictures to files: several at one quality, or one with as many bytes as are allowed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from glc.bitstream import FORMAT_VERSION
from glc.coding import assembly
from glc.coding.batch_coder import BatchCoder
from glc.coding.batches import pictures_alike
from glc.image import Picture
from glc.runtime.protocol import Floats
from glc.tiling.geometry import Tiling

if TYPE_CHECKING:
    from glc.effort.search import Search

__all__ = ["encode", "encode_to_size"]


def encode(
    coder: BatchCoder,
    pictures: Sequence[Picture],
    quality: int,
    keep_metadata: bool,
    version: int,
    tiling: Tiling,
    search: Search,
) -> list[bytes]:
    """Return the files of pictures of any sizes, in order; arguments as ``Codec.encode_batch``."""
    files: list[bytes] = [b""] * len(pictures)
    done = 0
    for members in pictures_alike(pictures):
        batch = [pictures[index] for index in members]
        own = tiling.share(done, len(members), len(pictures))
        share = 0.05 if search.level.steps else 0.5
        latents = coder.analyse(batch, tiling=own.within(0.0, share))
        coded = coder.code(batch, latents, quality, version, own.within(share, 1.0), search)
        for index, (payload, symbols) in zip(members, coded, strict=True):
            how = quality, keep_metadata, coder.identity
            files[index] = assembly.to_file(pictures[index], *how, payload, symbols, version)
        done += len(members)
    return files


def encode_to_size(
    coder_for: Callable[[int], BatchCoder],
    starts: Sequence[int],
    picture: Picture,
    max_bytes: int,
    keep_metadata: bool,
    tiling: Tiling,
    search_for: Callable[[int], Search] | None,
) -> bytes:
    """Return the file of the highest quality that fits; arguments as ``Codec.encode_to_size``.

    Args:
        coder_for: gives what encodes at a quality.
        starts: the first quality of every model.
        picture: as in ``encode``.
        max_bytes: the limit.
        keep_metadata: store EXIF and XMP.
        tiling: how it is cut, and who is told.
        search_for: gives the search of a quality; None without one.

    Raises:
        ValueError: the file is larger even at quality 0.
    """
    first = tiling.within(0.0, 0.3) if search_for else tiling
    latents: dict[bytes, Floats] = {}
    tried: dict[int, bytes] = {}

    def next_share() -> Tiling:
        # A search among 101 qualities tries at most seven, after the latents; and what a finer
        # model makes at its first quality comes before.
        return first.share(len(latents) + len(tried), 1, 8 + 2 * (len(starts) - 1))

    def code(quality: int, own: Tiling, search: Search | None = None) -> bytes:
        coder = coder_for(quality)
        found = latents[coder.identity]
        ((payload, symbols),) = coder.code([picture], found, quality, FORMAT_VERSION, own, search)
        how = quality, keep_metadata, coder.identity
        return assembly.to_file(picture, *how, payload, symbols)

    def attempt(quality: int) -> bytes:
        coder = coder_for(quality)
        if coder.identity not in latents:
            latents[coder.identity] = coder.analyse([picture], tiling=next_share())
        tried[quality] = code(quality, next_share())
        return tried[quality]

    data = assembly.best_fit(attempt, max_bytes, starts)
    if search_for is None:
        return data
    quality = max(quality for quality, one in tried.items() if one == data)
    spare = 8.0 * (max_bytes - len(data))
    filling = dataclasses.replace(search_for(quality), spare_bits=spare)
    filled = code(quality, tiling.within(0.3, 1.0), filling)
    # Bits are counted without the ending of the stream, which may take a byte more.
    return filled if len(filled) <= max_bytes else data
