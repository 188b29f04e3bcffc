"""The codec: pictures to bytes and back. The only place where bytes, integers and networks meet.

``Codec.encode`` and ``Codec.decode`` are the library. What the payload holds, and in which order,
is specified in bitstream/FORMAT.md, section 7.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from glc import assembly, bit_map, checkpoint, image, imagination, large, latent
from glc.bitstream import (
    FORMAT_VERSION,
    MODEL_BYTES,
    Container,
    Limits,
    Prefix,
    unpack,
    unpack_prefix,
)
from glc.bitstream.container import check_version
from glc.config import IMAGE_STRIDE, LATENT_STRIDE
from glc.entropy import IndexTables, RangeDecoder, ScaleTables
from glc.errors import WeightsError
from glc.networks.arrays import ArrayNetworks, to_pixels
from glc.networks.blank import WithoutRandomNumbers
from glc.networks.codebook import GaussianBottleneck
from glc.networks.model import GlcModel
from glc.onnx.model import OnnxModel
from glc.out_of_memory import in_smaller_tiles
from glc.precision import own_precision
from glc.preview import PartialPicture, Reading, missing, read
from glc.quantize import to_symbols
from glc.tiles import Tiling
from glc.versions import order_of
from glc.whole import whole

if TYPE_CHECKING:
    from glc.checkpoint import Checkpoint, ModelInfo

__all__ = ["Codec"]

Source: TypeAlias = "image.Picture | Image.Image | str | os.PathLike[str] | NDArray[Any] | Tensor"

_Array = TypeVar("_Array")
_Kind = TypeVar("_Kind", bound="np.generic")
_TABLES = "tables."
_SCALE_MAP = "scale_map."
_UNUSED = "num_batches_tracked"
"""Batch norm's counter; only training looks at it."""


_seen_process = [os.getpid()]
"""The process that loaded this module, or the one forked from it that used a codec."""


def _check_process() -> None:
    """Make a forked process work with one thread.

    It believes in the threads of its parent but has none of them, and its first parallel loop
    would wait for them for ever.
    """
    if _seen_process[0] != os.getpid():
        _seen_process[0] = os.getpid()
        if torch.get_num_threads() > 1:
            torch.set_num_threads(1)


