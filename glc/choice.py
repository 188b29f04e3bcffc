"""Several models at once: tries all of them on a picture and keeps the smallest file.

"Smallest" is asked at equal measured distortion, never at an equal quality number: the same number
means another picture from another model. Knows models only as ``Codec``s.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glc import assembly, checkpoint, image, inputs
from glc.bitstream import MODEL_BYTES, Limits, unpack
from glc.codec import Codec
from glc.errors import WeightsError
from glc.inputs import Source
from glc.structure import structural_distance

__all__ = ["Choice", "ModelChoice"]

Distance: TypeAlias = Callable[[NDArray[np.uint8], NDArray[np.uint8]], float]
"""Of two pictures, (H, W, 3) uint8 each; lower is more alike."""


@dataclass(frozen=True)
class Choice:
    """A file, and what it was chosen by."""

    data: bytes
    model: str
    """Name of the model that made it."""
    quality: int
    """That it was made with: what reaches the distance, not what was asked for."""
    distance: float
    """Of the decoded picture from the original."""


class ModelChoice:
    """Encodes with whichever of several models does it best, and decodes what any of them made.

    Args:
        codecs: the first one says what a quality means: at the quality that is asked for, its
            decoded picture is what the others must equal.
        distance: by which pictures are compared; one that is not a number decides nothing. The
            default needs no package beyond those of the library, and is careful: it seldom prefers
            another model. LPIPS is the better judge (docs/latent-experience.md).

    Raises:
        ValueError: no codec was given.
    """

    def __init__(self, codecs: Sequence[Codec], distance: Distance = structural_distance) -> None:
        if not codecs:
            raise ValueError("codecs: expected one or more, found none")
        self._codecs, self._distance = list(codecs), distance

    @classmethod
    def installed(
        cls, device: str = "auto", distance: Distance = structural_distance
    ) -> ModelChoice:
        """Load all installed models, the default one first.

        Raises:
            WeightsError: none is installed, or one of them is malformed.
        """
        models = checkpoint.installed()
        if not models:
            checkpoint.locate(None)
        codecs = [Codec(checkpoint.load(info.path), device=device) for info in models]
        return cls(codecs, distance)

    @property
    def limits(self) -> Limits:
        """What ``decode`` accepts."""
        return self._codecs[0].limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        for codec in self._codecs:
            codec.limits = limits

    @property
    def tile(self) -> int | None:
        """Into what tiles large pictures are cut: see ``Codec``."""
        return self._codecs[0].tile

    @tile.setter
    def tile(self, tile: int | None) -> None:
        for codec in self._codecs:
            codec.tile = tile

    def encode(self, picture: Source, quality: int = 50, keep_metadata: bool = False) -> bytes:
        """Return the file of ``choose``."""
        return self.choose(picture, quality, keep_metadata).data

    def choose(self, picture: Source, quality: int = 50, keep_metadata: bool = False) -> Choice:
        """Return the smallest file whose picture is as much like the original as the first codec's.

        Costs one encoding and one decoding for the first codec. Each other one codes its latents
        seven times in search of the best quality in a smaller file and decodes that once; only if
        it is good enough, up to six more encodings and decodings find its smallest file.

        Args:
            picture: as in ``Codec.encode``.
            quality: 0 to 100, in the sense of the first codec.
            keep_metadata: store EXIF and XMP.
        """
        loaded = inputs.load(picture)
        first = self._codecs[0]
        best = self._measured(first, loaded, first.encode(loaded, quality, keep_metadata))
        wanted = best.distance
        if math.isnan(wanted):
            return best
        for codec in self._codecs[1:]:
            found = self._smaller(codec, loaded, len(best.data), wanted, keep_metadata)
            best = found or best
        return best

    def encode_to_size(self, picture: Source, max_bytes: int, keep_metadata: bool = False) -> bytes:
        """Return, of every codec's best file of at most ``max_bytes``, that most like the original.

        Raises:
            ValueError: no codec makes so small a file.
        """
        max_bytes, loaded = assembly.check_size(max_bytes), inputs.load(picture)
        found: list[Choice] = []
        refusal = ""
        for codec in self._codecs:
            try:
                data = codec.encode_to_size(loaded, max_bytes, keep_metadata)
            except ValueError as error:
                refusal = refusal or str(error)
                continue
            found.append(self._measured(codec, loaded, data))
        if not found:
            raise ValueError(refusal)
        return min(found, key=lambda c: math.inf if math.isnan(c.distance) else c.distance).data

    def decode(self, data: bytes, realism: int | None = None) -> Image.Image:
        """Decompress a file made with any of the models: see ``Codec.decode``."""
        return self._codec_of(data).decode(data, realism)

    def verify(self, data: bytes) -> None:
        """Verify a file made with any of the models; errors as those of ``Codec.verify``."""
        self._codec_of(data).verify(data)

    def _codec_of(self, data: bytes) -> Codec:
        model = unpack(data).model
        for codec in self._codecs:
            if codec.identity[:MODEL_BYTES] == model:
                return codec
        names = ", ".join(codec.name for codec in self._codecs)
        raise WeightsError(f"the file was made with model {model.hex()}; these are {names}")

    def _measured(self, codec: Codec, picture: image.Picture, data: bytes) -> Choice:
        decoded = np.asarray(codec.decode(data).convert("RGB"))
        distance = self._distance(picture.rgb, decoded)
        return Choice(data, codec.name, unpack(data).quality, distance)

    def _smaller(
        self, codec: Codec, picture: image.Picture, size: int, wanted: float, keep_metadata: bool
    ) -> Choice | None:
        """Return a codec's smallest file below ``size`` that is alike enough, or None."""
        try:
            data = codec.encode_to_size(picture, size - 1, keep_metadata)
        except ValueError:
            return None
        best = self._measured(codec, picture, data)
        if not best.distance <= wanted:
            return None
        low, high = 0, best.quality - 1
        while low <= high:
            quality = (low + high) // 2
            data = codec.encode(picture, quality, keep_metadata)
            tried = self._measured(codec, picture, data)
            if tried.distance <= wanted:
                best, high = tried, quality - 1
            else:
                low = quality + 1
        return best
