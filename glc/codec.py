"""The codec: pictures to bytes and back. The only place where bytes, integers and networks meet.

``Codec.encode`` and ``Codec.decode`` are the library. What the payload holds, and in which order,
is specified in bitstream/FORMAT.md, section 7.
"""

from __future__ import annotations

import dataclasses
import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from glc import bit_map, checkpoint, image, imagination, latent
from glc.bitstream import (
    ALPHA,
    EXIF,
    GREY,
    MODEL_BYTES,
    XMP,
    Chunk,
    Container,
    Limits,
    Prefix,
    pack,
    unpack,
    unpack_prefix,
)
from glc.config import IMAGE_STRIDE, LATENT_STRIDE, QUALITY_MAX
from glc.entropy import IndexTables, RangeDecoder, RangeEncoder, ScaleTables
from glc.errors import CorruptError, WeightsError
from glc.networks.model import GlcModel
from glc.preview import PartialPicture, Reading, missing, read
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
        _check_quality(quality)
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
        best: bytes | None = None
        low, high = 0, QUALITY_MAX
        while low <= high:
            quality = (low + high) // 2
            ((payload, symbols),) = self._code([loaded], latents, quality)
            data = self._pack(loaded, quality, keep_metadata, payload, symbols)
            if len(data) <= max_bytes:
                best, low = data, quality + 1
            else:
                smallest, high = len(data), quality - 1
        if best is None:
            raise ValueError(f"the smallest file has {smallest} bytes, more than {max_bytes}")
        return best

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
                pictures[index] = _finish(containers[index], pixels)
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
                _alpha_of(containers[index])

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
        return self._bits_of([loaded], quality)[0]

    def bit_map(self, picture: Source | bytes, quality: int = 50) -> NDArray[np.float64]:
        """Return where the bits of a picture, or of a ``.glc`` file, are spent.

        Args:
            picture: a picture as in ``encode``, or the bytes of a file made with this model.
            quality: of the picture; a file has its own.

        Returns:
            (ceil(H / 16), ceil(W / 16)) float64: the bits of each square of 16 x 16 pixels. Their
            sum is ``bits``, and the size of the payload but for its ending and rounding.

        Raises:
            GlcError: as ``encode`` or ``decode``.
            ValueError: as ``encode``.
        """
        if isinstance(picture, bytes):
            self._open(picture)
            prefix = self._open_prefix(picture)
            reading = self._read(prefix)
            self._check(prefix, reading)
            height, width, quality = (
                prefix.header.height,
                prefix.header.width,
                prefix.header.quality,
            )
            indices, rows, symbols = reading.indices, reading.rows, reading.symbols
        else:
            _check_quality(quality)
            loaded = _load(picture)
            height, width = loaded.height, loaded.width
            coded = self.quantise([loaded], self.analyse([loaded]), quality)
            indices, symbols = coded[0][0], coded[2][0]
            rows = bit_map.place_rows(coded[1][0], symbols.shape, height, width)
        z_bits = self._indices.bits(indices.ravel(), self.bank(quality)).reshape(indices.shape)
        return bit_map.bits_per_position(self._scales, rows, symbols, z_bits, height, width)

    def surprise(self, picture: Source, quality: int = 50) -> float:
        """Return the bits per pixel that the model expects for a picture: how new it is to it.

        A picture is dear when it is new *and* when it is merely complex; docs/latent.md measures
        how far the two can be told apart.
        """
        return self.surprise_batch([picture], quality)[0]

    def surprise_batch(self, pictures: Iterable[Source], quality: int = 50) -> list[float]:
        """Return the surprise of several pictures; those of one padded size run as one batch."""
        _check_quality(quality)
        loaded = [_load(picture) for picture in pictures]
        scores = [0.0] * len(loaded)
        for members in _group(loaded):
            bits = self._bits_of([loaded[index] for index in members], quality)
            for index, total in zip(members, bits, strict=True):
                scores[index] = total / (loaded[index].width * loaded[index].height)
        return scores

    def preview(self, data: bytes) -> Image.Image:
        """Show what the hyper-latent alone says: the first bytes of a file, or of a part of it.

        Every symbol is taken as 0. Nothing is verified, even if all of the file is there.

        Args:
            data: the file from its first byte on, as far as it has come.

        Raises:
            TruncatedError: the hyper-latent has not arrived; the message says what it takes.
            BitstreamError, WeightsError: as ``decode``.
        """
        prefix = self._open_prefix(data)
        return self._show(prefix, self._read(prefix, with_symbols=False))

    def decode_partial(self, data: bytes) -> PartialPicture:
        """Decode what has arrived of a file: every symbol that is certain, 0 for the others.

        A complete file is decoded and verified as ``decode`` does it.

        Args:
            data: the file from its first byte on, as far as it has come.

        Raises:
            TruncatedError: the hyper-latent has not arrived; the message says what it takes.
            CorruptError: the file is damaged, as far as that can be told.
            BitstreamError, WeightsError: as ``decode``.
        """
        prefix = self._open_prefix(data)
        reading = self._read(prefix)
        self._check(prefix, reading)
        return PartialPicture(
            image=self._show(prefix, reading),
            is_complete=prefix.container is not None,
            payload_bytes=len(prefix.payload),
            payload_expected=prefix.header.payload_bytes,
            steps=reading.steps,
            symbols=int(np.count_nonzero(reading.rows)),
            notices=missing(prefix),
        )

    def sample(
        self,
        count: int = 1,
        size: tuple[int, int] = (256, 256),
        quality: int = 50,
        seed: int = 0,
        temperature: float = 1.0,
    ) -> list[Image.Image]:
        """Draw pictures from the probability tables that the model codes with.

        Args:
            count: how many; the first ones of a seed do not depend on it.
            size: (width, height) in pixels.
            quality: whose tables and gains.
            seed: 0 or more; the same one gives the same symbols on every machine.
            temperature: 1 draws as the tables say; less, more probable symbols; above 0.

        Raises:
            ValueError: an argument out of range.
        """
        _check_quality(quality)
        width, height = size
        if count < 0 or min(size) < 1:
            raise ValueError(f"expected a count of 0 and sides of 1 or more, found {count}, {size}")
        grid = tuple(side // IMAGE_STRIDE for side in _padded(height, width))
        pictures = []
        for number in range(count):
            draw = imagination.Draw(seed, number, temperature)
            z = draw.indices(self._indices, self.bank(quality), grid[0] * grid[1]).reshape(grid)
            y_hat = imagination.draw_latent(self._model, self._scales, z, quality, draw)
            pixels = self._synthesise(y_hat, quality)[0]
            pictures.append(Image.fromarray(np.ascontiguousarray(pixels[:height, :width])))
        return pictures

    def interpolate(self, a: Source, b: Source, steps: int = 8) -> list[Image.Image]:
        """Decode pictures on the way from one latent to another, both ends included.

        The way is spherical at every position, see ``glc.imagination.spherical``.

        Args:
            a: a picture as in ``encode``.
            b: another one of the same size.
            steps: how many pictures, at least 2.

        Raises:
            ImageError: a picture cannot be read.
            ValueError: pictures of two sizes, or fewer than two steps.
        """
        ends = [_load(a), _load(b)]
        sizes = [(end.width, end.height) for end in ends]
        if steps < 2 or sizes[0] != sizes[1]:
            raise ValueError(f"expected 2 steps or more and one size, found {steps} and {sizes}")
        path = imagination.path(self.analyse(ends), steps)
        return [self.from_latents(l, sizes[0]) for l in latent.to_arrays(path)]

    def latents(self, picture: Source | bytes) -> NDArray[np.float32]:
        """Return the latent l of a picture, or the l_hat that a ``.glc`` file decodes to.

        Args:
            picture: a picture as in ``encode``, or the bytes of a file made with this model.

        Returns:
            (h, w, C_l) float32, a vector for every 16 x 16 pixels; h is 4 ceil(H / 64), w is
            4 ceil(W / 64). What lies beyond ceil(H / 16) or ceil(W / 16) belongs to the padding.
            Of a picture, every vector has unit mean square; of a file less, since what is not coded
            is averaged (docs/latent.md).

        Raises:
            GlcError: as ``encode`` or ``decode``.
        """
        return self.latents_batch([picture])[0]

    @torch.inference_mode()
    def latents_batch(self, pictures: Iterable[Source | bytes]) -> list[NDArray[np.float32]]:
        """Return the latents of several pictures or files; those of one shape run as one batch."""
        items = list(pictures)
        found: dict[int, NDArray[np.float32]] = {}
        files = [index for index, item in enumerate(items) if isinstance(item, bytes)]
        containers = [self._open(item) for item in items if isinstance(item, bytes)]
        for members, y_hat in self._decode_symbols(containers):
            quality = torch.full((len(members),), containers[members[0]].quality)
            l_hat = self._model.synthesis(y_hat, quality.to(self.device))
            found |= zip([files[index] for index in members], latent.to_arrays(l_hat), strict=True)
        others = [index for index in range(len(items)) if index not in found]
        loaded = [_load(item) for item in items if not isinstance(item, bytes)]
        for members in _group(loaded):
            l = self.analyse([loaded[index] for index in members])
            found |= zip([others[index] for index in members], latent.to_arrays(l), strict=True)
        return [found[index] for index in range(len(items))]

    @torch.inference_mode()
    def from_latents(
        self, latents: NDArray[np.float32], size: tuple[int, int] | None = None
    ) -> Image.Image:
        """Decode what ``latents`` returned, or something near it.

        Args:
            latents: (h, w, C_l) float32, any h and w.
            size: (width, height) of the picture, at most 16 w x 16 h; all of it when omitted.

        Returns:
            An image of mode RGB. Of the latents of a file these are the pixels of ``decode``.

        Raises:
            ValueError: another shape, values that are not finite, or a size that does not fit.
        """
        width, height = latent.check(latents, self._model.config.latent_channels, size)
        pixels = _to_pixels(self._model.decoder(latent.to_tensor(latents).to(self.device)))[0]
        return Image.fromarray(np.ascontiguousarray(pixels[:height, :width]))

    def _bits_of(self, pictures: list[image.Picture], quality: int) -> list[float]:
        """Return the bits of every picture, all of one padded size."""
        indices, messages, _ = self.quantise(pictures, self.analyse(pictures), quality)
        totals = []
        for z, message in zip(indices, messages, strict=True):
            total = float(self._indices.bits(z.ravel(), self.bank(quality)).sum())
            total += sum(float(self._scales.bits(s, rows).sum()) for rows, s in message)
            totals.append(total)
        return totals

    def _open(self, data: bytes) -> Container:
        container = unpack(data, self.limits)
        self._check_model(container.model)
        return container

    def _open_prefix(self, data: bytes) -> Prefix:
        prefix = unpack_prefix(data, self.limits)
        self._check_model(prefix.header.model)
        return prefix

    def _check_model(self, model: bytes) -> None:
        if model != self.identity[:MODEL_BYTES]:
            raise WeightsError(
                f"the file was made with model {model.hex()}, "
                f"but this is {self.name} ({self.identity[:MODEL_BYTES].hex()})"
            )

    def _read(self, prefix: Prefix, with_symbols: bool = True) -> Reading:
        bank = self.bank(prefix.header.quality)
        return read(self._model, self._scales, self._indices, bank, prefix, with_symbols)

    def _check(self, prefix: Prefix, reading: Reading) -> None:
        """Compare the checksum of a file that has arrived whole."""
        if prefix.container is not None:
            symbols = _canonical(reading.indices, reading.symbols)
            _compare(prefix.container, prefix.container.checksum_of(self.identity, symbols))

    def _show(self, prefix: Prefix, reading: Reading) -> Image.Image:
        header = prefix.header
        fields = (header.width, header.height, header.quality, header.model)
        container = Container(*fields, prefix.payload, prefix.chunks)
        return _finish(container, self._synthesise(reading.y_hat, header.quality)[0])

    @property
    def hyper_size(self) -> int:
        """Number of different z indices."""
        return self._model.config.hyper_size

    def bank(self, quality: int) -> int:
        """Return the z table of a quality: that of the nearest anchor, the higher one of two."""
        intervals = self._model.config.quality_anchors - 1
        return (quality * intervals + QUALITY_MAX // 2) // QUALITY_MAX

    @torch.inference_mode()
    def analyse(self, pictures: list[image.Picture]) -> Tensor:
        """Return the latent l of pictures of one padded size: (B, C_l, h, w) float32."""
        height, width = _padded(pictures[0].height, pictures[0].width)
        batch = np.stack([_pad(picture.rgb, height, width) for picture in pictures])
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
            found = container.checksum_of(
                self.identity, _canonical(indices[index], everything[index])
            )
            _compare(container, found)
        return y_hat

    @torch.inference_mode()
    def _synthesise(self, y_hat: Tensor, quality: int) -> NDArray[np.uint8]:
        """y_hat (B, C_y, h, w) -> (B, 16h, 16w, 3) uint8."""
        levels = torch.full((len(y_hat),), quality, device=self.device)
        return _to_pixels(self._model.decoder(self._model.synthesis(y_hat, levels)))


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


def _group(pictures: list[image.Picture]) -> list[list[int]]:
    groups: OrderedDict[tuple[int, int], list[int]] = OrderedDict()
    for index, picture in enumerate(pictures):
        groups.setdefault(_padded(picture.height, picture.width), []).append(index)
    return list(groups.values())


def _canonical(indices: NDArray[np.int32], symbols: NDArray[np.int32]) -> bytes:
    """The bytes that the checksum covers (FORMAT.md, section 7)."""
    return indices.astype("<u2").tobytes() + symbols.astype("<i2").tobytes()


def _compare(container: Container, found: int) -> None:
    """Compare the checksum of a file with that of what was decoded."""
    if found != container.checksum:
        raise CorruptError(
            f"checksum: the file says {container.checksum:08x}, the decoded symbols give "
            f"{found:08x}; the file is damaged"
        )


def _to_pixels(x_hat: Tensor) -> NDArray[np.uint8]:
    """(B, 3, H, W) about [-1, 1] -> (B, H, W, 3) uint8."""
    pixels = ((x_hat.clamp(-1.0, 1.0) + 1.0) * 127.5).round().to(torch.uint8)
    array: NDArray[np.uint8] = pixels.permute(0, 2, 3, 1).cpu().numpy()
    return array


def _alpha_of(container: Container) -> NDArray[np.uint8] | None:
    for chunk in container.chunks:
        if chunk.tag == ALPHA:
            return image.decode_alpha(chunk.data, container.width, container.height)
    return None


def _finish(container: Container, pixels: NDArray[np.uint8]) -> Image.Image:
    chunks = {chunk.tag: chunk.data for chunk in container.chunks}
    picture = image.Picture(
        rgb=np.ascontiguousarray(pixels[: container.height, : container.width]),
        alpha=_alpha_of(container),
        grey=GREY in chunks,
        notices=(),
        exif=chunks.get(EXIF),
        xmp=chunks.get(XMP),
    )
    return image.to_pil(picture)
