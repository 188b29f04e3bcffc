"""What a file says that has not arrived whole: z alone, or every symbol that is certain.

Symbols that have not been received are 0, so that their elements of y take the mean that z and the
earlier steps predict.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glc.bitstream import Container, Prefix
from glc.coding import assembly, mean_colors
from glc.coding.batch_coder import BatchCoder
from glc.coding.tables import Tables
from glc.coding.versions import order_of
from glc.coding_loop import CodingLoop, put
from glc.entropy import IndexTables, PrefixDecoder, decode_known
from glc.errors import TruncatedError
from glc.runtime.out_of_memory import in_smaller_tiles
from glc.tiling.geometry import Tiling
from glc.tiling.progress import Progress
from glc.tiling.sizes import grid_of

__all__ = ["PartialPicture", "Reading", "decode_partial", "preview", "read", "read_checked"]


@dataclass(frozen=True)
class PartialPicture:
    """A picture made from what has arrived of a file, and how much that is."""

    image: Image.Image
    """Of mode RGB, L, RGBA or LA; alpha and grey only if their chunks have arrived."""
    is_complete: bool
    """All of the file is there, and its checksum is right. Nothing is checked otherwise."""
    payload_bytes: int
    """Bytes of the payload that have arrived."""
    payload_expected: int
    """Bytes of the whole payload."""
    steps: int
    """Coding steps, of four, that were read to their end."""
    symbols: int
    """Coded symbols of y that were certain, and are in the picture; the others are taken as 0."""
    notices: tuple[str, ...]
    """What the picture lacks, one sentence each, for the user's eyes."""


@dataclass(frozen=True)
class Reading:
    """All that the bytes of a payload say for certain."""

    indices: NDArray[np.int32]
    """(h / 4, w / 4): z."""
    rows: NDArray[np.integer[Any]]
    """(C_y, h, w): the table of every symbol that was read; 0 where none was coded or certain."""
    symbols: NDArray[np.integer[Any]]
    """(C_y, h, w): 0 where not read."""
    steps: int
    """Coding steps that were read to their end."""


def preview(coder: BatchCoder, prefix: Prefix, realism: float) -> Image.Image:
    """Return the picture that z alone says; nothing is verified.

    Raises:
        TruncatedError: z is not complete.
        CorruptError: as ``decode_partial``.
    """
    reading = read(coder, prefix, with_symbols=False)
    # Mean colours are what the whole picture lacks, not this one.
    return _show(coder, prefix, reading, realism, with_colors=False)


def decode_partial(coder: BatchCoder, prefix: Prefix, realism: float) -> PartialPicture:
    """Return the picture of what has arrived; a complete file is verified.

    Raises:
        TruncatedError: z is not complete; the message says about how many bytes it takes.
        CorruptError: the payload is not what an encoder writes, or its checksum is wrong.
    """
    reading = read_checked(coder, prefix)
    return PartialPicture(
        image=_show(coder, prefix, reading, realism),
        is_complete=prefix.container is not None,
        payload_bytes=len(prefix.payload),
        payload_expected=prefix.header.payload_bytes,
        steps=reading.steps,
        symbols=int(np.count_nonzero(reading.rows)),
        notices=_missing(prefix),
    )


def read_checked(coder: BatchCoder, prefix: Prefix) -> Reading:
    """Read the integers that have arrived, and compare the checksum of a file that is whole.

    Raises:
        TruncatedError, CorruptError: as ``decode_partial``.
    """
    reading = read(coder, prefix)
    if prefix.container is not None:
        coder.compare(prefix.container, reading.indices, reading.symbols)
    return reading


@in_smaller_tiles
def read(
    coder: BatchCoder,
    prefix: Prefix,
    with_symbols: bool = True,
    *,
    tiling: Tiling | None = None,
) -> Reading:
    """Read the integers that have arrived; with_symbols False reads z only.

    Raises:
        TruncatedError, CorruptError: as ``decode_partial``, but for the checksum.
    """
    header = prefix.header
    sizes = [(header.height, header.width)]
    ((_, loop, progress),) = coder.split(sizes, header.quality, tiling)
    bank = coder.bank(header.quality)
    return _read_payload(coder.tables, loop, prefix, bank, with_symbols, progress)


