"""Every error that bad data can raise, in one tree.

Knows nothing of files, models or pictures.

    GlcError
    +-- BitstreamError
    |   +-- NotGlcError       the data is not a .glc file
    |   +-- VersionError      a format version or a required chunk that this release does not know
    |   +-- TruncatedError    the file ends too early
    |   +-- CorruptError      the file contradicts itself or its checksum
    |   +-- LimitError        the file asks for more than the caller's limits allow
    +-- WeightsError          weights missing, of the wrong identity, or malformed
    +-- ImageError            an input picture that cannot be read or used

A ``GlcError`` is about data from outside. A wrong call (an argument out of range, of the wrong
type) is a ``ValueError`` or ``TypeError`` instead.
"""

from __future__ import annotations

__all__ = [
    "BitstreamError",
    "CorruptError",
    "GlcError",
    "ImageError",
    "LimitError",
    "NotGlcError",
    "TruncatedError",
    "VersionError",
    "WeightsError",
]


class GlcError(Exception):
    """Bad data of any kind; catch this one to survive every file."""


class BitstreamError(GlcError):
    """A file that cannot be decoded."""


class NotGlcError(BitstreamError):
    """The first bytes are not those of a .glc file."""


class VersionError(BitstreamError):
    """The file needs a newer release: unknown format version or unknown required chunk."""


class TruncatedError(BitstreamError):
    """The file ends before the data that it announces."""


class CorruptError(BitstreamError):
    """The file breaks a rule of the format, or its checksum does not match."""


class LimitError(BitstreamError):
    """The file asks for more pixels or bytes than the caller's limits allow."""


class WeightsError(GlcError):
    """Weights that are missing, malformed, or not the ones that a file was made with."""


class ImageError(GlcError):
    """An input picture that cannot be read or used."""
