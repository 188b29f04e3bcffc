"""The one place where the command line meets the codec.

Tests replace the three functions here, and then need neither weights nor torch. Without torch it
does as well where ``glc.fast`` can be used.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from glc.bitstream import unpack
from glc.errors import GlcError

if TYPE_CHECKING:
    from PIL import Image

    from glc.image import Picture

__all__ = ["CodecLike", "Codecs", "installed_name", "installed_path", "open_codec"]


class CodecLike(Protocol):
    """What the command line needs of ``glc.Codec``."""

    def encode(self, picture: Picture, /, quality: int, *, keep_metadata: bool) -> bytes:
        """Return a .glc file."""

    def encode_to_size(self, picture: Picture, /, max_bytes: int, *, keep_metadata: bool) -> bytes:
        """Return the best .glc file of at most this size."""

    def decode(self, data: bytes, /) -> Image.Image:
        """Return the picture of a .glc file."""

    def verify(self, data: bytes, /) -> None:
        """Raise if a .glc file does not decode to what was encoded."""


def open_codec(model: str | Path | None, device: str) -> CodecLike:
    """Load a model; the default one when ``model`` is None."""
    from glc import fast

    if fast.is_usable(device):
        return fast.FastCodec.from_pretrained(model)
    from glc import Codec

    try:
        codec: CodecLike = Codec.from_pretrained(model, device=device)
    except (RuntimeError, AssertionError) as error:
        if device == "auto":
            raise
        # That is how torch says that a machine has no such device.
        raise ValueError(f"--device {device} cannot be used here: {error}") from error
    return codec


def installed_path(model: bytes) -> Path:
    """Return where the weights are whose identity begins with these bytes."""
    from glc import checkpoint

    path: Path = checkpoint.find(model).path
    return path


@lru_cache
def installed_name(model: bytes) -> str | None:
    """Return what the installed weights of this identity are called; None if there are none."""
    from glc import checkpoint

    try:
        name: str = checkpoint.find(model).name
    except GlcError:
        return None
    return name


class Codecs:
    """Gives the codec for each file, loading every model once; safe to use from several threads.

    Args:
        model: used for every file; None lets each file choose the one that it was made with.
        device: where the networks run.
    """

    def __init__(self, model: str | None, device: str) -> None:
        self._model = model
        self._device = device
        self._lock = threading.Lock()
        self._open: dict[str | Path | None, CodecLike] = {}

    def for_encoding(self) -> CodecLike:
        """Return the chosen or the default codec."""
        return self._get(self._model)

    def for_file(self, data: bytes) -> CodecLike:
        """Return the chosen codec, or the one that this file was made with."""
        if self._model is not None:
            return self._get(self._model)
        return self._get(installed_path(unpack(data).model))

    def _get(self, model: str | Path | None) -> CodecLike:
        with self._lock:
            if model not in self._open:
                self._open[model] = open_codec(model, self._device)
            return self._open[model]
