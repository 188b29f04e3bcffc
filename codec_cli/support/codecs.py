"""The one place where the command line meets the codec.

Tests replace the three functions here, and then need neither weights nor networks.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from codec_cli.support.faults import is_shortage
from glc.bitstream import Limits, unpack, unpack_prefix
from glc.errors import GlcError
from glc.tiling.progress import Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from glc.coding.partial import PartialPicture
    from glc.image import Picture

__all__ = [
    "CodecLike",
    "Codecs",
    "installed_name",
    "installed_path",
    "no_device",
    "open_codec",
]


class CodecLike(Protocol):
    """What the command line needs of ``glc.Codec``."""

    limits: Limits
    tile: int | None

    def encode(
        self,
        picture: Picture,
        /,
        quality: int,
        *,
        keep_metadata: bool,
        progress: Progress | None = None,
        effort: int = 0,
        mean_colors: bool = False,
    ) -> bytes:
        """Return a .glc file."""

    def encode_to_size(
        self,
        picture: Picture,
        /,
        max_bytes: int,
        *,
        keep_metadata: bool,
        progress: Progress | None = None,
        effort: int = 0,
        mean_colors: bool = False,
    ) -> bytes:
        """Return the best .glc file of at most this size."""

    def decode(
        self, data: bytes, /, realism: int | None = None, progress: Progress | None = None
    ) -> Image.Image:
        """Return the picture of a .glc file."""

    def verify(self, data: bytes, /, progress: Progress | None = None) -> None:
        """Raise if a .glc file does not decode to what was encoded."""

    @property
    def takes_realism(self) -> bool:
        """Say whether a realism changes what is shown."""

    def preview(self, data: bytes, /, realism: int | None) -> Image.Image:
        """Return what the first bytes of a .glc file show."""

    def decode_partial(self, data: bytes, /, realism: int | None) -> PartialPicture:
        """Return what has arrived of a .glc file."""

    def bit_map(self, picture: Picture | bytes, /, quality: int) -> NDArray[np.float64]:
        """Return the bits of every square of 16 x 16 pixels of a picture or a .glc file."""

    def sample(
        self,
        count: int,
        size: tuple[int, int],
        quality: int,
        seed: int,
        temperature: float,
        prior: str,
    ) -> list[Image.Image]:
        """Return pictures drawn from the model."""


def open_codec(model: str | Path | None, device: str, precision: str = "float32") -> CodecLike:
    """Load a model; the default one when ``model`` is None.

    Raises:
        ValueError: the device or the precision cannot be used here.
        WeightsError: as ``glc.Codec.from_pretrained``.
    """
    from glc import Codec

    try:
        codec: CodecLike = Codec.from_pretrained(model, device=device, precision=precision)
    except (RuntimeError, AssertionError) as error:
        if device in ("auto", "cpu") or is_shortage(error):
            raise
        # That is how torch says that a machine has no such device, in many words.
        raise ValueError(no_device(device)) from error
    return codec


def no_device(device: str) -> str:
    """Say that a machine does not have what ``--device`` asks for."""
    return f"--device {device}: torch finds none on this machine; use --device cpu, or auto"


def installed_path(model: bytes) -> Path:
    """Return where the weights are whose identity begins with these bytes."""
    from glc.weights import registry

    path: Path = registry.find(model).path
    return path


@lru_cache
def installed_name(model: bytes) -> str | None:
    """Return what the installed weights of this identity are called; None if there are none."""
    from glc.weights import registry

    try:
        name: str = registry.find(model).name
    except GlcError:
        return None
    return name


class Codecs:
    """Gives the codec for each file, loading every model once; safe to use from several threads.

    Args:
        model: used for every file; None lets each file choose the one that it was made with.
        device: where the networks run.
        limits: what to accept of files.
        tile: into what tiles large pictures are cut.
        precision: in which D computes.
        realism: how pictures are shown, 0 to 100; None is the default.
    """

    def __init__(
        self,
        model: str | None,
        device: str,
        limits: Limits | None = None,
        tile: int | None = None,
        precision: str = "float32",
        realism: int | None = None,
    ) -> None:
        self._tile, self._precision = tile, precision
        self.realism, self._has_said = realism, False
        self._limits = limits or Limits()
        self._model = model
        self._device = device
        self._lock = threading.Lock()
        self._open: dict[str | Path | None, CodecLike] = {}

    def for_model(self) -> CodecLike:
        """Return the chosen or the default codec."""
        return self._get(self._model)

    def for_file(self, data: bytes) -> CodecLike:
        """Return the chosen codec, or the one that this file was made with."""
        if self._model is not None:
            return self._get(self._model)
        return self._get(installed_path(unpack(data, self._limits).model))

    def for_part(self, data: bytes) -> CodecLike:
        """Return the codec as ``for_file`` does, for a file that may have been cut off."""
        if self._model is not None:
            return self._get(self._model)
        return self._get(installed_path(unpack_prefix(data, self._limits).header.model))

    def realism_notice(self, codec: CodecLike) -> tuple[str, ...]:
        """Return once, and only if a realism was asked for, that a model takes none."""
        with self._lock:
            if self.realism is None or self._has_said or codec.takes_realism:
                return ()
            self._has_said = True
        return ("its model takes no realism, so --realism changes nothing",)

    def _get(self, model: str | Path | None) -> CodecLike:
        with self._lock:
            if model not in self._open:
                codec = open_codec(model, self._device, self._precision)
                codec.limits, codec.tile = self._limits, self._tile
                self._open[model] = codec
            return self._open[model]
