"""What a file holds beside the one picture that is kept, and what Pillow drops of it, as notices.

Nothing of it is read further than to know that it is there.
"""

from __future__ import annotations

import re
from typing import Any, BinaryIO

from PIL import Image

__all__ = ["depth_notices", "gain_map_notices", "metadata_notices"]

_HEAD_BYTES = 1 << 16
# How the makers of phones and of Photoshop say that a picture has a gain map.
_GAIN_MAP = (
    *(b"http://ns.adobe.com/hdr-gain-map/", b"http://ns.apple.com/HDRGainMap/"),
    *(b"hdrgm:Version", b"aux:hdrgainmap", b"urn:iso:std:iso:ts:21496:-1"),
)
_SEMANTIC = re.compile(rb"Semantic(?:=[\"']|>)\s*(\w+)")
_SEMANTICS = {
    b"GainMap": "gain map (HDR)",
    b"RecoveryMap": "gain map (HDR)",
    b"MotionPhoto": "video",
    b"Depth": "depth map",
    b"Confidence": "depth map",
}
_VIDEO = re.compile(rb"(?:MotionPhoto|MicroVideo)(?:=[\"']|>)\s*1")
_DEPTH = (b"http://ns.google.com/photos/1.0/depthmap/", b"GDepth:Format")
_EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"


def gain_map_notices(image: Image.Image, stream: BinaryIO | None) -> list[str]:
    """Say which maps, videos and further pictures of a phone's picture are not kept."""
    segments = [content for _, content in getattr(image, "applist", ())]
    xmp = image.info.get("xmp")
    said = b"\0".join([*segments, xmp if isinstance(xmp, bytes) else b""])
    found: dict[str, None] = {}
    if any(mark in said for mark in _GAIN_MAP) or (
        image.format in ("AVIF", "HEIF") and stream is not None and _is_tone_mapped(stream)
    ):
        found["gain map (HDR)"] = None
    for semantic in _SEMANTIC.findall(said):
        if semantic in _SEMANTICS:
            found[_SEMANTICS[semantic]] = None
    if _VIDEO.search(said):
        found["video"] = None
    if any(mark in said for mark in _DEPTH):
        found["depth map"] = None
    has_more = any(content.startswith(b"MPF\0") for content in segments)
    if not found and has_more and image.format == "JPEG":
        found["further pictures (MPF)"] = None
    return [f"the base picture is kept, not its {', '.join(found)}"] if found else []


def metadata_notices(image: Image.Image) -> list[str]:
    """Say what of the metadata Pillow does not give."""
    segments = [content for _, content in getattr(image, "applist", ())]
    if any(content.startswith(_EXTENDED_XMP) for content in segments):
        return ["extended XMP is left out; its main packet is kept"]
    return []


def depth_notices(image: Image.Image, stream: BinaryIO | None) -> list[str]:
    """Say that Pillow has reduced a picture to 8 bits itself."""
    bits = 0
    tiles = getattr(image, "tile", None)
    if image.format == "PPM":
        bits = _bits_of_ppm(image)
    elif image.format == "SGI" and tiles and tiles[0].codec_name == "SGI16":
        bits = 16
    elif image.format == "JPEG2000" and image.mode in ("RGB", "RGBA", "LA") and stream is not None:
        head = _head(stream)
        at = head.find(b"\xff\x4f\xff\x51")
        if 0 <= at < len(head) - 42:
            bits = (head[at + 42] & 0x7F) + 1
    elif image.format == "AVIF" and stream is not None:
        head = _head(stream)
        at = head.find(b"av1C")
        if 0 <= at < len(head) - 6 and head[at + 6] & 0x40:
            bits = 12 if head[at + 6] & 0x20 else 10
    return [f"{bits} bits per channel, reduced to 8"] if bits > 8 else []


def _bits_of_ppm(image: Image.Image) -> int:
    tiles = getattr(image, "tile", None)
    args: Any = tiles[0].args if tiles else ()
    if image.mode not in ("RGB", "RGBA") or not isinstance(args, tuple) or len(args) != 2:
        return 0
    return int(args[1]).bit_length()


def _is_tone_mapped(stream: BinaryIO) -> bool:
    head = _head(stream)
    size = int.from_bytes(head[:4], "big")
    return head[4:8] == b"ftyp" and b"tmap" in head[8:size]


def _head(stream: BinaryIO) -> bytes:
    position = stream.tell()
    stream.seek(0)
    found = stream.read(_HEAD_BYTES)
    stream.seek(position)
    return found
