"""What lies between pictures, networks and containers: chunks, checksums, sizes of files.

Arrays and bytes only; knows nothing of what computes the integers. docs/format.md, section 7.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glc.bitstream import (
    ALPHA,
    EXIF,
    FORMAT_VERSION,
    GREY,
    MODEL_BYTES,
    XMP,
    Chunk,
    Container,
    Limits,
    pack,
    unpack,
)
from glc.config import QUALITY_MAX
from glc.errors import CorruptError, WeightsError
from glc.image import Picture, decode_alpha, encode_alpha, to_pil
from glc.image.mean_colors import add


def bank_of(quality: int, anchors: int) -> int:
    """Return the z table of a quality: that of the nearest anchor, the higher one of two."""
    return (quality * (anchors - 1) + QUALITY_MAX // 2) // QUALITY_MAX


def canonical(indices: NDArray[np.integer[Any]], symbols: NDArray[np.integer[Any]]) -> bytes:
    """The bytes that the checksum covers (docs/format.md, section 7)."""
    # Symbols of large pictures have this type already, and are not copied twice.
    return b"".join((indices.astype("<u2").data, np.ascontiguousarray(symbols, "<i2").data))


def to_file(
    picture: Picture,
    quality: int,
    keep_metadata: bool,
    identity: bytes,
    payload: bytes,
    symbols: bytes,
    version: int = FORMAT_VERSION,
) -> bytes:
    """Return the file of a picture.

    Args:
        picture: what was coded.
        quality: 0 to 100.
        keep_metadata: store EXIF and XMP.
        identity: of the weights, 32 bytes.
        payload: coded integers.
        symbols: the same integers, canonical.
        version: of the format, in whose order they were coded.
    """
    chunks = []
    if picture.alpha is not None:
        chunks.append(Chunk(ALPHA, encode_alpha(picture.alpha)))
    if picture.grey:
        chunks.append(Chunk(GREY, b""))
    if keep_metadata and picture.exif is not None:
        chunks.append(Chunk(EXIF, picture.exif))
    if keep_metadata and picture.xmp is not None:
        chunks.append(Chunk(XMP, picture.xmp))
    container = Container(
        width=picture.width,
        height=picture.height,
        quality=quality,
        model=identity[:MODEL_BYTES],
        payload=payload,
        chunks=tuple(chunks),
        version=version,
    )
    checksum = container.checksum_of(identity, symbols)
    return pack(dataclasses.replace(container, checksum=checksum))


def open_file(data: bytes, limits: Limits, identity: bytes, name: str) -> Container:
    """Unpack a file that must be of the model with this identity.

    Raises:
        BitstreamError: the file is damaged, or not a ``.glc`` file.
        WeightsError: it was made with another model.
    """
    container = unpack(data, limits)
    check_model(container.model, identity, name)
    return container


def check_model(model: bytes, identity: bytes, name: str) -> None:
    """Compare the model that a file names with one that is here.

    Raises:
        WeightsError: they are two.
    """
    if model != identity[:MODEL_BYTES]:
        raise WeightsError(
            f"the file was made with model {model.hex()}, "
            f"but this is {name} ({identity[:MODEL_BYTES].hex()}); decode it with its own model"
        )


def check_symbols(container: Container, identity: bytes, symbols: bytes) -> None:
    """Compare the checksum.

    Raises:
        CorruptError: these canonical symbols are not those that were coded.
    """
    found = container.checksum_of(identity, symbols)
    if found != container.checksum:
        raise CorruptError(
            f"checksum: the file says {container.checksum:08x}, the decoded symbols give "
            f"{found:08x}; the file is damaged"
        )


def alpha_of(container: Container) -> NDArray[np.uint8] | None:
    """Return the alpha plane of a file, if it has one."""
    for chunk in container.chunks:
        if chunk.tag == ALPHA:
            return decode_alpha(chunk.data, container.width, container.height)
    return None


def finish(
    container: Container, pixels: NDArray[np.uint8], lacking: NDArray[np.int32] | None
) -> Image.Image:
    """Turn decoded pixels, (H, W, 3), into the picture that the file holds.

    Args:
        container: of the file.
        pixels: what its payload decodes to.
        lacking: mean colours that it has in a chunk, see ``glc.image.mean_colors``.

    Raises:
        CorruptError: the alpha plane cannot be read.
    """
    chunks = {chunk.tag: chunk.data for chunk in container.chunks}
    if lacking is not None:
        pixels = add(pixels, lacking)
    picture = Picture(
        rgb=pixels,
        alpha=alpha_of(container),
        grey=GREY in chunks,
        notices=(),
        exif=chunks.get(EXIF),
        xmp=chunks.get(XMP),
    )
    return to_pil(picture)


def best_fit(code: Callable[[int], bytes], max_bytes: int, starts: Sequence[int] = (0,)) -> bytes:
    """Return the file of the highest quality that has at most ``max_bytes`` bytes.

    Args:
        code: gives the file of a quality.
        max_bytes: the limit.
        starts: the first quality of every model, from 0 on. Files of one model grow with the
            quality; the first one of the next model may be smaller than the last one before.

    Raises:
        ValueError: the file is larger even at quality 0.
    """
    sizes: dict[int, int] = {}

    def fitting(low: int, high: int) -> tuple[int, bytes] | None:
        best = None
        while low <= high:
            quality = (low + high) // 2
            data = code(quality)
            sizes[quality] = len(data)
            if len(data) <= max_bytes:
                best, low = (quality, data), quality + 1
            else:
                high = quality - 1
        return best

    found: tuple[int, bytes] | None = None
    stop = QUALITY_MAX + 1
    for start in reversed(starts):
        if start == 0:
            found = fitting(0, stop - 1)
        elif first := fitting(start, start):
            # Where its smallest file is too large, none of a model's fits.
            found = fitting(start + 1, stop - 1) or first
        if found is not None:
            break
        stop = start
    if found is None:
        smallest = sizes[min(sizes)]
        raise ValueError(
            f"the smallest file has {smallest} bytes, more than {max_bytes}; allow more, or make "
            "the picture smaller"
        )
    return found[1]
