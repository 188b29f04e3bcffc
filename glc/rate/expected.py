"""The bits that a model expects: of a picture, and of each square of 16 x 16 pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from glc.bitstream import Prefix
from glc.coding import partial
from glc.coding.batch_coder import BatchCoder
from glc.coding.batches import pictures_alike
from glc.image import Picture
from glc.rate import rate_map
from glc.runtime.protocol import Integers

__all__ = ["bits", "map_of_file", "map_of_picture"]


def bits(coder: BatchCoder, pictures: Sequence[Picture], quality: int) -> list[float]:
    """Return the bits of z and y of pictures of any sizes, in order; no container."""
    found = [0.0] * len(pictures)
    for members in pictures_alike(pictures):
        batch = [pictures[index] for index in members]
        indices, messages, _ = coder.quantise(batch, coder.analyse(batch), quality)
        for index, z, message in zip(members, indices, messages, strict=True):
            total = float(coder.tables.indices.bits(z.ravel(), coder.bank(quality)).sum())
            total += sum(float(coder.tables.scales.bits(s, rows).sum()) for rows, s in message)
            found[index] = total
    return found


def map_of_picture(coder: BatchCoder, picture: Picture, quality: int) -> NDArray[np.float64]:
    """Return the bits of each square of a picture: (ceil(H / 16), ceil(W / 16))."""
    indices, messages, symbols = coder.quantise([picture], coder.analyse([picture]), quality)
    size = picture.height, picture.width
    rows = rate_map.place_rows(messages[0], symbols[0].shape, *size)
    return _map(coder, quality, indices[0], rows, symbols[0], size)


def map_of_file(coder: BatchCoder, prefix: Prefix) -> NDArray[np.float64]:
    """Return the bits of each square of a file, which is verified if it is complete.

    Raises:
        TruncatedError, CorruptError: as ``glc.coding.partial.read_checked``.
    """
    reading, header = partial.read_checked(coder, prefix), prefix.header
    integers = reading.indices, reading.rows, reading.symbols
    return _map(coder, header.quality, *integers, (header.height, header.width))


def _map(
    coder: BatchCoder,
    quality: int,
    indices: Integers,
    rows: Integers,
    symbols: Integers,
    size: tuple[int, int],
) -> NDArray[np.float64]:
    z_bits = coder.tables.indices.bits(indices.ravel(), coder.bank(quality)).reshape(indices.shape)
    return rate_map.bits_per_position(coder.tables.scales, rows, symbols, z_bits, *size)
