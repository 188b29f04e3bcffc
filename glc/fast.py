"""The codec without torch: ``FastCodec`` starts in a third of the time and needs a CPU only.

Same files, same symbols, same interface as ``glc.Codec`` for single pictures; pixels may differ
by the rounding of floats. Needs the extra ``fast`` (ONNX Runtime).
"""

from __future__ import annotations

import os
import platform
import sys
from ctypes.util import find_library
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from glc import assembly, checkpoint, image, large
from glc.bitstream import FORMAT_VERSION, Container, Limits
from glc.config import IMAGE_STRIDE, LATENT_STRIDE
from glc.entropy import IndexTables, RangeDecoder, ScaleTables
from glc.errors import WeightsError
from glc.onnx.model import OnnxModel
from glc.tiled import to_symbols
from glc.tiles import Tiling
from glc.versions import order_of

if TYPE_CHECKING:
    from PIL import Image

    from glc.checkpoint import Checkpoint
    from glc.codec import Codec
    from glc.preview import PartialPicture

__all__ = ["PRECISIONS", "FastCodec", "is_usable"]

Source: TypeAlias = "image.Picture | Image.Image | str | os.PathLike[str] | NDArray[Any]"

_Floats: TypeAlias = "NDArray[np.float32]"


FLOAT32, INT8 = PRECISIONS = ("float32", "int8")

RUNTIME_VARIABLE = "GLC_RUNTIME"
"""Environment variable: ``torch`` makes the command line use torch always."""


def is_usable(device: str = "auto") -> bool:
    """Say whether ``FastCodec`` may take the place of ``Codec`` on this device.

    Imports nothing: ``auto`` counts as a CPU unless the system has signs of an accelerator, which
    only torch can look at. GLC_RUNTIME=torch in the environment says no.
    """
    if os.environ.get(RUNTIME_VARIABLE) == "torch" or find_spec("onnxruntime") is None:
        return False
    return device == "cpu" or (device == "auto" and not _may_have_accelerator())