class Codec:
    """One model, ready to encode and decode.

    Safe to use from several threads at once, and in processes forked or spawned from this one:
    docs/robustness.md has the rules. A pickled codec names its weights and does not hold them.
    Encoding is deterministic: the same picture, quality and machine give the same bytes; and
    whatever machine decodes them reads the same symbols.

    Attributes:
        identity: 32 bytes, SHA-256 of the weights file.
        name: of the model.
        limits: what ``decode`` accepts.
        tile: pictures with more pixels than a square of this side are worked on in tiles of at
            most its area, and memory stays bounded; 0 cuts none, None chooses. Makes no difference
            but for the rounding of floats. ``glc.tiles.watched_by`` tells how far they are.
    """

    def __init__(self, weights: Checkpoint, device: str = "auto", tile: int | None = None) -> None:
        _check_process()
        self.identity, self.name = weights.identity, weights.name
        self.limits = Limits()
        self.tile = Tiling(tile).side
        self.device = torch.device(pick_device(device))
        self._networks, self._scales, self._indices = _build(weights)
        self._networks.to(self.device)
        self._bottleneck = _build_bottleneck(weights)
        if self._bottleneck is not None:
            self._bottleneck.to(self.device)
        self._wanted_device, self._path = device, ""

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
        path = checkpoint.locate(wanted)
        codec = cls(checkpoint.load(path), device, tile)
        codec._path = str(path.absolute())
        return codec

    @classmethod
    def for_file(
        cls,
        data: bytes,
        device: str = "auto",
        tile: int | None = None,
        limits: Limits | None = None,
    ) -> Codec:
        """Load the installed model that a ``.glc`` file was made with.

        Args:
            data: the file; only its header matters here.
            device: as in ``from_pretrained``.
            tile: see the class.
            limits: what to accept, here and in ``decode``; ``Limits()`` when omitted.

        Raises:
            BitstreamError: not a readable ``.glc`` file.
            WeightsError: its model is not installed.
        """
        info: ModelInfo = checkpoint.find(unpack(data, limits).model)
        codec = cls.from_pretrained(info.path, device, tile)
        codec.limits = limits or Limits()
        return codec

    def __reduce__(self) -> tuple[Any, ...]:
        known = self._path, self.name, self.identity, self._wanted_device, self.limits, self.tile
        return _restore, known

    def encode(self, picture: Source, quality: int = 50, keep_metadata: bool = False) -> bytes:
        """Compress a picture.

        Args:
            picture: a PIL image, a path, uint8 arrays (H, W), (H, W, 3), (H, W, 4), or a tensor
                (3, H, W) or (1, H, W), uint8 or float in [0, 1]. Rules for modes, alpha,
                orientation and profiles: ``glc.image``.
            quality: 0 to 100, of any type as long as it is whole; higher is better and larger.
            keep_metadata: store EXIF and XMP.

        Returns:
            The bytes of a ``.glc`` file.

        Raises:
            ImageError: the picture cannot be read.
            ValueError: quality out of range, or an array of the wrong kind.
        """
        return self.encode_batch([picture], quality, keep_metadata)[0]

    def encode_batch(
        self,
        pictures: Iterable[Source],
        quality: int = 50,
        keep_metadata: bool = False,
        version: int = FORMAT_VERSION,
    ) -> list[bytes]:
        """Compress several pictures of any sizes; those of one padded size run as one batch.

        A batch may round differently from single pictures, so its bytes may differ from those of
        ``encode``; they decode to the same symbols everywhere, as all files do.

        Args:
            pictures: as in ``encode``.
            quality: 0 to 100; higher is better and larger.
            keep_metadata: store EXIF and XMP.
            version: of the format; an older one for readers, and archives, that know no other.

        Returns:
            One file per picture, in order.

        Raises:
            ImageError: a picture cannot be read.
            ValueError: quality out of range, no such version, or an array of the wrong kind.
        """
        quality = assembly.check_quality(quality)
        check_version(version)
        loaded = [_load(picture) for picture in pictures]
        files: list[bytes] = [b""] * len(loaded)
        done = 0
        for members in _group(loaded):
            batch = [loaded[index] for index in members]
            tiling = Tiling(self.tile).share(done, len(members), len(loaded))
            latents = self.analyse(batch, tiling=tiling.within(0.0, 0.5))
            coded = self._code(batch, latents, quality, version, tiling.within(0.5, 1.0))
            for index, payload in zip(members, coded, strict=True):
                files[index] = self._pack(loaded[index], quality, keep_metadata, *payload, version)
            done += len(members)
        return files

    def encode_to_size(self, picture: Source, max_bytes: int, keep_metadata: bool = False) -> bytes:
        """Compress with the highest quality whose file has at most ``max_bytes`` bytes.

        Args:
            picture: as in ``encode``.
            max_bytes: 1 or more.
            keep_metadata: store EXIF and XMP.

        Raises:
            ImageError: the picture cannot be read.
            ValueError: the file is larger even at quality 0, or ``max_bytes`` is no size.
        """
        max_bytes, loaded = assembly.check_size(max_bytes), _load(picture)
        tiling = Tiling(self.tile)
        # A search among 101 qualities tries at most seven.
        latents = self.analyse([loaded], tiling=tiling.share(0, 1, 8))
        tried = 0

        def code(quality: int) -> bytes:
            nonlocal tried
            tried += 1
            own = tiling.share(tried, 1, 8)
            ((payload, symbols),) = self._code([loaded], latents, quality, tiling=own)
            return self._pack(loaded, quality, keep_metadata, payload, symbols)

        return assembly.best_fit(code, max_bytes)

    @property
    def takes_realism(self) -> bool:
        """Say whether a realism changes what this model shows: from architecture 2 on."""
        return self._model.config.linear

    def decode(self, data: bytes, realism: int | None = None) -> Image.Image:
        """Decompress a ``.glc`` file made with this model.

        Args:
            data: the file. It knows nothing of the realism: one file, two ways to show it
                (Agustsson et al., arXiv 2212.13824).
            realism: 0 shows the most faithful picture, 100 the most realistic one, and what lies
                between is a mixture; None is ``glc.config.DEFAULT_REALISM``. A model that does
                not take one (``takes_realism``) shows the same picture at all of them.

        Returns:
            An image of mode RGB, L, RGBA or LA, as the original had it.

        Raises:
            BitstreamError: the file is damaged, or not a ``.glc`` file.
            ValueError: the realism is not a whole number from 0 to 100.
            WeightsError: the file was made with another model.
        """
        return self.decode_batch([data], realism)[0]

    def decode_batch(self, files: Sequence[bytes], realism: int | None = None) -> list[Image.Image]:
        """Decompress several files of any sizes; those of one padded size run as one batch.

        Arguments and errors are those of ``decode``.
        """
        shown = assembly.check_realism(realism)
        containers = [self._open(data) for data in files]
        tiling = Tiling(self.tile)
        pictures: dict[int, Image.Image] = {}
        for members, y_hat in self._decode_symbols(containers, tiling):
            first = containers[members[0]]
            # One picture can be written without its padding at once.
            size = (first.height, first.width) if len(members) == 1 else None
            own = tiling.share(len(pictures), len(members), len(files)).within(0.5, 1.0)
            x_hat = self._synthesise(y_hat, first.quality, shown, size, tiling=own)
            del y_hat
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
        sides = [Tiling(self.tile).side_for(c.height, c.width) for c in containers]
        for container, side in zip(containers, sides, strict=True):
            if side:
                # Floats take most of the time, and a picture in tiles can do without.
                self._read_integers(container)
        uncut = [c for c, side in zip(containers, sides, strict=True) if not side]
        for _ in self._decode_symbols(uncut):
            pass
        for container in containers:
            assembly.alpha_of(container)

    def _decode_symbols(
        self, containers: list[Container], tiling: Tiling | None = None
    ) -> Iterator[tuple[list[int], Tensor]]:
        """Yield the members of each batch, as positions in ``containers``, and their y_hat."""
        tiling, done = tiling or Tiling(self.tile), 0
        groups: OrderedDict[tuple[int, int, int], list[int]] = OrderedDict()
        for index, container in enumerate(containers):
            key = (*assembly.padded(container.height, container.width), container.quality)
            groups.setdefault(key, []).append(index)
        for members in groups.values():
            own = tiling.share(done, len(members), len(containers)).within(0.0, 0.5)
            yield members, self._read_symbols([containers[i] for i in members], tiling=own)
            done += len(members)

    def bits(self, picture: Source, quality: int = 50) -> float:
        """Return the bits that the model itself expects for a picture: z and y, no container."""
        quality = assembly.check_quality(quality)
        return self._bits_of([_load(picture)], quality)[0]

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
            quality = assembly.check_quality(quality)
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
        quality = assembly.check_quality(quality)
        loaded = [_load(picture) for picture in pictures]
        scores = [0.0] * len(loaded)
        for members in _group(loaded):
            bits = self._bits_of([loaded[index] for index in members], quality)
            for index, total in zip(members, bits, strict=True):
                scores[index] = total / (loaded[index].width * loaded[index].height)
        return scores

    def preview(self, data: bytes, realism: int | None = None) -> Image.Image:
        """Show what the hyper-latent alone says: the first bytes of a file, or of a part of it.

        Every symbol is taken as 0. Nothing is verified, even if all of the file is there.

        Args:
            data: the file from its first byte on, as far as it has come.
            realism: as in ``decode``.

        Raises:
            TruncatedError: the hyper-latent has not arrived; the message says what it takes.
            BitstreamError, ValueError, WeightsError: as ``decode``.
        """
        shown, prefix = assembly.check_realism(realism), self._open_prefix(data)
        return self._show(prefix, self._read(prefix, with_symbols=False), shown)

    def decode_partial(self, data: bytes, realism: int | None = None) -> PartialPicture:
        """Decode what has arrived of a file: every symbol that is certain, 0 for the others.

        A complete file is decoded and verified as ``decode`` does it.

        Args:
            data: the file from its first byte on, as far as it has come.
            realism: as in ``decode``.

        Raises:
            TruncatedError: the hyper-latent has not arrived; the message says what it takes.
            CorruptError: the file is damaged, as far as that can be told.
            BitstreamError, ValueError, WeightsError: as ``decode``.
        """
        shown, prefix = assembly.check_realism(realism), self._open_prefix(data)
        reading = self._read(prefix)
        self._check(prefix, reading)
        return PartialPicture(
            image=self._show(prefix, reading, shown),
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
        prior: str = "learned",
        realism: int | None = None,
    ) -> list[Image.Image]:
        """Draw pictures from what the model takes for probable.

        Args:
            count: how many; the first ones of a seed do not depend on it.
            size: (width, height) in pixels.
            quality: whose tables and gains; no matter to the prior ``normal``.
            seed: 0 or more; the same one gives the same symbols, or normal numbers but for their
                last digits, on every machine.
            temperature: 1 draws as the prior says; less, what is more probable; above 0.
            prior: ``learned`` draws from the probability tables that files are coded with;
                ``normal`` draws z ~ N(0, I) and shows it as the bottleneck of phase 1 does.
            realism: as in ``decode``.

        Raises:
            ValueError: an argument out of range.
            WeightsError: prior ``normal``, and phase 1 of this model had no Gaussian bottleneck.
        """
        quality = assembly.check_quality(quality)
        shown = assembly.check_realism(realism)
        count, seed = whole("count", count, 0), whole("seed", seed, 0)
        width, height = size = whole("width", size[0], 1), whole("height", size[1], 1)
        if prior not in imagination.PRIORS:
            raise ValueError(f"prior: expected one of {imagination.PRIORS}, found {prior!r}")
        if prior == "normal":
            draws = (imagination.Draw(seed, number, temperature) for number in range(count))
            return self._sample_normal(draws, size, realism)
        grid = tuple(side // IMAGE_STRIDE for side in assembly.padded(height, width))
        pictures = []
        for number in range(count):
            draw = imagination.Draw(seed, number, temperature)
            z = draw.indices(self._indices, self.bank(quality), grid[0] * grid[1]).reshape(grid)
            y_hat = imagination.draw_latent(self._model, self._scales, z, quality, draw)
            rgb = self._synthesise(y_hat, quality, shown)[0]
            pictures.append(Image.fromarray(np.ascontiguousarray(rgb[:height, :width])))
        return pictures

    @own_precision
    def _sample_normal(
        self, draws: Iterable[imagination.Draw], size: tuple[int, int], realism: int | None
    ) -> list[Image.Image]:
        if self._bottleneck is None:
            raise WeightsError(
                f"model {self.name} has no prior 'normal': its phase 1 was not trained with "
                "--regulariser kl; use the prior 'learned'"
            )
        width, height = (-(-side // LATENT_STRIDE) for side in size)
        pictures = []
        for draw in draws:
            z = imagination.draw_normal(self._model.config.latent_channels, height, width, draw)
            (l,) = latent.to_arrays(self._bottleneck.expand(z.to(self.device)))
            pictures.append(self.from_latents(l, size, realism))
        return pictures

    @own_precision
    def interpolate(
        self, a: Source, b: Source, steps: int = 8, realism: int | None = None
    ) -> list[Image.Image]:
        """Decode pictures on the way from one latent to another, both ends included.

        The way is spherical at every position, see ``glc.imagination.spherical``.

        Args:
            a: a picture as in ``encode``.
            b: another one of the same size.
            steps: how many pictures, at least 2.
            realism: as in ``decode``.

        Raises:
            ImageError: a picture cannot be read.
            ValueError: pictures of two sizes, fewer than two steps, or no such realism.
        """
        ends = [_load(a), _load(b)]
        sizes = [(end.width, end.height) for end in ends]
        steps = whole("steps", steps, 2)
        if sizes[0] != sizes[1]:
            raise ValueError(f"pictures: expected two of one size, found {sizes}")
        path = self._shown(imagination.path(self.analyse(ends), steps))
        return [self.from_latents(l, sizes[0], realism) for l in latent.to_arrays(path)]

    def latents(self, picture: Source | bytes) -> NDArray[np.float32]:
        """Return the latent l of a picture, or the l_hat that a ``.glc`` file decodes to.

        Args:
            picture: a picture as in ``encode``, or the bytes of a file made with this model.

        Returns:
            (h, w, C_l) float32, a vector for every 16 x 16 pixels; h is 4 ceil(H / 64), w is
            4 ceil(W / 64). What lies beyond ceil(H / 16) or ceil(W / 16) belongs to the padding.
            Of a picture, every vector has unit mean square; of a file less, since what is not coded
            is averaged (docs/latent.md). If phase 1 had a Gaussian bottleneck, l is as its decoder
            was shown it, without noise, and of any length.

        Raises:
            GlcError: as ``encode`` or ``decode``.
        """
        return self.latents_batch([picture])[0]

    @own_precision
    def latents_batch(self, pictures: Iterable[Source | bytes]) -> list[NDArray[np.float32]]:
        """Return the latents of several pictures or files; those of one shape run as one batch."""
        items = list(pictures)
        found: dict[int, NDArray[np.float32]] = {}
        files = [index for index, item in enumerate(items) if isinstance(item, bytes)]
        containers = [self._open(item) for item in items if isinstance(item, bytes)]
        for members, y_hat in self._decode_symbols(containers):
            quality = containers[members[0]].quality
            levels = torch.full((len(members),), quality, device=self.device)
            l_hat = self._model.synthesis(y_hat.to(self.device), levels)
            found |= zip([files[index] for index in members], latent.to_arrays(l_hat), strict=True)
        others = [index for index in range(len(items)) if index not in found]
        loaded = [_load(item) for item in items if not isinstance(item, bytes)]
        for members in _group(loaded):
            l = self._shown(self.analyse([loaded[index] for index in members]))
            found |= zip([others[index] for index in members], latent.to_arrays(l), strict=True)
        return [found[index] for index in range(len(items))]

    @own_precision
    def from_latents(
        self,
        latents: NDArray[np.float32],
        size: tuple[int, int] | None = None,
        realism: int | None = None,
    ) -> Image.Image:
        """Decode what ``latents`` returned, or something near it.

        Args:
            latents: (h, w, C_l) float32, any h and w.
            size: (width, height) of the picture, at most 16 w x 16 h; all of it when omitted.
            realism: as in ``decode``.

        Returns:
            An image of mode RGB. Of the latents of a file these are the pixels of ``decode``.

        Raises:
            ValueError: another shape, values that are not finite, a size that does not fit, or no
                such realism.
        """
        width, height = latent.check(latents, self._model.config.latent_channels, size)
        shown = torch.tensor([assembly.check_realism(realism)], device=self.device)
        l = latent.to_tensor(latents).to(self.device)
        rgb = to_pixels(self._model.decoder(l, shown))[0]
        return Image.fromarray(np.ascontiguousarray(rgb[:height, :width]))

    @own_precision
    def _shown(self, l: Tensor) -> Tensor:
        """Return what D was trained to decode of l: itself, or what a Gaussian makes of it."""
        if self._bottleneck is None:
            return l
        return self._bottleneck.clean(l.to(self.device))

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
        return assembly.open_file(data, self.limits, self.identity, self.name)

    def _open_prefix(self, data: bytes) -> Prefix:
        prefix = unpack_prefix(data, self.limits)
        assembly.check_model(prefix.header.model, self.identity, self.name)
        return prefix

    @in_smaller_tiles
    @own_precision
    def _read(
        self, prefix: Prefix, with_symbols: bool = True, *, tiling: Tiling | None = None
    ) -> Reading:
        bank, tiling = self.bank(prefix.header.quality), tiling or Tiling(self.tile)
        return read(self._model, self._scales, self._indices, bank, prefix, with_symbols, tiling)

    def _check(self, prefix: Prefix, reading: Reading) -> None:
        """Compare the checksum of a file that has arrived whole."""
        if prefix.container is not None:
            self._compare(prefix.container, reading.indices, reading.symbols)

    def _show(self, prefix: Prefix, reading: Reading, realism: float) -> Image.Image:
        header = prefix.header
        fields = (header.width, header.height, header.quality, header.model)
        container = Container(*fields, prefix.payload, prefix.chunks, version=header.version)
        pixels = self._synthesise(reading.y_hat, header.quality, realism)[0]
        return assembly.finish(container, pixels)

    @property
    def _model(self) -> GlcModel:
        _check_process()
        return self._networks

    @property
    def _arrays(self) -> ArrayNetworks:
        return ArrayNetworks(self._model)

    @property
    def hyper_size(self) -> int:
        """Number of different z indices."""
        return self._model.config.hyper_size

    def bank(self, quality: int) -> int:
        """Return the z table of a quality: that of the nearest anchor, the higher one of two."""
        return assembly.bank_of(quality, self._model.config.quality_anchors)

    @in_smaller_tiles
    @own_precision
    def analyse(self, pictures: list[image.Picture], *, tiling: Tiling | None = None) -> Tensor:
        """Return the latent l of pictures of one padded size: (B, C_l, h, w) float32."""
        height, width = assembly.padded(pictures[0].height, pictures[0].width)
        tiling = tiling or Tiling(self.tile)
        if side := tiling.side_for(height, width):
            shares = _shares(tiling, len(pictures))
            found = [
                large.analyse(self._arrays, picture, side, own.progress)
                for picture, own in zip(pictures, shares, strict=True)
            ]
            return torch.from_numpy(_join(found))
        batch = np.stack([assembly.pad(picture.rgb, height, width) for picture in pictures])
        x = torch.from_numpy(batch).to(self.device).permute(0, 3, 1, 2)
        l: Tensor = self._model.encoder(x.float() / 127.5 - 1.0)
        return l

    @in_smaller_tiles
    @own_precision
    def quantise(
        self,
        pictures: list[image.Picture],
        latents: Tensor,
        quality: int,
        *,
        tiling: Tiling | None = None,
    ) -> tuple[NDArray[np.int32], list[list[large.Message]], large.Integers]:
        """Turn latents into the integers that are coded.

        Args:
            pictures: whose latents these are; positions outside of them are not coded.
            latents: as ``analyse`` returns them.
            quality: 0 to 100.
            tiling: how large pictures are cut; as ``tile`` says when omitted.

        Returns:
            Indices of z (B, h / 4, w / 4); for every picture the rows and symbols of each step in
            coding order; and all symbols, (B, C_y, h, w). Rows and symbols are int32, those of
            pictures in tiles uint8 and int16.
        """
        tiling, model = tiling or Tiling(self.tile), self._model
        if side := tiling.side_for(pictures[0].height, pictures[0].width):
            shares = _shares(tiling, len(pictures))
            items = zip(pictures, latents.cpu().split(1), shares, strict=True)
            found = [
                large.quantise(self._arrays, picture, l.numpy(), quality, side, own.progress)
                for picture, l, own in items
            ]
            z, steps, symbols_of_all = zip(*found, strict=True)
            return np.stack(z).astype(np.int32), list(steps), _stack(symbols_of_all)
        levels = torch.full((len(pictures),), quality, device=self.device)
        y = model.analysis(latents.to(self.device), levels)
        z = model.hyper_codebook(model.hyper_analysis(y, levels))
        indices = model.hyper_codebook.to_indices(z)
        digits = model.hyper_codebook.to_digits(indices)
        inside = _inside([(p.height, p.width) for p in pictures], y.shape).to(self.device)
        messages: list[list[large.Message]] = [[] for _ in pictures]
        everything = np.zeros(y.shape, np.int32)

        def exchange(
            step: int, mean: Tensor, quant_step: Tensor, rows: Tensor, mask: Tensor
        ) -> Tensor:
            coded = mask & inside
            symbols = to_symbols(y, mean, quant_step, rows, coded, model.config.rounding)
            chosen, where = symbols.cpu().numpy().astype(np.int32), coded.cpu().numpy()
            tables = rows.cpu().numpy().astype(np.int32)
            everything[...] += chosen
            for index, message in enumerate(messages):
                message.append((tables[index][where[index]], chosen[index][where[index]]))
            return symbols

        model.code_symbols(digits, levels, exchange)
        return indices.cpu().numpy().astype(np.int32), messages, everything

    def _code(
        self,
        pictures: list[image.Picture],
        latents: Tensor,
        quality: int,
        version: int = FORMAT_VERSION,
        tiling: Tiling | None = None,
    ) -> list[tuple[bytes, bytes]]:
        """Return (payload, canonical symbol bytes) of every picture."""
        indices, messages, symbols = self.quantise(pictures, latents, quality, tiling=tiling)
        coded = []
        for index, message in enumerate(messages):
            tables, bank = (self._scales, self._indices), self.bank(quality)
            payload = large.write(tables, indices[index], message, bank, order_of(version))
            coded.append((payload, assembly.canonical(indices[index], symbols[index])))
        return coded

    def _pack(
        self,
        picture: image.Picture,
        quality: int,
        keep_metadata: bool,
        payload: bytes,
        symbols: bytes,
        version: int = FORMAT_VERSION,
    ) -> bytes:
        return assembly.to_file(
            picture, quality, keep_metadata, self.identity, payload, symbols, version
        )

    @in_smaller_tiles
    @own_precision
    def _read_symbols(self, containers: list[Container], *, tiling: Tiling | None = None) -> Tensor:
        """Decode payloads of one padded size and quality: y_hat (B, C_y, h, w), checksums checked.

        Raises:
            CorruptError: a payload cannot be decoded, or decodes to something else.
        """
        model, quality = self._model, containers[0].quality
        height, width = assembly.padded(containers[0].height, containers[0].width)
        tiling = tiling or Tiling(self.tile)
        if side := tiling.side_for(height, width):
            return self._read_tiles(containers, side, tiling)
        rows_z, columns_z = height // IMAGE_STRIDE, width // IMAGE_STRIDE
        decoders = [RangeDecoder(container.payload) for container in containers]
        orders = [order_of(container.version) for container in containers]
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
            for index, (decoder, order) in enumerate(zip(decoders, orders, strict=True)):
                chosen = where[index]
                symbols[index][chosen] = self._scales.decode(decoder, tables[index][chosen], order)
            everything[...] += symbols
            return torch.from_numpy(symbols).float().to(self.device)

        y_hat = model.code_symbols(digits, levels, exchange)
        for index, container in enumerate(containers):
            self._compare(container, indices[index], everything[index])
        return y_hat

    def _read_tiles(self, containers: list[Container], side: int, tiling: Tiling) -> Tensor:
        """Do as ``_read_symbols``; no float is computed for a file before it has been checked."""
        batch = []
        for container, own in zip(containers, _shares(tiling, len(containers)), strict=True):
            integers = self._read_integers(container, tiling=own.within(0.0, 0.5))
            tiles = large.tiles_of(self._arrays, container, side)
            batch.append(tiles.y_hat(*integers, own.within(0.5, 1.0).progress))
        return torch.from_numpy(_join(batch))

    @in_smaller_tiles
    @own_precision
    def _read_integers(
        self, container: Container, *, tiling: Tiling | None = None
    ) -> tuple[large.Integers, large.Integers]:
        """Decode a payload in tiles: see ``glc.large.read``."""
        tiling = tiling or Tiling(self.tile)
        side = tiling.side_for(container.height, container.width)
        tables = self._scales, self._indices
        return large.read(self._arrays, tables, container, self.identity, side, tiling.progress)

    def _compare(
        self, container: Container, indices: large.Integers, symbols: large.Integers
    ) -> None:
        """Raise CorruptError if these are not the integers that the file was made of."""
        assembly.check_symbols(container, self.identity, assembly.canonical(indices, symbols))

    @in_smaller_tiles
    @own_precision
    def _synthesise(
        self,
        y_hat: Tensor,
        quality: int,
        realism: float,
        size: tuple[int, int] | None = None,
        *,
        tiling: Tiling | None = None,
    ) -> NDArray[np.uint8]:
        """y_hat (B, C_y, h, w) -> (B, H, W, 3) uint8, at a realism of 0 to 1.

        H and W are 16 h and 16 w, or ``size`` if that is given and the picture is in tiles.
        """
        height, width = (LATENT_STRIDE * positions for positions in y_hat.shape[2:])
        tiling = tiling or Tiling(self.tile)
        if side := tiling.side_for(height, width):
            items = zip(y_hat.cpu().split(1), _shares(tiling, len(y_hat)), strict=True)
            shown = size or (height, width)
            return _stack(
                [
                    large.synthesise(
                        self._arrays, own.numpy(), quality, realism, shown, side, part.progress
                    )
                    for own, part in items
                ]
            )
        levels = torch.full((len(y_hat),), quality, device=self.device)
        l_hat = self._model.synthesis(y_hat.to(self.device), levels)
        realisms = torch.full((len(y_hat),), realism, device=self.device)
        return to_pixels(self._model.decoder(l_hat, realisms))


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


def bottleneck_tensors(bottleneck: GaussianBottleneck) -> dict[str, NDArray[np.generic]]:
    """Return what a weights file holds of a Gaussian bottleneck: float16."""
    state = bottleneck.state_dict().items()
    return {n: value.detach().float().cpu().numpy().astype(np.float16) for n, value in state}


def _build_bottleneck(weights: Checkpoint) -> GaussianBottleneck | None:
    """Rebuild the Gaussian bottleneck of phase 1, if the weights have one; they are checked."""
    if weights.bottleneck is None:
        return None
    with torch.device("cpu"), WithoutRandomNumbers():
        bottleneck = GaussianBottleneck(weights.config.latent_channels)
    state = {name: torch.from_numpy(array).float() for name, array in weights.bottleneck.items()}
    bottleneck.load_state_dict(state)
    return bottleneck.eval().requires_grad_(False)


def _build(weights: Checkpoint) -> tuple[GlcModel, ScaleTables, IndexTables]:
    """Strictly rebuild model and tables: every tensor is expected, and no other."""
    _check_tensors(weights)
    # Whatever type and place the program has made torch's default.
    with torch.device("cpu"), WithoutRandomNumbers():
        model = GlcModel(weights.config).float().eval().requires_grad_(False)
    given = dict(weights.tensors)
    scales = ScaleTables.from_arrays(_take(given, f"{_TABLES}scale."))
    indices = IndexTables.from_arrays(_take(given, f"{_TABLES}index."))
    state: dict[str, Tensor] = {}
    for name, mine in model.state_dict().items():
        if name.endswith(_UNUSED):
            state[name] = mine
        else:
            state[name] = torch.from_numpy(np.ascontiguousarray(given[name])).float()
    model.load_state_dict(state)
    model.scale_map.load_integers(_take(state, _SCALE_MAP))
    return model, scales, indices


def _restore(
    path: str, name: str, identity: bytes, device: str, limits: Limits, tile: int | None
) -> Codec:
    """Load the codec that was pickled: from where it was, or from an installed model.

    Raises:
        WeightsError: neither has weights of this identity.
    """
    codec = Codec.from_pretrained(path, device, tile) if path and Path(path).is_file() else None
    if codec is None or codec.identity != identity:
        try:
            codec = Codec.from_pretrained(checkpoint.find(identity).path, device, tile)
        except WeightsError as error:
            raise WeightsError(
                f"the pickled codec was of model {name} ({identity[:MODEL_BYTES].hex()}), whose "
                f"weights are neither at {path or 'a path'} nor installed: {error}"
            ) from error
    codec.limits = limits
    return codec


def _check_tensors(weights: Checkpoint) -> None:
    """Check every tensor before anything is allocated: a small configuration can ask for much.

    Raises:
        WeightsError: a tensor is missing, unexpected, of another shape or type, or out of range.
    """
    tensors = {n: array for n, array in weights.tensors.items() if not n.startswith(_TABLES)}
    # Torch's meta device would do, but takes a second: it imports the compiler.
    OnnxModel(weights.config, tensors)
    shape = weights.config.quality_anchors, weights.config.hyper_size
    found = weights.tensors.get(f"{_TABLES}index.frequencies")
    if found is None or found.shape != shape:
        raise WeightsError(f"weights: {_TABLES}index.frequencies: expected shape {shape}")


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
    mask = torch.zeros(shape[0], 1, shape[2], shape[3], dtype=torch.bool, device="cpu")
    for index, (height, width) in enumerate(sizes):
        mask[index, :, : -(-height // LATENT_STRIDE), : -(-width // LATENT_STRIDE)] = True
    return mask


def _group(pictures: list[image.Picture]) -> list[list[int]]:
    groups: OrderedDict[tuple[int, int], list[int]] = OrderedDict()
    for index, picture in enumerate(pictures):
        groups.setdefault(assembly.padded(picture.height, picture.width), []).append(index)
    return list(groups.values())


def _shares(tiling: Tiling, count: int) -> list[Tiling]:
    """Return what of the progress is for each of ``count`` pictures."""
    return [tiling.share(number, 1, count) for number in range(count)]


def _join(batches: Sequence[NDArray[_Kind]]) -> NDArray[_Kind]:
    """Put batches into one; a single one is not copied."""
    return batches[0] if len(batches) == 1 else np.concatenate(batches)


def _stack(items: Sequence[NDArray[_Kind]]) -> NDArray[_Kind]:
    """Make a batch of arrays; a single one is not copied."""
    return _join([item[None] for item in items])
