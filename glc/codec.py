"""The codec: pictures to bytes and back. The only place where bytes, integers and networks meet.

``Codec.encode`` and ``Codec.decode`` are the library. What the payload holds, and in which order,
is specified in bitstream/FORMAT.md, section 7.
"""

from __future__ import annotations

import dataclasses
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from glc import checkpoint, image, pixels
from glc.bitstream import (
    ALPHA,
    EXIF,
    GREY,
    MODEL_BYTES,
    XMP,
    Chunk,
    Container,
    Limits,
    pack,
    unpack,
)
from glc.config import IMAGE_STRIDE, LATENT_STRIDE, QUALITY_MAX
from glc.entropy import IndexTables, RangeDecoder, RangeEncoder, ScaleTables
from glc.errors import CorruptError, WeightsError
from glc.networks.model import GlcModel
from glc.networks.tiled import TiledModel
from glc.quantize import to_symbols
from glc.tiles import AUTOMATIC_SIDE, Progress, Tiling, part

if TYPE_CHECKING:
    from glc.checkpoint import Checkpoint, ModelInfo

__all__ = ["Codec"]

Source: TypeAlias = "image.Picture | Image.Image | str | os.PathLike[str] | NDArray[Any] | Tensor"

_Array = TypeVar("_Array")
_Result = TypeVar("_Result")
_Integers: TypeAlias = "NDArray[np.integer[Any]]"
_Message: TypeAlias = "tuple[_Integers, _Integers]"
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
        tile: pictures with more pixels than a square of this side are worked on in tiles of about
            that area, in bounded memory; None chooses it, 0 never cuts. Symbols decode the same
            whatever it is.
    """

    def __init__(self, weights: Checkpoint, device: str = "auto", tile: int | None = None) -> None:
        if tile is not None and tile != 0 and tile < IMAGE_STRIDE:
            raise ValueError(f"tile: expected 0 or at least {IMAGE_STRIDE} pixels, found {tile}")
        self.identity, self.name = weights.identity, weights.name
        self.limits = Limits()
        self.tile = tile
        self.device = torch.device(pick_device(device))
        self._model, self._scales, self._indices = _build(weights)
        self._model.to(self.device)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str] | None = None,
        device: str = "auto",
        tile: int | None = None,
    ) -> Codec:
        """Load an installed model by name, any model by path, or the default one.

        Args:
            name_or_path: as listed by ``glc models``, or a ``.safetensors`` file.
            device: auto, cpu, cuda, cuda:1, mps; auto takes a GPU if there is one.
            tile: see the class.

        Raises:
            WeightsError: missing or malformed weights.
        """
        wanted = None if name_or_path is None else os.fspath(name_or_path)
        return cls(checkpoint.load(checkpoint.locate(wanted)), device, tile)

    @classmethod
    def for_file(cls, data: bytes, device: str = "auto", tile: int | None = None) -> Codec:
        """Load the installed model that a ``.glc`` file was made with.

        Raises:
            BitstreamError: not a readable ``.glc`` file.
            WeightsError: its model is not installed.
        """
        info: ModelInfo = checkpoint.find(unpack(data).model)
        return cls(checkpoint.load(info.path), device, tile)

    def encode(
        self,
        picture: Source,
        quality: int = 50,
        keep_metadata: bool = False,
        progress: Progress | None = None,
    ) -> bytes:
        """Compress a picture.

        Args:
            picture: a PIL image, a path, uint8 arrays (H, W), (H, W, 3), (H, W, 4), or a tensor
                (3, H, W) or (1, H, W), uint8 or float in [0, 1]. Rules for modes, alpha,
                orientation and profiles: ``glc.image``.
            quality: 0 to 100; higher is better and larger.
            keep_metadata: store EXIF and XMP.
            progress: called with the share of the work that is done, 0 to 1; more than once only
                for a picture that is cut into tiles.

        Returns:
            The bytes of a ``.glc`` file.

        Raises:
            ImageError: the picture cannot be read.
            ValueError: quality out of range, or an array of the wrong kind.
        """
        return self.encode_batch([picture], quality, keep_metadata, progress)[0]

    def encode_batch(
        self,
        pictures: Iterable[Source],
        quality: int = 50,
        keep_metadata: bool = False,
        progress: Progress | None = None,
    ) -> list[bytes]:
        """Compress several pictures of any sizes; those of one padded size run as one batch.

        A batch may round differently from single pictures, so its bytes may differ from those of
        ``encode``; they decode to the same symbols everywhere, as all files do.

        Returns:
            One file per picture, in order.
        """
        _check_quality(quality)
        loaded = [_load(picture) for picture in pictures]
        files: list[bytes] = [b""] * len(loaded)
        for members, tiling in self._plan([(p.height, p.width, 0) for p in loaded], progress):
            batch = [loaded[index] for index in members]
            latents = self._adapt(batch[0], tiling.within(0.0, 0.5), partial(self.analyse, batch))
            code = partial(self._code, batch, latents, quality)
            coded = self._adapt(batch[0], tiling.within(0.5, 1.0), code)
            for index, payload in zip(members, coded, strict=True):
                files[index] = self._pack(loaded[index], quality, keep_metadata, *payload)
            tiling.tell(1.0)
        return files

    def encode_to_size(
        self,
        picture: Source,
        max_bytes: int,
        keep_metadata: bool = False,
        progress: Progress | None = None,
    ) -> bytes:
        """Compress with the highest quality whose file has at most ``max_bytes`` bytes.

        Raises:
            ValueError: the file is larger even at quality 0.
        """
        loaded = _load(picture)
        ((_, tiling),) = self._plan([(loaded.height, loaded.width, 0)], progress)
        latents = self._adapt(loaded, tiling.within(0.0, 0.2), partial(self.analyse, [loaded]))
        best: bytes | None = None
        low, high, tried = 0, QUALITY_MAX, 0
        while low <= high:
            quality = (low + high) // 2
            code = partial(self._code, [loaded], latents, quality)
            # Seven tries at most halve 101 qualities down to none.
            stage = tiling.within(0.2 + 0.8 * tried / 7, 0.2 + 0.8 * (tried + 1) / 7)
            ((payload, symbols),) = self._adapt(loaded, stage, code)
            tried += 1
            data = self._pack(loaded, quality, keep_metadata, payload, symbols)
            if len(data) <= max_bytes:
                best, low = data, quality + 1
            else:
                smallest, high = len(data), quality - 1
        tiling.tell(1.0)
        if best is None:
            raise ValueError(f"the smallest file has {smallest} bytes, more than {max_bytes}")
        return best

    def decode(self, data: bytes, progress: Progress | None = None) -> Image.Image:
        """Decompress a ``.glc`` file made with this model; ``progress`` as in ``encode``.

        Returns:
            An image of mode RGB, L, RGBA or LA, as the original had it.

        Raises:
            BitstreamError: the file is damaged, or not a ``.glc`` file.
            WeightsError: the file was made with another model.
        """
        return self.decode_batch([data], progress)[0]

    def decode_batch(
        self, files: Sequence[bytes], progress: Progress | None = None
    ) -> list[Image.Image]:
        """Decompress several files of any sizes; those of one padded size run as one batch."""
        containers = [self._open(data) for data in files]
        pictures: dict[int, Image.Image] = {}
        for members, tiling, y_hat in self._decode_symbols(containers, progress):
            batch = [containers[index] for index in members]
            work = partial(self._synthesise, y_hat, batch[0].quality)
            x_hat = self._adapt(batch[0], tiling.within(0.5, 1.0), work)
            for index, rgb in zip(members, x_hat, strict=True):
                pictures[index] = _finish(containers[index], rgb)
            tiling.tell(1.0)
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
        for members, tiling in self._plan([(c.height, c.width, c.quality) for c in containers]):
            batch = [containers[index] for index in members]
            self._adapt(batch[0], tiling, partial(self._check_symbols, batch))
            for container in batch:
                _alpha_of(container)

    def _decode_symbols(
        self, containers: list[Container], progress: Progress | None = None
    ) -> Iterator[tuple[list[int], Tiling, Tensor]]:
        """Yield the members of each batch, as positions in ``containers``, and their y_hat."""
        sizes = [(c.height, c.width, c.quality) for c in containers]
        for members, tiling in self._plan(sizes, progress):
            batch = [containers[index] for index in members]
            read = partial(self._read_symbols, batch)
            yield members, tiling, self._adapt(batch[0], tiling.within(0.0, 0.5), read)

    def _check_symbols(self, containers: list[Container], tiling: Tiling) -> None:
        if not tiling.side:
            self._read_symbols(containers, tiling)
        for container in containers if tiling.side else ():
            self._read_integers(container, tiling)

    def _plan(
        self, sizes: Sequence[tuple[int, int, int]], progress: Progress | None = None
    ) -> list[tuple[list[int], Tiling]]:
        """Put what is worked on together into batches; a picture that is cut goes alone.

        Args:
            sizes: height, width and quality of each picture.
            progress: told of the share of all the pictures.

        Returns:
            Positions in ``sizes``, and how they are worked on.
        """
        groups: OrderedDict[tuple[int, ...], list[int]] = OrderedDict()
        for index, (height, width, quality) in enumerate(sizes):
            key = (*_padded(height, width), quality)
            alone = (index,) if self._tiling(height, width).side else ()
            groups.setdefault((*key, *alone), []).append(index)
        plan, done = [], 0
        for (height, width, *_), members in groups.items():
            share = part(progress, done / len(sizes), (done + len(members)) / len(sizes))
            plan.append((members, self._tiling(height, width, share)))
            done += len(members)
        return plan

    def _tiling(self, height: int, width: int, progress: Progress | None = None) -> Tiling:
        """Return how a picture of this size is worked on."""
        side = AUTOMATIC_SIDE if self.tile is None else self.tile
        height, width = _padded(height, width)
        return Tiling(side if height * width > side * side else 0, progress)

    def _adapt(
        self, size: image.Picture | Container, tiling: Tiling, work: Callable[[Tiling], _Result]
    ) -> _Result:
        """Do a stage of the work, in smaller tiles if the GPU has not enough memory for it."""
        height, width = _padded(size.height, size.width)
        while True:
            try:
                return work(tiling)
            except torch.cuda.OutOfMemoryError:
                smaller = tiling.smaller(height, width)
                if smaller is None:
                    raise
                tiling = smaller
            # Only here, where the error no longer holds on to the tensors of the attempt.
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    def bits(self, picture: Source, quality: int = 50) -> float:
        """Return the bits that the model itself expects for a picture: z and y, no container."""
        loaded = _load(picture)
        indices, messages, _ = self.quantise([loaded], self.analyse([loaded]), quality)
        total = float(self._indices.bits(indices.ravel(), self.bank(quality)).sum())
        return total + sum(float(self._scales.bits(s, rows).sum()) for rows, s in messages[0])

    def _open(self, data: bytes) -> Container:
        container = unpack(data, self.limits)
        if container.model != self.identity[:MODEL_BYTES]:
            raise WeightsError(
                f"the file was made with model {container.model.hex()}, "
                f"but this is {self.name} ({self.identity[:MODEL_BYTES].hex()})"
            )
        return container

    @property
    def hyper_size(self) -> int:
        """Number of different z indices."""
        return self._model.config.hyper_size

    def bank(self, quality: int) -> int:
        """Return the z table of a quality: that of the nearest anchor, the higher one of two."""
        intervals = self._model.config.quality_anchors - 1
        return (quality * intervals + QUALITY_MAX // 2) // QUALITY_MAX

    @torch.inference_mode()
    def analyse(self, pictures: list[image.Picture], tiling: Tiling | None = None) -> Tensor:
        """Return the latent l of pictures of one padded size: (B, C_l, h, w) float32."""
        height, width = _padded(pictures[0].height, pictures[0].width)
        tiling = tiling or self._tiling(height, width)
        if tiling.side:
            cut = TiledModel(self._model, height, width, 0, tiling)
            reads = [partial(pixels.read, picture.rgb, self.device) for picture in pictures]
            return _join([cut.latent(read) for read in reads])
        batch = np.stack([_pad(picture.rgb, height, width) for picture in pictures])
        x = torch.from_numpy(batch).to(self.device).permute(0, 3, 1, 2)
        l: Tensor = self._model.encoder(x.float() / 127.5 - 1.0)
        return l

    @torch.inference_mode()
    def quantise(
        self,
        pictures: list[image.Picture],
        latents: Tensor,
        quality: int,
        tiling: Tiling | None = None,
    ) -> tuple[_Integers, list[list[_Message]], _Integers]:
        """Turn latents into the integers that are coded.

        Args:
            pictures: whose latents these are; positions outside of them are not coded.
            latents: as ``analyse`` returns them.
            quality: 0 to 100.
            tiling: as a whole, or in tiles; by the size of the pictures when omitted.

        Returns:
            Indices of z (B, h / 4, w / 4); for every picture the rows and symbols of each step in
            coding order; and all symbols, (B, C_y, h, w).
        """
        tiling = tiling or self._tiling(pictures[0].height, pictures[0].width)
        if tiling.side:
            return self._quantise_tiles(pictures, latents, quality, tiling)
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

    def _quantise_tiles(
        self, pictures: list[image.Picture], latents: Tensor, quality: int, tiling: Tiling
    ) -> tuple[_Integers, list[list[_Message]], _Integers]:
        """Do as ``quantise`` does; rows are uint8 then, and symbols int16."""
        indices, messages, symbols = [], [], []
        for picture, l in zip(pictures, latents.split(1), strict=True):
            cut = TiledModel(self._model, *_padded(picture.height, picture.width), quality, tiling)
            y, chosen = cut.transform(l)
            inside = _inside([(picture.height, picture.width)], y.shape)
            steps, everything = cut.write(y, chosen, inside)
            messages.append([(rows[coded].numpy(), s[coded].numpy()) for rows, s, coded in steps])
            indices.append(chosen)
            symbols.append(everything)
        return _join(indices).numpy().astype(np.int32), messages, _join(symbols).numpy()

    def _code(
        self,
        pictures: list[image.Picture],
        latents: Tensor,
        quality: int,
        tiling: Tiling | None = None,
    ) -> list[tuple[bytes, bytes]]:
        """Return (payload, canonical symbol bytes) of every picture."""
        indices, messages, symbols = self.quantise(pictures, latents, quality, tiling)
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
        chunks = []
        if picture.alpha is not None:
            chunks.append(Chunk(ALPHA, image.encode_alpha(picture.alpha)))
        if picture.grey:
            chunks.append(Chunk(GREY, b""))
        if keep_metadata and picture.exif is not None:
            chunks.append(Chunk(EXIF, picture.exif))
        if keep_metadata and picture.xmp is not None:
            chunks.append(Chunk(XMP, picture.xmp))
        container = Container(
            width=picture.width,
            height=picture.height,
            quality=quality,
            model=self.identity[:MODEL_BYTES],
            payload=payload,
            chunks=tuple(chunks),
        )
        checksum = container.checksum_of(self.identity, symbols)
        return pack(dataclasses.replace(container, checksum=checksum))

    @torch.inference_mode()
    def _read_symbols(self, containers: list[Container], tiling: Tiling | None = None) -> Tensor:
        """Decode payloads of one padded size and quality: y_hat (B, C_y, h, w), checksums checked.

        Raises:
            CorruptError: a payload cannot be decoded, or decodes to something else.
        """
        model, quality = self._model, containers[0].quality
        height, width = _padded(containers[0].height, containers[0].width)
        tiling = tiling or self._tiling(height, width)
        if tiling.side:
            cut = TiledModel(model, height, width, quality, tiling.within(0.5, 1.0))
            found = [self._read_integers(c, tiling.within(0.0, 0.5)) for c in containers]
            return _join([cut.y_hat(*integers) for integers in found])
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
            self._compare(container, indices[index], everything[index])
        return y_hat

    @torch.inference_mode()
    def _read_integers(self, container: Container, tiling: Tiling) -> tuple[Tensor, Tensor]:
        """Decode one payload in tiles, before any float: indices of z and symbols, checked.

        Raises:
            CorruptError: as ``_read_symbols``.
        """
        height, width = _padded(container.height, container.width)
        shape = (1, height // IMAGE_STRIDE, width // IMAGE_STRIDE)
        decoder = RangeDecoder(container.payload)
        bank = self.bank(container.quality)
        flat = self._indices.decode(decoder, shape[1] * shape[2], bank)

        def decode(rows: Tensor, coded: Tensor) -> Tensor:
            symbols = np.zeros(rows.shape, np.int16)
            where = coded.numpy()
            symbols[where] = self._scales.decode(decoder, rows.numpy()[where])
            return torch.from_numpy(symbols)

        cut = TiledModel(self._model, height, width, container.quality, tiling)
        size = torch.Size((1, 1, height // LATENT_STRIDE, width // LATENT_STRIDE))
        indices = torch.from_numpy(flat.reshape(shape)).long()
        inside = _inside([(container.height, container.width)], size)
        symbols = cut.read(indices, inside, decode)
        self._compare(container, flat, symbols.numpy())
        return indices, symbols

    def _compare(self, container: Container, indices: _Integers, symbols: _Integers) -> None:
        """Raise CorruptError unless these are the symbols that the file was made of."""
        found = container.checksum_of(self.identity, _canonical(indices, symbols))
        if found != container.checksum:
            raise CorruptError(
                f"checksum: the file says {container.checksum:08x}, the decoded symbols give "
                f"{found:08x}; the file is damaged"
            )

    @torch.inference_mode()
    def _synthesise(
        self, y_hat: Tensor, quality: int, tiling: Tiling | None = None
    ) -> NDArray[np.uint8]:
        """y_hat (B, C_y, h, w) -> (B, 16h, 16w, 3) uint8."""
        height, width = (LATENT_STRIDE * side for side in y_hat.shape[2:])
        tiling = tiling or self._tiling(height, width)
        if tiling.side:
            rgb = np.empty((len(y_hat), height, width, 3), np.uint8)
            cut = TiledModel(self._model, height, width, quality, tiling)
            for own, target in zip(y_hat.split(1), rgb, strict=True):
                cut.picture(own, partial(pixels.write, target))
            return rgb
        levels = torch.full((len(y_hat),), quality, device=self.device)
        x_hat = self._model.decoder(self._model.synthesis(y_hat, levels))
        rounded = ((x_hat.clamp(-1.0, 1.0) + 1.0) * 127.5).round().to(torch.uint8)
        array: NDArray[np.uint8] = rounded.permute(0, 2, 3, 1).cpu().numpy()
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


def _check_quality(quality: int) -> None:
    if not isinstance(quality, int) or not 0 <= quality <= QUALITY_MAX:
        raise ValueError(f"quality: expected an integer from 0 to {QUALITY_MAX}, found {quality!r}")


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


def _padded(height: int, width: int) -> tuple[int, int]:
    return -height % IMAGE_STRIDE + height, -width % IMAGE_STRIDE + width


def _pad(rgb: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Repeat the last row and column up to the padded size."""
    rows, columns = height - rgb.shape[0], width - rgb.shape[1]
    return np.pad(rgb, ((0, rows), (0, columns), (0, 0)), mode="edge")


