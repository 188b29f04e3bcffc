"""The codec: pictures to bytes and back. The only place where bytes, integers and networks meet.

``Codec.encode`` and ``Codec.decode`` are the library. What the payload holds, and in which order,
is specified in bitstream/FORMAT.md, section 7.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from glc import assembly, checkpoint, image
from glc.assembly import canonical as _canonical
from glc.assembly import padded as _padded
from glc.bitstream import Container, Limits, unpack
from glc.config import IMAGE_STRIDE, LATENT_STRIDE
from glc.entropy import IndexTables, RangeDecoder, RangeEncoder, ScaleTables
from glc.errors import WeightsError
from glc.networks.model import GlcModel
from glc.quantize import to_symbols

if TYPE_CHECKING:
    from glc.checkpoint import Checkpoint, ModelInfo

__all__ = ["Codec"]

Source: TypeAlias = "image.Picture | Image.Image | str | os.PathLike[str] | NDArray[Any] | Tensor"

_Array = TypeVar("_Array")
_Message: TypeAlias = "tuple[NDArray[np.int32], NDArray[np.int32]]"
"""Rows and symbols of one step, in coding order."""

_TABLES = "tables."
_SCALE_MAP = "scale_map."
_UNUSED = "num_batches_tracked"
"""Batch norm's counter; only training looks at it."""


