"""The codec's stages for one picture that is cut into tiles: same results, bounded memory.

Called by ``glc.codec`` and ``glc.fast``, which hand in what computes a tile. What is whole here has
1/256 of the picture's positions, or is the picture itself as uint8.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from glc import assembly, image
from glc.bitstream import Container
from glc.config import IMAGE_STRIDE
from glc.entropy import IndexTables, Order, RangeDecoder, RangeEncoder, ScaleTables
from glc.tiled import Networks, TiledModel
from glc.tiles import Progress, Window
from glc.versions import order_of

__all__ = ["Integers", "Message", "analyse", "quantise", "read", "synthesise", "tiles_of", "write"]

Integers: TypeAlias = "NDArray[np.integer[Any]]"
Message: TypeAlias = "tuple[Integers, Integers]"
"""Rows and symbols of one step, in coding order."""

_Floats: TypeAlias = "NDArray[np.float32]"


def analyse(
    networks: Networks, picture: image.Picture, side: int, progress: Progress | None
) -> _Floats:
    """Return the latent l of a picture: (1, C_l, h, w)."""
    tiles = TiledModel(networks, picture.height, picture.width, 0, side)
    return tiles.latent(functools.partial(_read_pixels, picture.rgb), progress)


def quantise(
    networks: Networks,
    picture: image.Picture,
    l: _Floats,
    quality: int,
    side: int,
    progress: Progress | None,
) -> tuple[Integers, list[Message], Integers]:
    """Turn a latent into the integers that are coded.

    Args:
        networks: of the model.
        picture: whose latent it is; positions outside of it are not coded.
        l: (1, C_l, h, w).
        quality: 0 to 100.
        side: of the tiles.
        progress: told of every tile.

    Returns:
        Indices of z (h / 4, w / 4); rows (uint8) and symbols (int16) of each step in coding order;
        and all symbols, (C_y, h, w).
    """
    tiles = TiledModel(networks, picture.height, picture.width, quality, side)
    y, indices = tiles.transform(l)
    steps, symbols = tiles.write(y, indices, progress)
    message: list[Message] = [(rows[coded], values[coded]) for rows, values, coded in steps]
    return indices[0], message, symbols[0]


def write(
    tables: tuple[ScaleTables, IndexTables],
    indices: Integers,
    message: Iterable[Message],
    bank: int,
    order: Order,
) -> bytes:
    """Code the integers of a picture, in tiles or not: the payload of its file.

    Args:
        tables: those of its symbols, and of z.
        indices: of z, (h / 4, w / 4).
        message: of every step, as ``quantise`` returns it.
        bank: the table of z.
        order: of the symbols within a step.
    """
    scales, of_z = tables
    encoder = RangeEncoder()
    of_z.encode(encoder, indices.ravel(), bank)
    for rows, symbols in message:
        scales.encode(encoder, symbols, rows, order)
    return encoder.to_bytes()


def read(
    networks: Networks,
    tables: tuple[ScaleTables, IndexTables],
    container: Container,
    identity: bytes,
    side: int,
    progress: Progress | None,
) -> tuple[NDArray[np.int32], NDArray[np.int16]]:
    """Decode a payload and compare its checksum; no float is computed.

    Args:
        networks: of the model.
        tables: those of its symbols, and of z.
        container: the file.
        identity: of the weights, 32 bytes.
        side: of the tiles.
        progress: told of every tile.

    Returns:
        Indices of z (1, h / 4, w / 4) and symbols (1, C_y, h, w).

    Raises:
        CorruptError: the payload cannot be decoded, or decodes to something else.
    """
    scales, of_z = tables
    decoder, order = RangeDecoder(container.payload), order_of(container.version)
    height, width = assembly.padded(container.height, container.width)
    shape = 1, height // IMAGE_STRIDE, width // IMAGE_STRIDE
    bank = assembly.bank_of(container.quality, networks.config.quality_anchors)
    indices = of_z.decode(decoder, shape[1] * shape[2], bank).reshape(shape)

    def decode(rows: NDArray[np.uint8], coded: NDArray[np.bool_]) -> NDArray[np.int16]:
        symbols = np.zeros(rows.shape, np.int16)
        symbols[coded] = scales.decode(decoder, rows[coded], order)
        return symbols

    symbols = tiles_of(networks, container, side).read(indices, decode, progress)
    assembly.check_symbols(container, identity, assembly.canonical(indices, symbols))
    return indices, symbols


def synthesise(
    networks: Networks,
    y_hat: _Floats,
    quality: int,
    realism: float,
    size: tuple[int, int],
    side: int,
    progress: Progress | None,
) -> NDArray[np.uint8]:
    """Return the pixels of y_hat (1, C_y, h, w) up to this height and width: (H, W, 3)."""
    rgb = np.empty((*size, 3), np.uint8)
    tiles = TiledModel(networks, *size, quality, side)
    tiles.picture(y_hat, realism, functools.partial(_write_pixels, rgb), progress)
    return rgb


def tiles_of(networks: Networks, container: Container, side: int) -> TiledModel:
    """Return a model at work on the picture of a file."""
    return TiledModel(networks, container.height, container.width, container.quality, side)


def _read_pixels(rgb: NDArray[np.uint8], window: Window) -> NDArray[np.uint8]:
    """Return a window, (1, h, w, 3), of a picture that repeats its last row and column."""
    rows, columns = window.at(1)
    pixels = rgb[rows, columns]
    below = rows.stop - rows.start - pixels.shape[0]
    beside = columns.stop - columns.start - pixels.shape[1]
    # Also a copy, since not everyone takes read-only arrays, or those with negative strides.
    return np.pad(pixels, ((0, below), (0, beside), (0, 0)), mode="edge")[None]


def _write_pixels(rgb: NDArray[np.uint8], tile: Window, pixels: NDArray[np.uint8]) -> None:
    """Write (1, H, W, 3) into its place in (H, W, 3); what lies in the padding is dropped."""
    target = rgb[tile.at(1)]
    target[...] = pixels[0, : target.shape[0], : target.shape[1]]
