"""``glc.image.decode_alpha``: any bytes give a plane of the size expected, or a GlcError.

An input is width and height in two bytes each, then the chunk.
"""

from __future__ import annotations

import zlib
from random import Random

import numpy as np

from glc.image import decode_alpha, encode_alpha
from tests.fuzz.mutate import mutate_bytes

_SIDE_MAX = 1024
_PIXELS_MAX = 1 << 18


class AlphaTarget:
    name = "alpha"
    max_bytes = 4096

    def seeds(self) -> list[bytes]:
        rng = np.random.default_rng(0)
        made = []
        for width, height in ((1, 1), (7, 5), (40, 33), (90, 60), (1, 700), (512, 3)):
            y, x = np.mgrid[:height, :width]
            disc = ((np.hypot(x - width / 2, y - height / 2) < 20) * 255).astype(np.uint8)
            noise = rng.integers(0, 256, (height, width), dtype=np.uint8)
            for mask in (np.full_like(disc, 9), disc, (x * 3 + y).astype(np.uint8), noise):
                size = width.to_bytes(2, "little") + height.to_bytes(2, "little")
                coded = [encode_alpha(mask), b"\x02" + _deflate(_differences(mask))]
                made += [size + chunk for chunk in coded if len(chunk) < self.max_bytes - 4]
        return made

    def mutate(self, data: bytes, rng: Random) -> bytes:
        size, chunk = data[:4].ljust(4, b"\0"), data[4:]
        kind = rng.randrange(9)
        if kind == 0:
            size = mutate_bytes(size, rng)[:4].ljust(4, b"\0")
        elif kind < 5 and chunk[:1] == b"\x01" and len(chunk) > 6:
            # The size of the bitstream follows the one that is asked for.
            width, height = _size(size)
            fields = int.from_bytes(chunk[2:6], "little") >> 28 << 28
            fields |= (width - 1) | (height - 1) << 14
            chunk = chunk[:2] + fields.to_bytes(4, "little") + mutate_bytes(chunk[6:], rng)
        elif kind < 5 and chunk[:1] == b"\x02":
            chunk = b"\x02" + _deflate(_other_rows(chunk[1:], rng))
        elif kind == 5:
            chunk = bytes([rng.randrange(4)]) + chunk[1:]
        else:
            chunk = mutate_bytes(chunk, rng)
        return size + chunk

    def run(self, data: bytes) -> str:
        width, height = _size(data)
        plane = decode_alpha(data[4:], width, height)
        assert plane.shape == (height, width)
        assert plane.dtype == np.uint8
        if plane.size <= 1 << 12:
            assert np.array_equal(decode_alpha(encode_alpha(plane), width, height), plane)
        return f"method {data[4]}"

    def allowance(self, data: bytes) -> int:
        width, height = _size(data)
        return 12 * width * height + 4 * len(data) + (1 << 20)


def _size(data: bytes) -> tuple[int, int]:
    """Return sides of 1 to 1,024 with at most 2**18 pixels."""
    width = int.from_bytes(data[:2], "little") % _SIDE_MAX + 1
    height = int.from_bytes(data[2:4], "little") % _SIDE_MAX + 1
    return width, min(height, _PIXELS_MAX // width)


def _differences(mask: np.ndarray) -> bytes:
    rows = mask.copy()
    rows[1:] -= mask[:-1]
    return rows.tobytes()


def _other_rows(body: bytes, rng: Random) -> bytes:
    """Return other data to deflate: changed, or far too much of it."""
    if rng.random() < 0.1:
        return bytes(rng.choice((1 << 16, 1 << 20)))
    try:
        rows = zlib.decompressobj(-zlib.MAX_WBITS).decompress(body, 1 << 18)
    except zlib.error:
        return body
    return mutate_bytes(rows, rng)


def _deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


def make() -> AlphaTarget:
    return AlphaTarget()