class Codec:
    """One model, ready to encode and decode.

    Safe to use from several threads at once. Encoding is deterministic: the same picture, quality
    and machine give the same bytes; and whatever machine decodes them reads the same symbols.

    Attributes:
        identity: 32 bytes, SHA-256 of the weights file.
        name: of the model.
        limits: what ``decode`` accepts.
    """

    def __init__(self, weights: Checkpoint, device: str = "auto") -> None:
        self.identity, self.name = weights.identity, weights.name
        self.limits = Limits()
        self.device = torch.device(pick_device(device))
        self._model, self._scales, self._indices = _build(weights)
        self._model.to(self.device)

    @classmethod
    def from_pretrained(
        cls, name_or_path: str | os.PathLike[str] | None = None, device: str = "auto"
    ) -> Codec:
        """Load an installed model by name, any model by path, or the default one.

        Args:
            name_or_path: as listed by ``glc models``, or a ``.safetensors`` file.
            device: auto, cpu, cuda, cuda:1, mps; auto takes a GPU if there is one.

        Raises:
            WeightsError: missing or malformed weights.
        """
        wanted = None if name_or_path is None else os.fspath(name_or_path)
        return cls(checkpoint.load(checkpoint.locate(wanted)), device)

    @classmethod
    def for_file(cls, data: bytes, device: str = "auto") -> Codec:
        """Load the installed model that a ``.glc`` file was made with.

        Raises:
            BitstreamError: not a readable ``.glc`` file.
            WeightsError: its model is not installed.
        """
        info: ModelInfo = checkpoint.find(unpack(data).model)
        return cls(checkpoint.load(info.path), device)

    def encode(self, picture: Source, quality: int = 50, keep_metadata: bool = False) -> bytes:
        """Compress a picture.

        Args:
            picture: a PIL image, a path, uint8 arrays (H, W), (H, W, 3), (H, W, 4), or a tensor
                (3, H, W) or (1, H, W), uint8 or float in [0, 1]. Rules for modes, alpha,
                orientation and profiles: ``glc.image``.
            quality: 0 to 100; higher is better and larger.
            keep_metadata: store EXIF and XMP.

        Returns:
            The bytes of a ``.glc`` file.

        Raises:
            ImageError: the picture cannot be read.
            ValueError: quality out of range, or an array of the wrong kind.
        """
        return self.encode_batch([picture], quality, keep_metadata)[0]

    def encode_batch(
        self, pictures: Iterable[Source], quality: int = 50, keep_metadata: bool = False
    ) -> list[bytes]:
        """Compress several pictures of any sizes; those of one padded size run as one batch.

        A batch may round differently from single pictures, so its bytes may differ from those of
        ``encode``; they decode to the same symbols everywhere, as all files do.

        Returns:
            One file per picture, in order.
        """
        assembly.check_quality(quality)
        loaded = [_load(picture) for picture in pictures]
        files: list[bytes] = [b""] * len(loaded)
        for members in _group(loaded):
            latents = self.analyse([loaded[index] for index in members])
            for index, payload in zip(
                members, self._code([loaded[i] for i in members], latents, quality), strict=True
            ):
                files[index] = self._pack(loaded[index], quality, keep_metadata, *payload)
        return files

    def encode_to_size(self, picture: Source, max_bytes: int, keep_metadata: bool = False) -> bytes:
        """Compress with the highest quality whose file has at most ``max_bytes`` bytes.

        Raises:
            ValueError: the file is larger even at quality 0.
        """
        loaded = _load(picture)
        latents = self.analyse([loaded])

        def code(quality: int) -> bytes:
            ((payload, symbols),) = self._code([loaded], latents, quality)
            return self._pack(loaded, quality, keep_metadata, payload, symbols)

        return assembly.best_fit(code, max_bytes)

    def decode(self, data: bytes) -> Image.Image:
        """Decompress a ``.glc`` file made with this model.

        Returns:
            An image of mode RGB, L, RGBA or LA, as the original had it.

        Raises:
            BitstreamError: the file is damaged, or not a ``.glc`` file.
            WeightsError: the file was made with another model.
        """
        return self.decode_batch([data])[0]

    def decode_batch(self, files: Sequence[bytes]) -> list[Image.Image]:
        """Decompress several files of any sizes; those of one padded size run as one batch."""
        containers = [self._open(data) for data in files]
        pictures: dict[int, Image.Image] = {}
        for members, y_hat in self._decode_symbols(containers):
            x_hat = self._synthesise(y_hat, containers[members[0]].quality)
            for index, pixels in zip(members, x_hat, strict=True):
                pictures[index] = assembly.finish(containers[index], pixels)
        return [pictures[index] for index in range(len(files))]

    def verify(self, data: bytes) -> None:
        """Decode the symbols of a file and compare its checksum, without making pixels.

        Raises:
            GlcError: as ``decode``.
        """
        self.verify_batch([data])

    def verify_batch(self, files: Sequence[bytes]) -> None:
        """Verify several files of any sizes, batched as in ``decode_batch``."""
        containers = [self._open(data) for data in files]
        for members, _ in self._decode_symbols(containers):
            for index in members:
                assembly.alpha_of(containers[index])

    def _decode_symbols(self, containers: list[Container]) -> Iterator[tuple[list[int], Tensor]]:
        """Yield the members of each batch, as positions in ``containers``, and their y_hat."""
        groups: OrderedDict[tuple[int, int, int], list[int]] = OrderedDict()
        for index, container in enumerate(containers):
            key = (*_padded(container.height, container.width), container.quality)
            groups.setdefault(key, []).append(index)
        for members in groups.values():
            yield members, self._read_symbols([containers[index] for index in members])

    def bits(self, picture: Source, quality: int = 50) -> float:
        """Return the bits that the model itself expects for a picture: z and y, no container."""
        loaded = _load(picture)
        indices, messages, _ = self.quantise([loaded], self.analyse([loaded]), quality)
        total = float(self._indices.bits(indices.ravel(), self.bank(quality)).sum())
        return total + sum(float(self._scales.bits(s, rows).sum()) for rows, s in messages[0])

    def _open(self, data: bytes) -> Container:
        return assembly.open_file(data, self.limits, self.identity, self.name)

    @property
    def hyper_size(self) -> int:
        """Number of different z indices."""
        return self._model.config.hyper_size

    def bank(self, quality: int) -> int:
        """Return the z table of a quality: that of the nearest anchor, the higher one of two."""
        return assembly.bank_of(quality, self._model.config.quality_anchors)

    @torch.inference_mode()
    def analyse(self, pictures: list[image.Picture]) -> Tensor:
        """Return the latent l of pictures of one padded size: (B, C_l, h, w) float32."""
        height, width = _padded(pictures[0].height, pictures[0].width)
        batch = np.stack([assembly.pad(picture.rgb, height, width) for picture in pictures])
        x = torch.from_numpy(batch).to(self.device).permute(0, 3, 1, 2)
        l: Tensor = self._model.encoder(x.float() / 127.5 - 1.0)
        return l

    @torch.inference_mode()
    def quantise(
        self, pictures: list[image.Picture], latents: Tensor, quality: int
    ) -> tuple[NDArray[np.int32], list[list[_Message]], NDArray[np.int32]]:
        """Turn latents into the integers that are coded.

        Args:
            pictures: whose latents these are; positions outside of them are not coded.
            latents: as ``analyse`` returns them.
            quality: 0 to 100.

        Returns:
            Indices of z (B, h / 4, w / 4); for every picture the rows and symbols of each step in
            coding order; and all symbols, (B, C_y, h, w).
        """
        model = self._model
        levels = torch.full((len(pictures),), quality, device=self.device)
        y = model.analysis(latents, levels)
        indices = model.hyper_codebook.to_indices(model.hyper_codebook(model.hyper_analysis(y)))
        digits = model.hyper_codebook.to_digits(indices)
        inside = _inside([(p.height, p.width) for p in pictures], y.shape).to(self.device)
        messages: list[list[_Message]] = [[] for _ in pictures]
        everything = np.zeros(y.shape, np.int32)

        def exchange(
            step: int, mean: Tensor, quant_step: Tensor, rows: Tensor, mask: Tensor
        ) -> Tensor:
            coded = mask & inside
            symbols = to_symbols(y, mean, quant_step, rows, coded)
            chosen, where = symbols.cpu().numpy().astype(np.int32), coded.cpu().numpy()
            tables = rows.cpu().numpy().astype(np.int32)
            everything[...] += chosen
            for index, message in enumerate(messages):
                message.append((tables[index][where[index]], chosen[index][where[index]]))
            return symbols

        model.code_symbols(digits, levels, exchange)
        return indices.cpu().numpy().astype(np.int32), messages, everything

    def _code(
        self, pictures: list[image.Picture], latents: Tensor, quality: int
    ) -> list[tuple[bytes, bytes]]:
        """Return (payload, canonical symbol bytes) of every picture."""
        indices, messages, symbols = self.quantise(pictures, latents, quality)
        coded = []
        for index, message in enumerate(messages):
            encoder = RangeEncoder()
            self._indices.encode(encoder, indices[index].ravel(), self.bank(quality))
            for rows, values in message:
                self._scales.encode(encoder, values, rows)
            coded.append((encoder.to_bytes(), _canonical(indices[index], symbols[index])))
        return coded

    def _pack(
        self,
        picture: image.Picture,
        quality: int,
        keep_metadata: bool,
        payload: bytes,
        symbols: bytes,
    ) -> bytes:
        return assembly.to_file(picture, quality, keep_metadata, self.identity, payload, symbols)

    @torch.inference_mode()
    def _read_symbols(self, containers: list[Container]) -> Tensor:
        """Decode payloads of one padded size and quality: y_hat (B, C_y, h, w), checksums checked.

        Raises:
            CorruptError: a payload cannot be decoded, or decodes to something else.
        """
        model, quality = self._model, containers[0].quality
        height, width = _padded(containers[0].height, containers[0].width)
        rows_z, columns_z = height // IMAGE_STRIDE, width // IMAGE_STRIDE
        decoders = [RangeDecoder(container.payload) for container in containers]
        bank = self.bank(quality)
        flat = [self._indices.decode(decoder, rows_z * columns_z, bank) for decoder in decoders]
        indices = np.stack(flat).reshape(-1, rows_z, columns_z)
        digits = model.hyper_codebook.to_digits(torch.from_numpy(indices).long().to(self.device))
        levels = torch.full((len(containers),), quality, device=self.device)
        shape = (
            len(containers),
            model.config.y_channels,
            height // LATENT_STRIDE,
            width // LATENT_STRIDE,
        )
        everything = np.zeros(shape, np.int32)
        inside = _inside([(c.height, c.width) for c in containers], torch.Size(shape)).numpy()

        def exchange(
            step: int, mean: Tensor, quant_step: Tensor, rows: Tensor, mask: Tensor
        ) -> Tensor:
            where = mask.cpu().numpy() & inside
            tables = rows.cpu().numpy().astype(np.int32)
            symbols = np.zeros(shape, np.int32)
            for index, decoder in enumerate(decoders):
                chosen = where[index]
                symbols[index][chosen] = self._scales.decode(decoder, tables[index][chosen])
            everything[...] += symbols
            return torch.from_numpy(symbols).float().to(self.device)

        y_hat = model.code_symbols(digits, levels, exchange)
        for index, container in enumerate(containers):
            symbols = _canonical(indices[index], everything[index])
            assembly.check_symbols(container, self.identity, symbols)
        return y_hat

    @torch.inference_mode()
    def _synthesise(self, y_hat: Tensor, quality: int) -> NDArray[np.uint8]:
        """y_hat (B, C_y, h, w) -> (B, 16h, 16w, 3) uint8."""
        levels = torch.full((len(y_hat),), quality, device=self.device)
        x_hat = self._model.decoder(self._model.synthesis(y_hat, levels))
        pixels = ((x_hat.clamp(-1.0, 1.0) + 1.0) * 127.5).round().to(torch.uint8)
        array: NDArray[np.uint8] = pixels.permute(0, 2, 3, 1).cpu().numpy()
        return array


