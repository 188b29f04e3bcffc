"""What a file says that has not arrived whole: z alone, or every symbol that is certain.

Between ``glc.codec``, which owns networks and tables, and the bytes: it reads what is there, and
leaves the symbols that are not at 0, so that their elements take the mean that z and the earlier
steps predict.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from glc.bitstream import Prefix
from glc.config import IMAGE_STRIDE, LATENT_STRIDE
from glc.entropy import IndexTables, Order, PrefixDecoder, ScaleTables, decode_known
from glc.errors import TruncatedError
from glc.networks.arrays import ArrayNetworks
from glc.networks.model import GlcModel
from glc.precision import own_precision
from glc.tiled import TiledModel, put
from glc.tiles import Tiling
from glc.versions import order_of

__all__ = ["PartialPicture", "Reading", "missing", "read"]


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
    y_hat: Tensor
    """(1, C_y, h, w) float32."""
    steps: int
    """Coding steps that were read to their end."""


@own_precision
def read(
    model: GlcModel,
    scales: ScaleTables,
    indices: IndexTables,
    bank: int,
    prefix: Prefix,
    with_symbols: bool = True,
    tiling: Tiling | None = None,
) -> Reading:
    """Read as far as a payload goes.

    Args:
        model: the networks that the file was made with.
        scales: its tables for symbols.
        indices: its tables for z.
        bank: the table of z for the file's quality.
        prefix: what has arrived.
        with_symbols: False reads z only.
        tiling: how large pictures are cut.

    Raises:
        TruncatedError: z is not complete; the message says about how many bytes it takes.
        CorruptError: the payload is not what an encoder writes.
    """
    header, order = prefix.header, order_of(prefix.header.version)
    device = next(model.parameters()).device
    decoder = PrefixDecoder(prefix.payload, header.payload_bytes)
    z_shape = -(-header.height // IMAGE_STRIDE), -(-header.width // IMAGE_STRIDE)
    z = _read_z(indices, bank, prefix, decoder, z_shape[0] * z_shape[1]).reshape(z_shape)
    if side := (tiling or Tiling()).side_for(header.height, header.width):
        networks = ArrayNetworks(model)
        tiles = TiledModel(networks, header.height, header.width, header.quality, side)
        return _read_tiles(tiles, scales, order, decoder, z, with_symbols)
    digits = model.hyper_codebook.to_digits(torch.from_numpy(z[None]).long().to(device))
    scale = IMAGE_STRIDE // LATENT_STRIDE
    shape = model.config.y_channels, scale * z_shape[0], scale * z_shape[1]
    inside = np.zeros(shape, np.bool_)
    inside[:, : -(-header.height // LATENT_STRIDE), : -(-header.width // LATENT_STRIDE)] = True
    all_rows, all_symbols = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    finished = 0

    def exchange(step: int, mean: Tensor, quant_step: Tensor, rows: Tensor, mask: Tensor) -> Tensor:
        nonlocal finished
        if not with_symbols or decoder.ended:
            return torch.zeros_like(mean)
        where = mask[0].cpu().numpy() & inside
        tables = rows[0].cpu().numpy().astype(np.int32)[where]
        symbols, known = decode_known(scales, decoder, tables, order)
        all_rows[where] = np.where(known, tables, 0)
        all_symbols[where] = symbols
        finished += not decoder.ended
        placed = np.zeros(shape, np.float32)
        placed[where] = symbols
        return torch.from_numpy(placed[None]).to(device)

    quality = torch.tensor([header.quality], device=device)
    y_hat = model.code_symbols(digits, quality, exchange)
    return Reading(z, all_rows, all_symbols, y_hat, finished)


def _read_tiles(
    tiles: TiledModel,
    scales: ScaleTables,
    order: Order,
    decoder: PrefixDecoder,
    z: NDArray[np.int32],
    with_symbols: bool,
) -> Reading:
    """Read the symbols of a large picture; its rows are uint8 and its symbols int16."""
    steps: list[NDArray[np.uint8]] = []
    finished = 0

    def decode(rows: NDArray[np.uint8], coded: NDArray[np.bool_]) -> NDArray[np.int16]:
        nonlocal finished
        tables, symbols = np.zeros(rows.shape, np.uint8), np.zeros(rows.shape, np.int16)
        if with_symbols and not decoder.ended:
            chosen = rows[coded]
            symbols[coded], known = decode_known(scales, decoder, chosen, order)
            tables[coded] = np.where(known, chosen, 0)
            finished += not decoder.ended
        steps.append(tables)
        return symbols

    symbols = tiles.read(z[None], decode)
    rows = np.zeros(symbols.shape, np.uint8)
    for step, picked in enumerate(steps):
        put(step, rows, picked)
    y_hat = torch.from_numpy(tiles.y_hat(z[None], symbols))
    return Reading(z, rows[0], symbols[0], y_hat, finished)


def missing(prefix: Prefix) -> tuple[str, ...]:
    """Return what cannot be known of a file before the rest of it arrives, a sentence each."""
    if prefix.container is not None:
        return ()
    notices = ["the checksum has not arrived, so nothing was verified"]
    if prefix.header.has_chunks and not prefix.chunks:
        notices.append(
            "the chunks behind the payload have not arrived: shown opaque, in colour and without "
            "metadata, whatever the original is"
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
