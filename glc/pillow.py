"""The Pillow plugin: ``Image.open("photo.glc")`` and ``image.save("photo.glc", quality=40)``.

    import glc.pillow

    glc.pillow.register()

Pillow finds no plugin by itself, so a program has to call ``register`` once. Opening reads the
header: size, mode and metadata need neither torch nor weights. The picture is decoded when its
pixels are first asked for, by the model that the file names.

Options of ``save``, all optional:

    quality         0 to 100, 50 when omitted
    model           name or path of a model, instead of the one given to ``register``
    exif            bytes or ``Image.Exif`` to store; the picture is turned upright by it
    xmp             bytes to store
    keep_metadata   store the EXIF and XMP data that the image came with
    mean_colors     as in ``Codec.encode``

An image that was read from a .glc file and not changed since is written as the bytes that it came
from, unless an option is given. A codec loses something each time, and libraries that store images
in the format they came in (Hugging Face ``datasets`` is one) would lose it without telling anyone.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

from PIL import Image, ImageFile

from glc.bitstream import ALPHA, EXIF, FORMAT_VERSIONS, GREY, ICC, XMP, Limits, unpack
from glc.bitstream.container import MAGIC
from glc.errors import GlcError, TruncatedError
from glc.weights.model_cache import codec_for_files, codec_named

if TYPE_CHECKING:
    from glc.codec import Codec
    from glc.image import Picture

__all__ = ["EXTENSION", "FORMAT", "MIME_TYPE", "GlcImageFile", "register"]

FORMAT = "GLC"
EXTENSION = ".glc"
MIME_TYPE = "image/x-glc"

_EXIF_PREFIX = b"Exif\x00\x00"
_HEADER_MAX = 32
"""Enough bytes for every header without its payload."""
_FILE_MAX = 1 << 29
"""More than the longest payload and all chunks together."""
_DEFAULT_QUALITY = 50
# Pillow has a limit of its own, Image.MAX_IMAGE_PIXELS, which it applies to every size it is told.
_LIMITS = Limits(max_pixels=1 << 56, max_side=1 << 28)

_model: str | None = None
_device = "cpu"
_realism: int | None = None


def register(
    model: str | os.PathLike[str] | None = None, device: str = "cpu", realism: int | None = None
) -> None:
    """Make Pillow open and save .glc files; a second call replaces the choices of the first.

    Args:
        model: name or path of what ``save`` encodes with; None is the default model of the quality.
            Files are decoded by the model that made them, which is this one or an installed one.
        device: where the networks run. Pillow is often used in processes that were forked, where
            CUDA cannot be used, so it is the CPU unless the caller knows better.
        realism: how files are shown, 0 to 100: see ``glc.Codec.decode``.

    Raises:
        ValueError: the realism is not a whole number from 0 to 100.

    Example:
        >>> import glc.pillow
        >>> from PIL import Image
        >>> glc.pillow.register()
        >>> Image.open("photo.jpg").save("pillow.glc", quality=40)
        >>> Image.open("pillow.glc").size
        (96, 64)
    """
    global _model, _device, _realism  # noqa: PLW0603 - Pillow has no other place for options
    if realism is not None:
        # Brings numpy along, which a program that only opens files does without.
        from glc.arguments import check_realism

        check_realism(realism)
    _model, _realism = None if model is None else os.fspath(model), realism
    _device = device
    Image.register_open(FORMAT, GlcImageFile, _accept)
    Image.register_save(FORMAT, _save)
    Image.register_extension(FORMAT, EXTENSION)
    Image.register_mime(FORMAT, MIME_TYPE)


class GlcImageFile(ImageFile.ImageFile):
    """A .glc file as Pillow sees it: the header at first, pixels once they are needed."""

    format = FORMAT
    format_description = "Generative latent coding"

    # Pillow makes objects of this class without calling __init__, for instance when unpickling.
    _file: bytes = b""
    _digest: bytes = b""
    """Of the pixels as decoded; empty until then."""

    def _open(self) -> None:
        if self.fp is None:
            raise SyntaxError("the file is closed")
        data = self.fp.read(_HEADER_MAX)
        try:
            # Refuse what is no .glc file before the rest is read.
            with suppress(TruncatedError):
                unpack(data, _LIMITS)
            data += self.fp.read(_FILE_MAX)
            container = unpack(data, _LIMITS)
        except GlcError as error:
            # That is how a plugin tells Pillow to ask the next one.
            raise SyntaxError(str(error)) from error
        self._file = data
        self._size = (container.width, container.height)
        chunks = {chunk.tag: chunk.data for chunk in container.chunks}
        self._mode = ("L" if GREY in chunks else "RGB") + ("A" if ALPHA in chunks else "")
        if EXIF in chunks:
            self.info["exif"] = _EXIF_PREFIX + chunks[EXIF]
        for name, tag in (("xmp", XMP), ("icc_profile", ICC)):
            if tag in chunks:
                self.info[name] = chunks[tag]
        self.tile = []

    def load(self) -> Any:
        """Decode the picture unless that is done.

        Raises:
            OSError: the file is damaged, or its model is not installed.
        """
        if self._file and not self._digest:
            try:
                decoded = self._codec().decode(self._file, _realism)
            except GlcError as error:
                raise OSError(f"{self._name()}: {error}") from error
            self.im, self.readonly = decoded.im, decoded.readonly
            self._digest = _digest(decoded)
            self._let_go()
        return super().load()

    def verify(self) -> None:
        """Decode the symbols and compare their checksum; needs the model, makes no pixels.

        Raises:
            OSError: the file is damaged, or its model is not installed.
        """
        try:
            self._codec().verify(self._file)
        except GlcError as error:
            raise OSError(f"{self._name()}: {error}") from error
        finally:
            super().verify()

    def unchanged_file(self) -> bytes | None:
        """Return the bytes that the pixels came from; None once they are others."""
        if self._digest and self._digest == _digest(self):
            return self._file
        return None

    def __getstate__(self) -> list[Any]:
        return [*super().__getstate__(), self._file, self._digest]

    def __setstate__(self, state: list[Any]) -> None:
        super().__setstate__(state[:-2])
        self._file, self._digest = state[-2:]

    def _codec(self) -> Codec:
        model = unpack(self._file, _LIMITS).model
        if _model is not None:
            named = codec_named(_model, _device)
            if named.identity.startswith(model):
                return named
        return codec_for_files(model, _device)

    def _name(self) -> str:
        return os.fsdecode(self.filename) if self.filename else "picture"

    def _let_go(self) -> None:
        """Close the file if Pillow opened it; no plugin keeps one that it needs no more."""
        if self.fp is not None and getattr(self, "_exclusive_fp", False):
            self.fp.close()
        self.fp = None


def _accept(prefix: bytes) -> bool | str:
    if len(prefix) < len(MAGIC) or prefix[0] != MAGIC[0] or prefix[1] & 0xF0 != MAGIC[1]:
        return False
    version = prefix[1] & 0x0F
    if version not in FORMAT_VERSIONS:
        # Pillow shows this as a warning if nobody else knows the file.
        known = " and ".join(map(str, FORMAT_VERSIONS))
        return f".glc file of version {version}; this release of glc reads {known}"
    return True


def _digest(image: Image.Image) -> bytes:
    """Tell pixels apart: equal digests mean the same mode, size and values."""
    digest = hashlib.blake2b(f"{image.mode} {image.size} ".encode(), digest_size=16)
    digest.update(image.tobytes())
    return digest.digest()


def _save(image: Image.Image, stream: IO[bytes], filename: str | bytes) -> None:
    """Write an image; Pillow calls this for ``image.save`` and keeps options in ``encoderinfo``.

    Raises:
        OSError: the picture cannot be used, or the model is missing.
        ValueError: quality out of range.
    """
    options: dict[str, Any] = getattr(image, "encoderinfo", {})
    if isinstance(image, GlcImageFile) and not options:
        unchanged = image.unchanged_file()
        if unchanged is not None:
            stream.write(unchanged)
            return
    from glc.arguments import check_quality

    quality = check_quality(options.get("quality", _DEFAULT_QUALITY))
    try:
        picture = _picture(image, options)
        codec = codec_named(options.get("model", _model), _device, quality)
        colors = bool(options.get("mean_colors", False))
        data = codec.encode(picture, quality, keep_metadata=True, mean_colors=colors)
    except GlcError as error:
        raise OSError(f"cannot write {os.fsdecode(filename) or 'picture'}: {error}") from error
    stream.write(data)


def _picture(image: Image.Image, options: dict[str, Any]) -> Picture:
    """Convert an image; only metadata that the options ask for stays."""
    from glc.image import load

    given = {name: options[name] for name in ("exif", "xmp") if options.get(name) is not None}
    if given:
        image = image.copy()
        for name, value in given.items():
            image.info[name] = value.tobytes() if isinstance(value, Image.Exif) else value
    picture = load(image)
    keep = options.get("keep_metadata", False)
    return dataclasses.replace(
        picture,
        exif=picture.exif if keep or "exif" in given else None,
        xmp=picture.xmp if keep or "xmp" in given else None,
    )
