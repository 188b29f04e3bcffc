"""Bytes: the .glc container, normative in docs/format.md.

Knows nothing of networks, entropy coding or image files; needs the standard library only.
"""

from __future__ import annotations

from glc.bitstream.container import (
    ALPHA,
    EXIF,
    FORMAT_VERSION,
    FORMAT_VERSIONS,
    GREY,
    ICC,
    MAGIC,
    MEAN_COLORS,
    MODEL_BYTES,
    QUALITY_MAX,
    XMP,
    Chunk,
    Container,
    Limits,
    pack,
    unpack,
)
from glc.bitstream.file_prefix import Prefix, unpack_prefix

__all__ = [
    "ALPHA",
    "EXIF",
    "FORMAT_VERSION",
    "FORMAT_VERSIONS",
    "GREY",
    "ICC",
    "MAGIC",
    "MEAN_COLORS",
    "MODEL_BYTES",
    "QUALITY_MAX",
    "XMP",
    "Chunk",
    "Container",
    "Limits",
    "Prefix",
    "pack",
    "unpack",
    "unpack_prefix",
]
