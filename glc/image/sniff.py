"""Says what data is that a reader does not know, so that an error can tell what to do about it.

Knows nothing of Pillow; looks at the first bytes only.
"""

from __future__ import annotations

__all__ = ["HEAD_BYTES", "describe", "kind_of"]

HEAD_BYTES = 1024
"""How much of a file the functions here want to see."""

_HEIC_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"))
_JXL = (b"\xff\x0a", b"\x00\x00\x00\x0cJXL ")
_TEXT = frozenset(range(0x20, 0x7F)) | frozenset(b"\t\n\r\x0c")


_STARTS = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"BM": "a BMP picture",
    b"II*\x00": "a TIFF picture",
    b"MM\x00*": "a TIFF picture",
    b"8BPS": "a Photoshop picture",
    b"\xff\x0a": "a JPEG XL picture",
    b"\x00\x00\x00\x0cJXL ": "a JPEG XL picture",
    b"\x00\x00\x00\x0cjP  ": "a JPEG 2000 picture",
    b"glca": "a .glca archive",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "a gzip archive",
    b"PAR1": "a Parquet table",
}


def kind_of(head: bytes) -> str:
    """Return what a file that begins with these bytes is, with its article; empty if unknown."""
    for start, kind in _STARTS.items():
        if head.startswith(start):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a WebP picture"
    if head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS:
        return "a HEIC picture"
    if head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis"):
        return "an AVIF picture"
    if head[8:9] == b"{" and not any(head[4:8]):
        return "a safetensors file"
    if b"<svg" in head.lower():
        return "an SVG drawing"
    if head.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")):
        return "a web page"
    return "text" if head and _TEXT.issuperset(head) else ""


def describe(head: bytes) -> str:
    """Return what a file that begins with these bytes is, and what to do, in one line."""
    if not head:
        return "empty; copy or download it again"
    if head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS:
        return "a HEIC picture, which Pillow reads only with the plugin pillow-heif; convert it"
    if head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis"):
        return "an AVIF picture, which this build of Pillow cannot read; convert it"
    if head.startswith(_JXL):
        return "a JPEG XL picture, which Pillow reads only with a plugin; convert it"
    if head[:1] == b"\x67" and head[1:2] and head[1] & 0xF0 == 0xC0:
        return "a .glc file already; decode it first"
    if head.startswith(b"%PDF"):
        return "a PDF document; render a page of it first"
    if b"<svg" in head.lower():
        return "an SVG drawing, which has no pixels; render it first"
    if _TEXT.issuperset(head):
        return "text, not a picture"
    return "not a picture of a kind that can be read"
