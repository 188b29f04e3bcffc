"""EXIF and XMP that are kept, with the orientation set to upright."""

from __future__ import annotations

import re
import struct

from PIL import ExifTags, Image

from glc.image.metadata import metadata_notices

__all__ = ["EXIF_PREFIX", "upright_metadata"]

EXIF_PREFIX = b"Exif\x00\x00"
_DESCRIPTIVE_TAGS = frozenset(
    (
        *(ExifTags.Base.ImageDescription, ExifTags.Base.Make, ExifTags.Base.Model),
        *(ExifTags.Base.Software, ExifTags.Base.DateTime, ExifTags.Base.Artist),
        ExifTags.Base.Copyright,
    )
)
_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation(?:=[\"']|>)\s*)[2-8](?=\s*[\"'<])")


def upright_metadata(
    image: Image.Image,
) -> tuple[int, bytes | None, bytes | None, tuple[str, ...]]:
    """Return the orientation, 1 to 8, upright EXIF and XMP, and what cannot be kept of them."""
    lost = metadata_notices(image)
    exif: object = image.info.get("exif")
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        if image.format == "TIFF":
            exif = _tiff_exif(image)
    except Exception:
        # Damaged EXIF is common, and no reason to refuse a picture.
        orientation = 1
    xmp = image.info.get("xmp")
    kept = _upright_exif(exif) if isinstance(exif, bytes) else None
    if kept is None and exif:
        lost.append("EXIF is damaged and left out")
    if xmp and not isinstance(xmp, bytes):
        lost.append("XMP is damaged and left out")
    return (
        orientation if orientation in range(1, 9) else 1,
        kept,
        _XMP_ORIENTATION.sub(rb"\g<1>1", xmp) if isinstance(xmp, bytes) else None,
        tuple(lost),
    )


def _tiff_exif(image: Image.Image) -> bytes | None:
    """Return the tags of a TIFF that describe the picture, not those that lay out its pixels."""
    found, kept = image.getexif(), Image.Exif()
    for tag in _DESCRIPTIVE_TAGS.intersection(found):
        kept[tag] = found[tag]
    for directory in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        if entries := found.get_ifd(directory):
            kept[directory] = dict(entries)
    return kept.tobytes() if kept else None


def _upright_exif(exif: bytes) -> bytes | None:
    """Set the orientation to 1 in place, so that offsets inside maker notes stay valid.

    Returns:
        The TIFF structure without prefix; None if its first directory cannot be read.
    """
    while exif.startswith(EXIF_PREFIX):
        # Some programs write it once more.
        exif = exif.removeprefix(EXIF_PREFIX)
    data = bytearray(exif)
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(bytes(data[:4]))
    if order is None:
        return None
    try:
        (directory,) = struct.unpack_from(f"{order}I", data, 4)
        (count,) = struct.unpack_from(f"{order}H", data, directory)
        for entry in range(directory + 2, directory + 2 + 12 * count, 12):
            if struct.unpack_from(f"{order}H", data, entry) == (ExifTags.Base.Orientation,):
                struct.pack_into(f"{order}HIHH", data, entry + 2, 3, 1, 1, 0)
    except struct.error:
        return None
    return bytes(data)
