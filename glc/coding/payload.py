"""Between the integers of pictures and the payloads of their files; docs/format.md, section 7."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from glc.bitstream import Container
from glc.coding.tables import Tables
from glc.coding.versions import order_of
from glc.coding_loop import CodingLoop
from glc.entropy import Order, RangeDecoder, RangeEncoder
from glc.runtime.protocol import Integers
from glc.tiling.progress import Progress
from glc.tiling.sizes import grid_of

__all__ = ["Message", "read", "write"]

Message: TypeAlias = "tuple[Integers, Integers]"
"""Rows and symbols of one step, in coding order."""


def write(
    tables: Tables, indices: Integers, message: Iterable[Message], bank: int, order: Order
) -> bytes:
    """Code the integers of a picture: the payload of its file.

    Args:
        tables: of the model.
        indices: of z, (h / 4, w / 4).
        message: of every step.
        bank: the table of z.
        order: of the symbols within a step.
    """
    encoder = RangeEncoder()
    tables.indices.encode(encoder, indices.ravel(), bank)
    for rows, symbols in message:
        tables.scales.encode(encoder, symbols, rows, order)
    return encoder.to_bytes()


def read(
    tables: Tables,
    loop: CodingLoop,
    containers: Sequence[Container],
    bank: int,
    progress: Progress | None = None,
) -> tuple[Integers, NDArray[np.int16]]:
    """Decode payloads; no float is computed, and no checksum compared.

    Args:
        tables: of the model.
        loop: for these files.
        containers: the files, of one padded size and quality.
        bank: the table of z.
        progress: told of every tile.

    Returns:
        Indices of z (B, h / 4, w / 4) and symbols (B, C_y, h, w).

    Raises:
        CorruptError: a payload cannot be decoded.
    """
    decoders = [RangeDecoder(container.payload) for container in containers]
    orders = [order_of(container.version) for container in containers]
    rows, columns = grid_of(containers[0].height, containers[0].width)
    flat = [tables.indices.decode(decoder, rows * columns, bank) for decoder in decoders]
    indices = np.stack(flat).reshape(-1, rows, columns)

    def decode(chosen: NDArray[np.uint8], coded: NDArray[np.bool_]) -> NDArray[np.int16]:
        symbols = np.zeros(chosen.shape, np.int16)
        for index, (decoder, order) in enumerate(zip(decoders, orders, strict=True)):
            where = coded[index]
            symbols[index][where] = tables.scales.decode(decoder, chosen[index][where], order)
        return symbols

    return indices, loop.read(indices, decode, progress)