def model_tensors(
    model: GlcModel, scales: ScaleTables, indices: IndexTables
) -> dict[str, NDArray[np.generic]]:
    """Return everything that a weights file holds: floats as float16, the rest as integers."""
    tensors: dict[str, NDArray[np.generic]] = {}
    for name, value in model.state_dict().items():
        if not name.startswith(_SCALE_MAP) and not name.endswith(_UNUSED):
            tensors[name] = value.detach().float().cpu().numpy().astype(np.float16)
    for name, value in model.scale_map.integers().items():
        kind = np.int8 if value.abs().max() <= 127 else np.int32
        tensors[_SCALE_MAP + name] = value.cpu().numpy().astype(kind)
    for name, array in scales.to_arrays().items():
        tensors[f"{_TABLES}scale.{name}"] = array
    for name, array in indices.to_arrays().items():
        tensors[f"{_TABLES}index.{name}"] = array
    return tensors


def _build(weights: Checkpoint) -> tuple[GlcModel, ScaleTables, IndexTables]:
    """Strictly rebuild model and tables: every tensor is expected, and no other."""
    model = GlcModel(weights.config).eval().requires_grad_(False)
    given = dict(weights.tensors)
    scales = ScaleTables.from_arrays(_take(given, f"{_TABLES}scale."))
    indices = IndexTables.from_arrays(_take(given, f"{_TABLES}index."))
    state: dict[str, Tensor] = {}
    for name, mine in model.state_dict().items():
        if name.endswith(_UNUSED):
            state[name] = mine
            continue
        array = given.pop(name, None)
        kind = "i" if name.startswith(_SCALE_MAP) else "f"
        if array is None or array.shape != tuple(mine.shape) or array.dtype.kind != kind:
            found = "nothing" if array is None else f"{array.dtype} {tuple(array.shape)}"
            expected = f"{'integers' if kind == 'i' else 'floats'} {tuple(mine.shape)}"
            raise WeightsError(f"weights: {name}: expected {expected}, found {found}")
        if not np.isfinite(array).all():
            raise WeightsError(f"weights: {name} holds values that are not finite")
        state[name] = torch.from_numpy(np.ascontiguousarray(array)).float()
    if given:
        raise WeightsError(f"weights: unexpected tensors: {', '.join(sorted(given)[:3])}")
    model.load_state_dict(state)
    integers = _take(state, _SCALE_MAP)
    model.scale_map.load_integers(integers)
    for name, value in model.scale_map.integers().items():
        if not torch.equal(value.float(), integers[name]):
            raise WeightsError(f"weights: {_SCALE_MAP}{name} holds integers that are out of range")
    shape = (weights.config.quality_anchors, weights.config.hyper_size)
    if indices.to_arrays()["frequencies"].shape != shape:
        raise WeightsError(f"weights: index tables: expected shape {shape}")
    return model, scales, indices


