"""Pictures to files: several at one quality, or one with as many bytes as are allowed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from glc.bitstream import FORMAT_VERSION
from glc.coding import assembly
from glc.coding.batch_coder import BatchCoder
from glc.coding.batches import pictures_alike
from glc.image import Picture
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
    coder: BatchCoder,
    picture: Picture,
    max_bytes: int,
    keep_metadata: bool,
    tiling: Tiling,
    search: Search,
) -> bytes:
    """Return the file of the highest quality that fits; arguments as ``Codec.encode_to_size``.

    Raises:
        ValueError: the file is larger even at quality 0.
    """
    first = tiling.within(0.0, 0.3) if search.level.steps else tiling
    # A search among 101 qualities tries at most seven.
    latents = coder.analyse([picture], tiling=first.share(0, 1, 8))
    tried: dict[int, bytes] = {}

    def code(quality: int, own: Tiling, search: Search | None = None) -> bytes:
        ((payload, symbols),) = coder.code([picture], latents, quality, FORMAT_VERSION, own, search)
        how = quality, keep_metadata, coder.identity
        return assembly.to_file(picture, *how, payload, symbols)

    def attempt(quality: int) -> bytes:
        tried[quality] = code(quality, first.share(len(tried) + 1, 1, 8))
        return tried[quality]

    data = assembly.best_fit(attempt, max_bytes)
    if not search.level.steps:
        return data
    quality = max(quality for quality, one in tried.items() if one == data)
    filling = dataclasses.replace(search, spare_bits=8.0 * (max_bytes - len(data)))
    filled = code(quality, tiling.within(0.3, 1.0), filling)
    # Bits are counted without the ending of the stream, which may take a byte more.
    return filled if len(filled) <= max_bytes else data
