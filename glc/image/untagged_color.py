"""What a file without a colour profile says of its colours, and what sRGB makes of it.

PNG says it in chunks (PNG, third edition, section 11.3.2), AVIF in a box (code points of ITU-T
H.273), cameras in EXIF (DCF 2.0, Adobe RGB), old TIFF and BMP in fields. Knows nothing of pixels.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

__all__ = ["Encoding", "Finding", "encoding_of", "srgb_from_linear"]

Floats: TypeAlias = NDArray[np.float64]
Primaries: TypeAlias = "tuple[float, ...]"
"""x and y of white, red, green and blue."""

_D65 = (0.3127, 0.3290)
_SRGB: Primaries = (*_D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
_ADOBE: Primaries = (*_D65, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
_PRIMARIES: dict[int, Primaries] = {
    1: _SRGB,
    4: (0.310, 0.316, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    22: (*_D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077),
}
_POWERS = {4: 2.2, 5: 2.8, 8: 1.0}
_LIKE_SRGB = frozenset((1, 2, 6, 13, 14, 15))
"""Transfers that screens show with the curve of sRGB: its own, and those of television."""
_HDR = {16: "PQ", 18: "HLG"}
_UNSAID = 2

_GAMMA_TOLERANCE = 0.05
"""A power so close to that of sRGB means its curve: files say 0.45455 of it."""
_XY_TOLERANCE = 0.01
_MAX_POWER = 10.0

_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_HEAD_BYTES = 1 << 16
_WHITE_POINT, _PRIMARY_CHROMATICITIES, _TRANSFER_FUNCTION = 318, 319, 301
_UNCALIBRATED = 0xFFFF


@dataclass(frozen=True)
class Encoding:
    """How samples stand for colours.

    Attributes:
        power: of linear light over samples; None is the curve of sRGB.
        primaries: None are those of sRGB.
        is_narrow: black is 16 / 255 and white is 235 / 255.
    """

    power: float | None = None
    primaries: Primaries | None = None
    is_narrow: bool = False

    @property
    def is_srgb(self) -> bool:
        """Nothing has to be done."""
        return self.power is None and self.primaries is None and not self.is_narrow

    def curve(self, largest: int) -> NDArray[np.uint8] | None:
        """Return 8-bit samples on the curve of sRGB for those in 0 .. largest; None: the same."""
        if self.power is None and not self.is_narrow:
            return None
        values = np.arange(largest + 1) / largest
        if self.is_narrow:
            values = np.clip((255 * values - 16) / 219, 0, 1)
        if self.power is not None:
            values = srgb_from_linear(values**self.power)
        found: NDArray[np.uint8] = np.rint(255 * values).astype(np.uint8)
        return found

    def to_srgb(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Bring (..., 3) samples, on the curve of sRGB already, to its primaries."""
        if self.primaries is None:
            return rgb
        matrix = np.linalg.inv(_to_xyz(_SRGB)) @ _to_xyz(self.primaries)
        values = np.arange(256) / 255
        linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
        inside = np.clip(linear.astype(np.float32)[rgb] @ matrix.T.astype(np.float32), 0, 1)
        found: NDArray[np.uint8] = np.rint(255 * srgb_from_linear(inside)).astype(np.uint8)
        return found


@dataclass(frozen=True)
class Finding:
    """What a file says.

    Attributes:
        encoding: to be undone.
        notices: of what could not be.
        is_first: it counts even where the file has a profile.
        profile: one that Pillow does not find.
    """

    encoding: Encoding = Encoding()
    notices: tuple[str, ...] = ()
    is_first: bool = False
    profile: bytes | None = None


def srgb_from_linear(values: Any) -> Any:
    """Return samples in 0 .. 1 of linear light in 0 .. 1 (IEC 61966-2-1)."""
    return np.where(values <= 0.0031308, 12.92 * values, 1.055 * values ** (1 / 2.4) - 0.055)


def encoding_of(image: Image.Image, stream: BinaryIO | None) -> Finding:
    """Find what a picture says of its colours beside a profile.

    Args:
        image: opened.
        stream: its file, whose position stays; None finds only what Pillow has read.
    """
    if image.format == "PNG":
        return _of_png(image.info, None if stream is None else _png_cicp(stream))
    if image.format == "AVIF" and stream is not None:
        return _of_avif(_head(stream))
    if image.format in ("BMP", "DIB") and stream is not None:
        return _of_bmp(stream)
    if image.format == "TIFF":
        return _of_tiff(getattr(image, "tag_v2", {}))
    return _of_exif(image)


def _of_png(info: dict[Any, Any], cicp: bytes | None) -> Finding:
    if cicp is not None and len(cicp) == 4:
        return _of_code_points(cicp[0], cicp[1], is_narrow=not cicp[3])
    gamma, points = info.get("gamma"), info.get("chromaticity")
    if "srgb" in info or (gamma is None and points is None):
        return Finding()
    notices = []
    power = None
    if gamma is not None:
        if not 1 / _MAX_POWER <= gamma <= _MAX_POWER:
            notices.append(f"a gamma (gAMA) of {gamma:g} is left aside; colours taken as sRGB")
        elif abs(2.2 * gamma - 1) > _GAMMA_TOLERANCE:
            power = 1 / gamma
    primaries = None
    if points is not None:
        primaries = _checked(points)
        if primaries is None:
            notices.append("primaries (cHRM) that cannot be are left aside; colours taken as sRGB")
    return Finding(Encoding(power, _unless_srgb(primaries)), tuple(notices))


