"""Pictures to files: several at one quality, or one with as many bytes as are allowed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from glc.bitstream import FORMAT_VERSION, Limits, unpack
from glc.coding import assembly
from glc.coding.batch_coder import BatchCoder
from glc.coding.batches import files_alike, pictures_alike
from glc.coding.mean_colors import add_to_file
from glc.config import DEFAULT_REALISM, REALISM_MAX
from glc.image import Picture
from glc.runtime.protocol import Floats
from glc.tiling.geometry import Tiling

if TYPE_CHECKING:
    from glc.effort.search import Search

__all__ = ["add_mean_colors", "encode", "encode_to_size"]

_UNLIMITED = Limits(max_pixels=1 << 56, max_side=1 << 28, max_chunk_bytes=1 << 56)
"""For files that were made here."""


def encode(
    coder: BatchCoder,
    pictures: Sequence[Picture],
    quality: int,
    keep_metadata: bool,
    version: int,
    tiling: Tiling,
    search: Search,
    mean_colors: bool = False,
) -> list[bytes]:
    """Return the files of pictures of any sizes, in order; arguments as ``Codec.encode_batch``."""
    if mean_colors:
        # Decoding takes about as long again as both parts of encoding.
        share = 0.9 if search.level.steps else 0.4
        first = tiling.within(0.0, share)
        files = encode(coder, pictures, quality, keep_metadata, version, first, search)
        return add_mean_colors(coder, pictures, files, tiling.within(share, 1.0))
    files = [b""] * len(pictures)
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


def add_mean_colors(
    coder: BatchCoder, pictures: Sequence[Picture], files: Sequence[bytes], tiling: Tiling
) -> list[bytes]:
    """Return files with the mean colours that their pictures lack; all are decoded for that.

    Args:
        coder: of the model that made them.
        pictures: what was coded.
        files: of them, without mean colours.
        tiling: how they are cut, and who is told.
    """
    containers = [unpack(data, _UNLIMITED) for data in files]
    result = list(files)
    done = 0
    for members, some in files_alike(containers):
        own = tiling.share(done, len(members), len(files))
        sizes = [(container.height, container.width) for container in some]
        quality = some[0].quality
        indices, symbols = coder.read_symbols(some, tiling=own.within(0.0, 0.2))
        y_hat = coder.dequantise(sizes, quality, indices, symbols, tiling=own.within(0.2, 0.4))
        decoded = coder.synthesise(
            sizes, quality, y_hat, DEFAULT_REALISM / REALISM_MAX, tiling=own.within(0.4, 1.0)
        )
        for place, index in enumerate(members):
            integers = assembly.canonical(indices[place], symbols[place])
            what = pictures[index], decoded[place], coder.identity, integers
            result[index] = add_to_file(some[place], coder.tables.scales, *what)
        done += len(members)
    return result


def encode_to_size(
    coder_for: Callable[[int], BatchCoder],
    starts: Sequence[int],
    picture: Picture,
    max_bytes: int,
    keep_metadata: bool,
    tiling: Tiling,
    search_for: Callable[[int], Search] | None,
    mean_colors: bool = False,
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
        mean_colors: add them; where not even quality 0 has room for them the file goes without.

    Raises:
        ValueError: the file is larger even at quality 0.
    """
    first = tiling.within(0.0, 0.3) if search_for else tiling
    decoding = first.within(0.5, 1.0)
    if mean_colors:
        first = first.within(0.0, 0.5)
    latents: dict[bytes, Floats] = {}
    tried: dict[int, bytes] = {}

    def next_share() -> Tiling:
        # A search among 101 qualities tries at most seven, after the latents; and what a finer
        # model makes at its first quality comes before.
        done, total = len(latents) + len(tried), 8 + 2 * (len(starts) - 1)
        # Qualities that are tried again, with less room, are told of as done.
        return first.share(done, 1, total) if done < total else Tiling(tiling.side)

    def code(quality: int, own: Tiling, search: Search | None = None) -> bytes:
        coder = coder_for(quality)
        found = latents[coder.identity]
        ((payload, symbols),) = coder.code([picture], found, quality, FORMAT_VERSION, own, search)
        how = quality, keep_metadata, coder.identity
        return assembly.to_file(picture, *how, payload, symbols)

    def attempt(quality: int) -> bytes:
        if quality in tried:
            return tried[quality]
        coder = coder_for(quality)
        if coder.identity not in latents:
            latents[coder.identity] = coder.analyse([picture], tiling=next_share())
        tried[quality] = code(quality, next_share())
        return tried[quality]

    def quality_of(data: bytes) -> int:
        return max(quality for quality, one in tried.items() if one == data)

    def with_colors(quality: int, data: bytes, own: Tiling) -> bytes:
        return add_mean_colors(coder_for(quality), [picture], [data], own)[0]

    plain = data = finished = assembly.best_fit(attempt, max_bytes, starts)
    if mean_colors:
        finished, room = with_colors(quality_of(data), data, decoding), max_bytes
        while len(finished) > max_bytes:
            # What they take hardly depends on the quality, so this mostly ends after a turn or two.
            room = min(len(data) - 1, room - (len(finished) - max_bytes))
            try:
                data = assembly.best_fit(attempt, room, starts)
            except ValueError:
                data = finished = plain
            else:
                finished = with_colors(quality_of(data), data, Tiling(tiling.side))
    if search_for is None:
        return finished
    quality = quality_of(data)
    spare = 8.0 * (max_bytes - len(finished))
    filling = dataclasses.replace(search_for(quality), spare_bits=spare)
    filled = code(quality, tiling.within(0.3, 1.0), filling)
    if finished is not data:
        colored = with_colors(quality, filled, Tiling(tiling.side))
        # What the searched picture lacks may take some bytes more than what the other one does.
        filled = colored if len(colored) <= max_bytes else filled
    # Bits are counted without the ending of the stream, which may take a byte more.
    return filled if len(filled) <= max_bytes else finished