class FastCodec:
    """One model, ready to encode and decode single pictures on a CPU; see ``glc.Codec``.

    Safe to use from several threads at once, and in forked processes. Uses as many threads as
    OMP_NUM_THREADS says, or as there are processors. What has nothing to do with encoding and
    decoding whole files is handed to a ``Codec`` of the same weights, which loads torch.

    Attributes:
        identity: 32 bytes, SHA-256 of the weights file.
        name: of the model.
        limits: what ``decode`` accepts.
        tile: as of ``Codec``: large pictures are worked on in tiles.
        precision: ``float32``, or ``int8`` for two thirds of D's multiplications: decoding is
            faster, and pixels differ by more than rounding (docs/performance.md). Encoding and the
            symbols of a file are the same in both.
    """

    def __init__(
        self, weights: Checkpoint, tile: int | None = None, precision: str = FLOAT32
    ) -> None:
        if precision not in PRECISIONS:
            raise ValueError(f"precision: expected one of {PRECISIONS}, found {precision!r}")
        if precision == INT8 and weights.ranges is None:
            raise WeightsError(
                f"model {weights.name} cannot be run in {INT8}: its weights file has no ranges"
            )
        self.precision = precision
        self.identity, self.name = weights.identity, weights.name
        self.limits = Limits()
        self.tile = Tiling(tile).side
        self._weights = weights
        given = dict(weights.tensors)
        self._scales = ScaleTables.from_arrays(_take(given, "tables.scale."))
        self._indices = IndexTables.from_arrays(_take(given, "tables.index."))
        shape = weights.config.quality_anchors, weights.config.hyper_size
        if self._indices.frequencies.shape != shape:
            raise WeightsError(f"weights: tables.index.frequencies: expected shape {shape}")
        self._model = OnnxModel(
            weights.config, given, weights.ranges if precision == INT8 else None
        )

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str] | None = None,
        tile: int | None = None,
        precision: str = FLOAT32,
    ) -> FastCodec:
        """Load an installed model by name, any model by path, or the default one.

        Args:
            name_or_path: as listed by ``glc models``, or a ``.safetensors`` file.
            tile: see the class.
            precision: see the class.

        Raises:
            ValueError: no such precision.
            WeightsError: missing or malformed weights, or weights that know no ranges for int8.
        """
        wanted = None if name_or_path is None else os.fspath(name_or_path)
        return cls(checkpoint.load(checkpoint.locate(wanted)), tile, precision)

    def encode(self, picture: Source, quality: int = 50, keep_metadata: bool = False) -> bytes:
        """Compress a picture: see ``Codec.encode``; tensors are not taken."""
        quality = assembly.check_quality(quality)
        loaded, tiling = _load(picture), Tiling(self.tile)
        l = self._latent(loaded, tiling.within(0.0, 0.5))
        return self._code(loaded, l, quality, keep_metadata, tiling.within(0.5, 1.0))

    def encode_to_size(self, picture: Source, max_bytes: int, keep_metadata: bool = False) -> bytes:
        """Compress with the highest quality whose file has at most ``max_bytes`` bytes.

        Raises:
            ValueError: the file is larger even at quality 0, or ``max_bytes`` is no size.
        """
        max_bytes = assembly.check_size(max_bytes)
        loaded, tiling = _load(picture), Tiling(self.tile)
        # A search among 101 qualities tries at most seven.
        shares = (tiling.share(number, 1, 8) for number in range(8))
        l = self._latent(loaded, next(shares))
        return assembly.best_fit(
            lambda quality: self._code(loaded, l, quality, keep_metadata, next(shares)), max_bytes
        )

    @property
    def takes_realism(self) -> bool:
        """Say whether a realism changes what this model shows: see ``Codec.takes_realism``."""
        return self._model.config.linear

    def decode(self, data: bytes, realism: int | None = None) -> Image.Image:
        """Decompress a ``.glc`` file made with this model: see ``Codec.decode``."""
        shown = assembly.check_realism(realism)
        container = assembly.open_file(data, self.limits, self.identity, self.name)
        tiling, size = Tiling(self.tile), (container.height, container.width)
        if side := tiling.side_for(*size):
            integers = self._read_integers(container, side, tiling.within(0.0, 0.25))
            tiles = large.tiles_of(self._model, container, side)
            y_hat = tiles.y_hat(*integers, tiling.within(0.25, 0.5).progress)
            own = tiling.within(0.5, 1.0).progress
            pixels = large.synthesise(self._model, y_hat, container.quality, shown, size, side, own)
        else:
            y_hat = self._read_symbols(container)
            pixels = self._model.pixels(y_hat, container.quality, shown)[0]
        return assembly.finish(container, pixels)

    def verify(self, data: bytes) -> None:
        """Decode the symbols of a file and compare its checksum, without making pixels.

        Raises:
            GlcError: as ``decode``.
        """
        container = assembly.open_file(data, self.limits, self.identity, self.name)
        tiling = Tiling(self.tile)
        if side := tiling.side_for(container.height, container.width):
            self._read_integers(container, side, tiling)
        else:
            self._read_symbols(container)
        assembly.alpha_of(container)

    def preview(self, data: bytes, realism: int | None = None) -> Image.Image:
        """Show what the hyper-latent alone says, with torch: see ``Codec.preview``."""
        return self._whole.preview(data, realism)

    def decode_partial(self, data: bytes, realism: int | None = None) -> PartialPicture:
        """Decode what has arrived of a file, with torch: see ``Codec.decode_partial``."""
        return self._whole.decode_partial(data, realism)

    def bit_map(self, picture: Source | bytes, quality: int = 50) -> NDArray[np.float64]:
        """Return where the bits are spent, with torch: see ``Codec.bit_map``."""
        return self._whole.bit_map(picture, quality)

    def sample(
        self,
        count: int = 1,
        size: tuple[int, int] = (256, 256),
        quality: int = 50,
        seed: int = 0,
        temperature: float = 1.0,
        prior: str = "learned",
    ) -> list[Image.Image]:
        """Draw pictures, with torch: see ``Codec.sample``."""
        return self._whole.sample(count, size, quality, seed, temperature, prior)

    @property
    def _whole(self) -> Codec:
        """The codec for what is not worth a second way to do it."""
        self._with_torch.limits, self._with_torch.tile = self.limits, self.tile
        return self._with_torch

    @cached_property
    def _with_torch(self) -> Codec:
        from glc.codec import Codec

        return Codec(self._weights, "cpu")

    def _latent(self, picture: image.Picture, tiling: Tiling) -> _Floats:
        if side := tiling.side_for(picture.height, picture.width):
            return large.analyse(self._model, picture, side, tiling.progress)
        size = assembly.padded(picture.height, picture.width)
        l: _Floats = self._model.encoder(assembly.pad(picture.rgb, *size)[None])
        return l

    def _code(
        self,
        picture: image.Picture,
        l: _Floats,
        quality: int,
        keep_metadata: bool,
        tiling: Tiling,
    ) -> bytes:
        """Quantise and code a latent, (1, C_l, h, w)."""
        if side := tiling.side_for(picture.height, picture.width):
            indices, message, everything = large.quantise(
                self._model, picture, l, quality, side, tiling.progress
            )
        else:
            indices, message, everything = self._quantise(picture, l, quality)
        tables = self._scales, self._indices
        bank = assembly.bank_of(quality, self._model.config.quality_anchors)
        payload = large.write(tables, indices, message, bank, order_of(FORMAT_VERSION))
        symbols = assembly.canonical(indices, everything)
        return assembly.to_file(picture, quality, keep_metadata, self.identity, payload, symbols)

    def _quantise(
        self, picture: image.Picture, l: _Floats, quality: int
    ) -> tuple[large.Integers, list[large.Message], large.Integers]:
        """Do as ``glc.large.quantise``, in one piece."""
        y = self._model.analysis(l, quality)
        indices = self._model.hyper_analysis(y, quality)
        message: list[large.Message] = []
        inside = _inside(picture.height, picture.width, y.shape)
        everything = np.zeros(y.shape, np.int32)

        def exchange(
            step: int,
            mean: _Floats,
            quant_step: _Floats,
            rows: NDArray[np.uint8],
            mask: NDArray[np.bool_],
        ) -> _Floats:
            coded = mask & inside
            symbols = to_symbols((y - mean) / quant_step, self._model.config.rounding)
            chosen = np.where(coded & (rows > 0), symbols, 0).astype(np.int32)
            everything[...] += chosen
            message.append((rows[coded], chosen[coded]))
            return chosen.astype(np.float32)

        self._model.code_symbols(self._model.to_digits(indices), quality, exchange)
        return indices[0], message, everything[0]

    def _read_integers(
        self, container: Container, side: int, tiling: Tiling
    ) -> tuple[large.Integers, large.Integers]:
        """Decode a payload in tiles: see ``glc.large.read``."""
        tables = self._scales, self._indices
        return large.read(self._model, tables, container, self.identity, side, tiling.progress)

    def _read_symbols(self, container: Container) -> _Floats:
        """Decode a payload: y_hat (1, C_y, h, w), its checksum compared.

        Raises:
            CorruptError: it cannot be decoded, or decodes to something else.
        """
        height, width = assembly.padded(container.height, container.width)
        shape = 1, height // IMAGE_STRIDE, width // IMAGE_STRIDE
        decoder = RangeDecoder(container.payload)
        config = self._model.config
        bank = assembly.bank_of(container.quality, config.quality_anchors)
        indices = self._indices.decode(decoder, shape[1] * shape[2], bank).reshape(shape)
        whole = 1, config.y_channels, height // LATENT_STRIDE, width // LATENT_STRIDE
        inside = _inside(container.height, container.width, whole)
        everything = np.zeros(whole, np.int32)

        def exchange(
            step: int,
            mean: _Floats,
            quant_step: _Floats,
            rows: NDArray[np.uint8],
            mask: NDArray[np.bool_],
        ) -> _Floats:
            coded = mask & inside
            symbols = np.zeros(whole, np.float32)
            symbols[coded] = self._scales.decode(decoder, rows[coded], order_of(container.version))
            everything[coded] = symbols[coded]
            return symbols

        digits = self._model.to_digits(indices)
        y_hat = self._model.code_symbols(digits, container.quality, exchange)
        assembly.check_symbols(container, self.identity, assembly.canonical(indices, everything))
        return y_hat


def _load(source: Source) -> image.Picture:
    if isinstance(source, image.Picture):
        return source
    return image.from_array(source) if isinstance(source, np.ndarray) else image.load(source)


def _inside(height: int, width: int, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Positions of y that touch the picture: (1, 1, h, w); the others are never coded."""
    mask = np.zeros((1, 1, *shape[2:]), np.bool_)
    mask[..., : -(-height // LATENT_STRIDE), : -(-width // LATENT_STRIDE)] = True
    return mask


def _take(arrays: dict[str, NDArray[np.generic]], prefix: str) -> dict[str, NDArray[np.generic]]:
    """Remove the entries under a prefix and return them without it."""
    names = [name for name in arrays if name.startswith(prefix)]
    return {name[len(prefix) :]: arrays.pop(name) for name in names}


def _may_have_accelerator() -> bool:
    """Say whether torch could find a GPU here, from signs that cost nothing to look at."""
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    if sys.platform == "win32":
        return find_library("nvcuda") is not None
    # The drivers of NVIDIA, of NVIDIA inside a Windows subsystem, and of AMD.
    return any(Path(sign).exists() for sign in ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd"))