def _show(
    coder: BatchCoder, prefix: Prefix, reading: Reading, realism: float, with_colors: bool = True
) -> Image.Image:
    header = prefix.header
    fields = (header.width, header.height, header.quality, header.model)
    container = Container(*fields, prefix.payload, prefix.chunks, version=header.version)
    what = [(header.height, header.width)], header.quality
    y_hat = coder.dequantise(*what, reading.indices[None], reading.symbols[None])
    pixels = coder.synthesise(*what, y_hat, realism)[0]
    scales = coder.tables.scales
    lacking = mean_colors.of_file(container, scales) if with_colors else None
    return assembly.finish(container, pixels, lacking)


def _read_payload(
    tables: Tables,
    loop: CodingLoop,
    prefix: Prefix,
    bank: int,
    with_symbols: bool = True,
    progress: Progress | None = None,
) -> Reading:
    """Read as far as a payload goes; no float is computed.

    Args:
        tables: of the model that the file was made with.
        loop: for this file.
        prefix: what has arrived.
        bank: the table of z for the file's quality.
        with_symbols: False reads z only.
        progress: told of every tile.

    Raises:
        TruncatedError: z is not complete; the message says about how many bytes it takes.
        CorruptError: the payload is not what an encoder writes.
    """
    header, order = prefix.header, order_of(prefix.header.version)
    decoder = PrefixDecoder(prefix.payload, header.payload_bytes)
    grid = grid_of(header.height, header.width)
    z = _read_z(tables.indices, bank, prefix, decoder, grid[0] * grid[1]).reshape(grid)
    steps: list[NDArray[np.uint8]] = []
    finished = 0

    def decode(rows: NDArray[np.uint8], coded: NDArray[np.bool_]) -> NDArray[np.int16]:
        nonlocal finished
        known_rows, symbols = np.zeros(rows.shape, np.uint8), np.zeros(rows.shape, np.int16)
        if with_symbols and not decoder.ended:
            chosen = rows[coded]
            symbols[coded], known = decode_known(tables.scales, decoder, chosen, order)
            known_rows[coded] = np.where(known, chosen, 0)
            finished += not decoder.ended
        steps.append(known_rows)
        return symbols

    symbols = loop.read(z[None], decode, progress)
    rows = np.zeros(symbols.shape, np.uint8)
    for step, picked in enumerate(steps):
        put(step, rows, picked)
    return Reading(z, rows[0], symbols[0], finished)


def _missing(prefix: Prefix) -> tuple[str, ...]:
    """Return what cannot be known of a file before the rest of it arrives, a sentence each."""
    if prefix.container is not None:
        return ()
    notices = ["the checksum has not arrived, so nothing was verified"]
    if prefix.header.has_chunks and not prefix.chunks:
        notices.append(
            "the chunks behind the payload have not arrived: shown opaque, in colour, without mean "
            "colours and metadata, whatever the original is"
        )
    elif prefix.header.has_chunks:
        tags = ", ".join(chunk.tag for chunk in prefix.chunks)
        notices.append(f"only these chunks behind the payload were used: {tags}")
    return tuple(notices)


def _read_z(
    tables: IndexTables, bank: int, prefix: Prefix, decoder: PrefixDecoder, count: int
) -> NDArray[np.int32]:
    z = tables.decode(decoder, count, bank)
    if decoder.ended:
        spent = tables.bits(z[: decoder.certain], bank).sum()
        shares = tables.frequencies[bank] / tables.frequencies[bank].sum()
        expected = spent - (count - decoder.certain) * (shares * np.log2(shares)).sum()
        arrived = prefix.header_bytes + len(prefix.payload)
        needed = max(prefix.header_bytes + int(np.ceil(expected / 8)), arrived + 1)
        raise TruncatedError(
            f"the coarsest part of the picture: expected about {needed} bytes of the file, found "
            f"{arrived} ({decoder.certain} of {count} positions); nothing can be shown of it yet"
        )
    return z