def _take(arrays: dict[str, _Array], prefix: str) -> dict[str, _Array]:
    """Remove the entries under a prefix and return them without it."""
    names = [name for name in arrays if name.startswith(prefix)]
    return {name[len(prefix) :]: arrays.pop(name) for name in names}


def pick_device(name: str) -> str:
    """Return the device that a name means; auto takes CUDA, Metal or the CPU, in this order."""
    if name != "auto":
        return name
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _load(source: Source) -> image.Picture:
    if isinstance(source, image.Picture):
        return source
    if isinstance(source, Tensor):
        return image.from_array(_tensor_to_array(source))
    if isinstance(source, np.ndarray):
        return image.from_array(source)
    return image.load(source)


def _tensor_to_array(tensor: Tensor) -> NDArray[Any]:
    """(C, H, W) uint8 or float in [0, 1] -> (H, W, C) or (H, W) uint8."""
    if tensor.dim() != 3 or tensor.shape[0] not in (1, 3, 4):
        raise ValueError(f"tensor: expected (1, 3 or 4, H, W), found {tuple(tensor.shape)}")
    tensor = tensor.detach().cpu()
    if tensor.is_floating_point():
        if not bool(((tensor >= 0) & (tensor <= 1)).all()):
            raise ValueError("tensor: expected floats in [0, 1]")
        tensor = (tensor * 255.0).round().to(torch.uint8)
    elif tensor.dtype != torch.uint8:
        raise ValueError(f"tensor: expected uint8 or float, found {tensor.dtype}")
    array: NDArray[Any] = tensor.permute(1, 2, 0).contiguous().numpy()
    return array[:, :, 0] if array.shape[2] == 1 else array


def _inside(sizes: list[tuple[int, int]], shape: torch.Size) -> Tensor:
    """Positions of y that touch the picture: (B, 1, h, w) bool; the others are never coded."""
    mask = torch.zeros(shape[0], 1, shape[2], shape[3], dtype=torch.bool)
    for index, (height, width) in enumerate(sizes):
        mask[index, :, : -(-height // LATENT_STRIDE), : -(-width // LATENT_STRIDE)] = True
    return mask


def _group(pictures: list[image.Picture]) -> list[list[int]]:
    groups: OrderedDict[tuple[int, int], list[int]] = OrderedDict()
    for index, picture in enumerate(pictures):
        groups.setdefault(_padded(picture.height, picture.width), []).append(index)
    return list(groups.values())
