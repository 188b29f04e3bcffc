"""Mean colours as a chunk of a file: docs/format.md, section 5.3.

Which symbols these are, and what they add to a picture, is in ``glc.image.mean_colors``.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from glc.bitstream import MEAN_COLORS, Chunk, Container, pack
from glc.coding.versions import order_of
from glc.entropy import RangeDecoder, RangeEncoder, ScaleTables
from glc.errors import CorruptError
from glc.image import Picture
from glc.image.mean_colors import missing
from glc.tiling.sizes import grid_of

__all__ = ["add_to_file", "from_chunk", "of_file", "to_chunk"]

_STRIDE = 4
"""Every fourth row of the tables can be named: deviations a half larger each."""
_NAMED = 16
_ORDER_OF = 2
"""The version in whose order symbols are, whatever that of the file is."""


def of_file(container: Container, tables: ScaleTables) -> NDArray[np.int32] | None:
    """Return the symbols that a file has, (3, h, w); None without them.

    Raises:
        CorruptError: no encoder writes such a chunk.
    """
    for chunk in container.chunks:
        if chunk.tag == MEAN_COLORS:
            return from_chunk(tables, chunk.data, container.height, container.width)
    return None


def add_to_file(
    container: Container,
    tables: ScaleTables,
    picture: Picture,
    decoded: NDArray[np.uint8],
    identity: bytes,
    integers: bytes,
) -> bytes:
    """Return a file that also has what its picture lacks of the original's mean colours.

    Args:
        container: of the file without them.
        tables: of its model.
        picture: what was coded.
        decoded: (H, W, 3), what the container decodes to.
        identity: of the weights, 32 bytes.
        integers: of the payload, canonical.
    """
    original = picture.rgb
    if picture.alpha is not None:
        # Nothing is lacking where nothing shows.
        original = np.where(picture.alpha[..., None] == 0, decoded, original)
    lacking = missing(original, decoded)
    if picture.grey:
        # No channel is left that could show them.
        lacking[1:] = 0
    if not lacking.any():
        return pack(container)
    chunk = Chunk(MEAN_COLORS, to_chunk(tables, lacking))
    longer = dataclasses.replace(container, chunks=(*container.chunks, chunk))
    checksum = longer.checksum_of(identity, integers)
    return pack(dataclasses.replace(longer, checksum=checksum))


def to_chunk(tables: ScaleTables, symbols: NDArray[np.int32]) -> bytes:
    """Return the data of the chunk.

    Args:
        tables: of the model.
        symbols: (3, h, w) integers of 16 bits, of brightness and two colour differences.
    """
    brightness, differences = (
        _cheapest(tables, part.ravel()) for part in (symbols[0], symbols[1:])
    )
    encoder = RangeEncoder()
    rows = _rows(brightness, differences, symbols[0].size)
    tables.encode(encoder, symbols.ravel(), rows, order_of(_ORDER_OF))
    return bytes((_NAMED * brightness + differences,)) + encoder.to_bytes()


def from_chunk(tables: ScaleTables, data: bytes, height: int, width: int) -> NDArray[np.int32]:
    """Return the symbols that a chunk holds: (3, h, w).

    Args:
        tables: of the model.
        data: of the chunk.
        height: of the picture, in pixels.
        width: of the picture, in pixels.

    Raises:
        CorruptError: no encoder writes such data.
    """
    if not data:
        raise CorruptError("mean colours: expected at least 1 byte, found 0; the file is damaged")
    grid = grid_of(height, width)
    rows = _rows(*divmod(data[0], _NAMED), grid[0] * grid[1])
    return tables.decode(RangeDecoder(data[1:]), rows, order_of(_ORDER_OF)).reshape(3, *grid)


def _rows(brightness: int, differences: int, cells: int) -> NDArray[np.uint8]:
    named = np.array([brightness, differences, differences], np.uint8)
    return np.repeat(_STRIDE * named, cells)


def _cheapest(tables: ScaleTables, symbols: NDArray[np.int32]) -> int:
    """Return which of the named rows codes symbols in the fewest bits; 0 codes zeros alone."""
    if not symbols.any():
        return 0
    named = np.arange(1, _NAMED)
    spent = [
        tables.bits(symbols, np.full(symbols.shape, _STRIDE * row, np.uint8)).sum() for row in named
    ]
    return int(named[np.argmin(spent)])
