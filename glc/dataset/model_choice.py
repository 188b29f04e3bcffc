"""The model that a dataset is compressed with: known at once, loaded when a picture needs it.

Files that are coded already need no networks, so packing them loads none.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, TypeAlias

from glc.archive.entry import version_of
from glc.bitstream import FORMAT_VERSION, MAGIC, MODEL_BYTES
from glc.weights import checkpoint, manifest, registry

if TYPE_CHECKING:
    from glc.codec import Codec

__all__ = ["Model", "ModelChoice"]

Model: TypeAlias = "str | os.PathLike[str] | Codec | None"


class ModelChoice:
    """One model. Safe to use from several threads.

    Args:
        model: a codec; or the name or path of a model; or None.
        device: where the networks run; a codec knows that itself.
        first: the first file of the source. Where no model is named and this is a .glc file, the
            model is the one that it was made with; else it is the default model of the quality.
        quality: 0 to 100.

    Attributes:
        identity: 32 bytes.
        is_coded: the first file is a .glc file.
        version: of the format, for the files of a new archive: that of the first file if it is a
            .glc file, else the one that is written.

    Raises:
        WeightsError: there is no such model.
    """

    def __init__(self, model: Model, device: str, first: bytes | None, quality: int = 0) -> None:
        self._lock = threading.Lock()
        self._device = device
        self._codec: Codec | None = None
        coded_version = None if first is None else version_of(first)
        self.is_coded = coded_version is not None
        self.version = coded_version or FORMAT_VERSION
        if model is not None and not isinstance(model, (str, os.PathLike)):
            self._codec = model.for_quality(quality)
            self.identity = self._codec.identity
            return
        if model is None and first is not None and self.is_coded:
            start = len(MAGIC)
            info = registry.find(first[start : start + MODEL_BYTES])
            self._path, self.identity = info.path, info.identity
            return
        self._path = registry.locate(None if model is None else os.fspath(model), quality)
        self.identity = manifest.identity_of(self._path.read_bytes())

    @property
    def codec(self) -> Codec:
        """The codec; its first use loads the weights.

        Raises:
            WeightsError: they are malformed.
        """
        with self._lock:
            if self._codec is None:
                from glc.codec import Codec

                self._codec = Codec(checkpoint.load(self._path), device=self._device)
            return self._codec
