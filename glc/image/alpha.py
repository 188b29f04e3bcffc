"""Alpha planes as bytes, without loss: one value, VP8L, or deflate."""

from __future__ import annotations

import io
import zlib

import numpy as np
from PIL import Image

from glc.errors import CorruptError, LimitError
from glc.image.bands import Plane

__all__ = ["decode_alpha", "encode_alpha"]

_ALPHA_CONSTANT, _ALPHA_VP8L, _ALPHA_DEFLATE = range(3)
_VP8L_SIGNATURE = 0x2F
_VP8L_MAX_SIDE = 1 << 14
# Below the size at which Pillow begins to warn of decompression bombs.
_VP8L_MAX_PIXELS = 1 << 26
_THOROUGH_MAX_PIXELS = 1 << 20


def encode_alpha(alpha: Plane) -> bytes:
    """Code an alpha plane without loss.

    A byte says how: 0, one value for all pixels, which follows; 1, a WebP lossless (VP8L, RFC 9649)
    bitstream without its RIFF wrapper, alpha in the green channel; 2, raw deflate of the rows,
    each less the one above, modulo 256. Measured on seven kinds of 768 x 512 masks, VP8L takes
    6 to 81 % fewer bytes than PNG.

    Args:
        alpha: (H, W), uint8.

    Example:
        >>> from glc import image
        >>> alpha = np.full((2, 3), 40, np.uint8)  # one value for all pixels
        >>> image.encode_alpha(alpha).hex()
        '0028'
    """
    if alpha.min() == alpha.max():
        return bytes((_ALPHA_CONSTANT, int(alpha.flat[0])))
    height, width = alpha.shape
    codings = [bytes((_ALPHA_DEFLATE,)) + _deflate(alpha)]
    if _fits_vp8l(width, height):
        codings.append(bytes((_ALPHA_VP8L,)) + _encode_vp8l(alpha))
    return min(codings, key=len)


def decode_alpha(data: bytes, width: int, height: int) -> Plane:
    """Undo ``encode_alpha``; the result is never larger than the size that the caller expects.

    Returns:
        (H, W), uint8.

    Raises:
        CorruptError: the data is damaged or is of another size.

    Example:
        >>> from glc import image
        >>> image.decode_alpha(bytes.fromhex("0028"), width=3, height=2).tolist()
        [[40, 40, 40], [40, 40, 40]]
    """
    if len(data) < 2:
        raise CorruptError(f"alpha: expected at least 2 bytes, found {len(data)}; damaged file")
    method, body = data[0], data[1:]
    if method == _ALPHA_CONSTANT:
        if len(body) != 1:
            raise CorruptError(f"alpha: expected one value, found {len(body)}; damaged file")
        return np.full((height, width), body[0], np.uint8)
    if method == _ALPHA_VP8L:
        return _decode_vp8l(body, width, height)
    if method == _ALPHA_DEFLATE:
        return _inflate(body, width, height)
    raise CorruptError(f"alpha: expected method 0 to 2, found {method}; damaged file")


def _fits_vp8l(width: int, height: int) -> bool:
    return max(width, height) <= _VP8L_MAX_SIDE and width * height <= _VP8L_MAX_PIXELS


def _encode_vp8l(alpha: Plane) -> bytes:
    # The thorough search saves up to 40 % and takes 1 to 4 s per megapixel.
    is_small = alpha.size <= _THOROUGH_MAX_PIXELS
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(alpha)).save(
        stream,
        "WEBP",
        lossless=True,
        quality=100 if is_small else 75,
        method=6 if is_small else 4,
    )
    riff = stream.getvalue()
    size = int.from_bytes(riff[16:20], "little")
    return riff[20 : 20 + size]


def _decode_vp8l(body: bytes, width: int, height: int) -> Plane:
    fields = int.from_bytes(body[1:5], "little")
    size = (fields & 0x3FFF) + 1, (fields >> 14 & 0x3FFF) + 1
    if len(body) < 6 or body[0] != _VP8L_SIGNATURE or size != (width, height):
        raise CorruptError(f"alpha: expected {width} x {height} pixels of VP8L; damaged file")
    if not _fits_vp8l(width, height):
        raise CorruptError(f"alpha: {width} x {height} pixels are too many for VP8L; damaged file")
    chunk = b"WEBPVP8L" + len(body).to_bytes(4, "little") + body + b"\x00" * (len(body) % 2)
    riff = b"RIFF" + len(chunk).to_bytes(4, "little") + chunk
    try:
        with Image.open(io.BytesIO(riff), formats=("WEBP",)) as image:
            return np.ascontiguousarray(np.asarray(image.convert("RGB"))[..., 1])
    except Image.DecompressionBombError as error:
        raise LimitError(f"alpha: {width} x {height} pixels exceed Pillow's limit") from error
    except Exception as error:
        raise CorruptError("alpha: the VP8L data cannot be decoded; damaged file") from error


def _deflate(alpha: Plane) -> bytes:
    rows = np.array(alpha)
    rows[1:] -= alpha[:-1]
    compressor = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return compressor.compress(rows.tobytes()) + compressor.flush()


def _inflate(body: bytes, width: int, height: int) -> Plane:
    decompressor = zlib.decompressobj(-zlib.MAX_WBITS)
    expected = width * height
    try:
        rows = decompressor.decompress(body, expected + 1)
    except zlib.error as error:
        raise CorruptError("alpha: the deflated rows are damaged") from error
    if len(rows) != expected or not decompressor.eof or decompressor.unused_data:
        raise CorruptError(f"alpha: expected exactly {expected} values; damaged file")
    shaped = np.frombuffer(rows, np.uint8).reshape(height, width)
    return np.add.accumulate(shaped, axis=0, dtype=np.uint8)