def _inside(sizes: list[tuple[int, int]], shape: torch.Size) -> Tensor:
    """Positions of y that touch the picture: (B, 1, h, w) bool; the others are never coded."""
    mask = torch.zeros(shape[0], 1, shape[2], shape[3], dtype=torch.bool)
    for index, (height, width) in enumerate(sizes):
        mask[index, :, : -(-height // LATENT_STRIDE), : -(-width // LATENT_STRIDE)] = True
    return mask


def _join(batches: list[Tensor]) -> Tensor:
    """Put batches into one, without a copy where there is only one."""
    return batches[0] if len(batches) == 1 else torch.cat(batches)


def _canonical(indices: _Integers, symbols: _Integers) -> bytes:
    """The bytes that the checksum covers (FORMAT.md, section 7)."""
    return indices.astype("<u2").tobytes() + symbols.astype("<i2").tobytes()


def _alpha_of(container: Container) -> NDArray[np.uint8] | None:
    for chunk in container.chunks:
        if chunk.tag == ALPHA:
            return image.decode_alpha(chunk.data, container.width, container.height)
    return None


def _finish(container: Container, rgb: NDArray[np.uint8]) -> Image.Image:
    chunks = {chunk.tag: chunk.data for chunk in container.chunks}
    picture = image.Picture(
        rgb=np.ascontiguousarray(rgb[: container.height, : container.width]),
        alpha=_alpha_of(container),
        grey=GREY in chunks,
        notices=(),
        exif=chunks.get(EXIF),
        xmp=chunks.get(XMP),
    )
    return image.to_pil(picture)