def _of_code_points(primaries: int, transfer: int, is_narrow: bool) -> Finding:
    """Read the code points of H.273."""
    notices = []
    found = _PRIMARIES.get(primaries)
    if transfer in _HDR:
        notices.append(f"HDR ({_HDR[transfer]}) is shown as if it were sRGB")
    elif transfer not in _LIKE_SRGB and transfer not in _POWERS:
        notices.append(f"transfer {transfer} (cICP) is not known; taken as that of sRGB")
    if found is None and primaries != _UNSAID:
        notices.append(f"primaries {primaries} (cICP) are not known; taken as those of sRGB")
    encoding = Encoding(_POWERS.get(transfer), _unless_srgb(found), is_narrow)
    return Finding(encoding, tuple(notices), is_first=not notices)


def _of_avif(head: bytes) -> Finding:
    # Pillow undoes the matrix and the range, and nothing else.
    at = head.find(b"colrnclx")
    if at < 0 or len(head) < at + 12:
        return Finding()
    primaries, transfer = struct.unpack_from(">HH", head, at + 8)
    found = _of_code_points(primaries, transfer, is_narrow=False)
    return Finding(found.encoding, found.notices)


def _of_bmp(stream: BinaryIO) -> Finding:
    """Read the fields of the headers of versions 4 and 5."""
    head = _head(stream)
    if len(head) < 14 + 108 or struct.unpack_from("<I", head, 14)[0] < 108:
        return Finding()
    kind = head[70:74][::-1]
    if kind == b"MBED" and struct.unpack_from("<I", head, 14)[0] >= 124 and len(head) >= 138:
        offset, size = struct.unpack_from("<II", head, 126)
        return Finding(profile=_at(stream, 14 + offset, size))
    if kind == b"LINK":
        return Finding(notices=("its profile is in another file; colours taken as sRGB",))
    if kind == bytes(4) and any(head[74:122]):
        return Finding(notices=("calibrated colours of a BMP are taken as sRGB",))
    return Finding()


def _of_tiff(tags: Any) -> Finding:
    notices: tuple[str, ...] = ()
    if _TRANSFER_FUNCTION in tags:
        notices = ("a transfer function (TIFF) is left aside; colours taken as sRGB",)
    white, points = tags.get(_WHITE_POINT), tags.get(_PRIMARY_CHROMATICITIES)
    if points is None:
        return Finding(notices=notices)
    try:
        primaries = _checked((*map(float, white or _D65), *map(float, points)))
    except (TypeError, ValueError, ZeroDivisionError):
        primaries = None
    if primaries is None:
        notices += ("primaries (TIFF) that cannot be are left aside; colours taken as sRGB",)
    return Finding(Encoding(None, _unless_srgb(primaries)), notices)


def _of_exif(image: Image.Image) -> Finding:
    """Adobe RGB is said by a camera in two fields, and by no profile."""
    try:
        exif = image.getexif()
        space = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.ColorSpace)
        index = exif.get_ifd(ExifTags.IFD.Interop).get(1)
    except Exception:
        # Damaged EXIF is common, and says nothing.
        return Finding()
    if space == _UNCALIBRATED and str(index).strip("\0 ") == "R03":
        return Finding(Encoding(2.2, _ADOBE))
    return Finding()


def _png_cicp(stream: BinaryIO) -> bytes | None:
    """Return the chunk that Pillow leaves out."""
    position = stream.tell()
    try:
        stream.seek(8)
        while len(head := stream.read(8)) == 8 and head[4:] not in (b"IDAT", b"IEND"):
            length = int.from_bytes(head[:4], "big")
            if head[4:] == b"cICP":
                return stream.read(min(length, 16))
            stream.seek(length + 4, 1)
    finally:
        stream.seek(position)
    return None


def _head(stream: BinaryIO) -> bytes:
    return _at(stream, 0, _HEAD_BYTES)


def _at(stream: BinaryIO, offset: int, size: int) -> bytes:
    position = stream.tell()
    stream.seek(offset)
    found = stream.read(size)
    stream.seek(position)
    return found


def _checked(points: tuple[float, ...]) -> Primaries | None:
    """Return white and primaries if a colour space can have them."""
    if len(points) != 8 or not all(0 <= value <= 1 for value in points):
        return None
    if not all(points[1::2]) or abs(np.linalg.det(_columns(points[2:]))) < 1e-3:
        return None
    return None if np.linalg.solve(_columns(points[2:]), _xyz(*points[:2])).min() <= 0 else points


def _unless_srgb(primaries: Primaries | None) -> Primaries | None:
    if primaries is None:
        return None
    furthest = max(abs(a - b) for a, b in zip(primaries, _SRGB, strict=True))
    return None if furthest <= _XY_TOLERANCE else primaries


def _xyz(x: float, y: float) -> Floats:
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _columns(points: tuple[float, ...]) -> Floats:
    return np.stack([_xyz(*points[k : k + 2]) for k in (0, 2, 4)], axis=1)


def _to_xyz(primaries: Primaries) -> Floats:
    """Return the matrix from linear RGB to XYZ under D65 (Bradford, where white is another)."""
    white, columns = _xyz(*primaries[:2]), _columns(primaries[2:])
    matrix: Floats = columns * np.linalg.solve(columns, white)
    scale = (_BRADFORD @ _xyz(*_D65)) / (_BRADFORD @ white)
    found: Floats = np.linalg.inv(_BRADFORD) @ (scale[:, None] * _BRADFORD) @ matrix
    return found
