"""The codec: pictures to bytes and back, put together from bytes, integers and networks.

``Codec.encode`` and ``Codec.decode`` are the library. What the payload holds, and in which order,
is specified in docs/format.md, section 7.
"""

from __future__ import annotations

import dataclasses
import os
import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glc import image
from glc.analysis import latent, rate_map, sampling
from glc.analysis.bottleneck import Bottleneck
from glc.analysis.preview import PartialPicture, Reading, missing, read
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
from glc.effort.levels import LEVELS, check_effort, check_torch
from glc.effort.search import Refiner, Search, open_refiner
from glc.entropy import IndexTables, ScaleTables
from glc.errors import WeightsError
from glc.file import assembly, payload
from glc.file.payload import Message, Tables
from glc.file.versions import order_of
from glc.image import inputs
from glc.image.inputs import Source
from glc.pipeline import Pipeline
from glc.runtime.choice import AUTO, FLOAT32, choose, open_networks
from glc.runtime.out_of_memory import in_smaller_tiles
from glc.runtime.protocol import Floats, Integers, Pixels
from glc.tiling.geometry import Tiling
from glc.tiling.progress import Progress
from glc.tiling.sizes import grid_of, inside, padded
from glc.weights import checkpoint
from glc.whole import whole

if TYPE_CHECKING:
    from glc.weights.checkpoint import Checkpoint, ModelInfo

__all__ = ["Codec"]

_Size: TypeAlias = "tuple[int, int]"
"""Height and width."""
_Kind = TypeVar("_Kind", bound="np.generic")


class Codec:
    """One model, ready to encode and decode.

    Safe to use from several threads at once, and in processes forked or spawned from this one:
    docs/robustness.md has the rules. A pickled codec names its weights and does not hold them.
    Encoding is deterministic: the same picture, quality, runtime and machine give the same bytes;
    and whatever decodes them, wherever, reads the same symbols.

    Attributes:
        identity: 32 bytes, SHA-256 of the weights file.
        name: of the model.
        limits: what ``decode`` accepts.
        tile: images of more than tile x tile pixels are processed in tiles, which bounds memory;
            0 disables that, None picks a default. Pixels differ by the rounding of floats alone.
        networks: what computes, see ``glc.runtime``.

    The examples of the methods go on with this one:

    Example:
        >>> import glc
        >>> codec = glc.Codec.from_pretrained()
        >>> data = codec.encode("photo.jpg", quality=50)
        >>> codec.decode(data).size
        (96, 64)
    """

    def __init__(
        self,
        weights: Checkpoint,
        *,
        runtime: str = AUTO,
        device: str = AUTO,
        precision: str = FLOAT32,
        tile: int | None = None,
    ) -> None:
        self.identity, self.name = weights.identity, weights.name
        self.limits = Limits()
        self.tile = Tiling(tile).side
        self.networks = open_networks(weights, runtime, device, precision)
        self._tables = _build_tables(weights)
        layers = weights.bottleneck
        self._bottleneck = None if layers is None else Bottleneck(layers)
        self._how, self._path = (runtime, device, precision), ""
        self._weights, self._lock = weights, threading.Lock()
        self._refiner: Refiner | None = None

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str] | None = None,
        *,
        runtime: str = AUTO,
        device: str = AUTO,
        precision: str = FLOAT32,
        tile: int | None = None,
    ) -> Codec:
        """Load an installed model by name, any model by path, or the default one.

        Args:
            name_or_path: as listed by ``glc models``, or a ``.safetensors`` file.
            runtime: onnxruntime, which computes on a CPU; torch, an extra; auto takes torch where
                it is installed and finds a GPU, else onnxruntime. Both read and write the same
                files; pixels differ by the rounding of floats.
            device: auto, cpu, cuda, cuda:1, mps; auto takes a GPU if torch finds one.
            precision: float32, or int8 for two thirds of D's multiplications, on a CPU: decoding is
                faster, and pixels differ by more than rounding (docs/performance.md). Encoding and
                the symbols of a file are the same in both.
            tile: images of more than tile x tile pixels are processed in tiles, which bounds
                memory; 0 disables that, None picks a default.

        Raises:
            ModuleNotFoundError: the runtime is not installed; the message says what brings it.
            ValueError: no such runtime or precision, or one that does not go with the device.
            WeightsError: missing or malformed weights, or weights that know no ranges for int8.

        Example:
            >>> codec = glc.Codec.from_pretrained("tiny", device="cpu")
            >>> codec.name, codec.runtime, codec.device
            ('tiny', 'onnxruntime', 'cpu')
        """
        wanted = None if name_or_path is None else os.fspath(name_or_path)
        # First what needs no file.
        choose(runtime, device, precision)
        path = checkpoint.locate(wanted)
        how = {"runtime": runtime, "device": device, "precision": precision}
        codec = cls(checkpoint.load(path), **how, tile=tile)
        codec._path = str(path.absolute())
        return codec

    @classmethod
    def for_file(
        cls,
        data: bytes,
        *,
        runtime: str = AUTO,
        device: str = AUTO,
        precision: str = FLOAT32,
        tile: int | None = None,
        limits: Limits | None = None,
    ) -> Codec:
        """Load the installed model that a ``.glc`` file was made with.

        Args:
            data: the file; only its header matters here.
            runtime: onnxruntime, torch or auto, as in ``from_pretrained``.
            device: auto, cpu, cuda, cuda:1, mps.
            precision: float32 or int8, as in ``from_pretrained``.
            tile: images of more than tile x tile pixels are processed in tiles, which bounds
                memory; 0 disables that, None picks a default.
            limits: what to accept, here and in ``decode``; ``Limits()`` when omitted.

        Raises:
            BitstreamError: not a readable ``.glc`` file.
            ModuleNotFoundError, ValueError: as ``from_pretrained``.
            WeightsError: its model is not installed.

        Example:
            >>> data = codec.encode("photo.jpg")
            >>> glc.Codec.for_file(data).name == codec.name
            True
        """
        info: ModelInfo = checkpoint.find(unpack(data, limits).model)
        how = {"runtime": runtime, "device": device, "precision": precision}
        codec = cls.from_pretrained(info.path, **how, tile=tile)
        codec.limits = limits or Limits()
        return codec

    def __reduce__(self) -> tuple[Any, ...]:
        known = self._path, self.name, self.identity, self._how, self.limits, self.tile
        return _restore, known

    @property
    def runtime(self) -> str:
        """What computes: onnxruntime or torch."""
        return self.networks.runtime

    @property
    def device(self) -> str:
        """Where it computes: cpu, cuda, cuda:1, mps."""
        return self.networks.device

    def encode(
        self,
        picture: Source,
        quality: int = 50,
        keep_metadata: bool = False,
        progress: Progress | None = None,
        effort: int = 0,
    ) -> bytes:
        """Compress a picture.

        Args:
            picture: a PIL image, a path, uint8 arrays (H, W), (H, W, 3), (H, W, 4), or a tensor of
                torch, (3, H, W) or (1, H, W), uint8 or float in [0, 1]. Rules for modes, alpha,
                orientation and profiles: ``glc.image``.
            quality: 0 to 100, of any type as long as it is whole; higher is better and larger.
            keep_metadata: store EXIF and XMP.
            progress: called after every tile with the share of the work that is done, 0 to 1;
                never for a picture in one piece; with an effort pieces are smaller.
            effort: 0 to 9: how long to search for a better picture in a file of about the size
                that 0, a single pass, gives; docs/performance.md has what each level costs and
                brings. From 1 on it needs torch, whatever the runtime.

        Returns:
            The bytes of a ``.glc`` file.

        Raises:
            ImageError: the picture cannot be read.
            ModuleNotFoundError: the effort needs torch; the message says what brings it.
            ValueError: quality or effort out of range, or an array of the wrong kind.

        Example:
            >>> from PIL import Image
            >>> data = codec.encode(Image.open("photo.jpg"), quality=80)
            >>> len(data) > len(codec.encode("photo.jpg", quality=20))
            True
        """
        batch = self.encode_batch(
            [picture], quality, keep_metadata, progress=progress, effort=effort
        )
        return batch[0]

    def encode_batch(
        self,
        pictures: Iterable[Source],
        quality: int = 50,
        keep_metadata: bool = False,
        version: int = FORMAT_VERSION,
        progress: Progress | None = None,
        effort: int = 0,
    ) -> list[bytes]:
        """Compress several pictures of any sizes; those of one padded size run as one batch.

        A batch may round differently from single pictures, so its bytes may differ from those of
        ``encode``; they decode to the same symbols everywhere, as all files do.

        Args:
            pictures: as in ``encode``.
            quality: 0 to 100; higher is better and larger.
            keep_metadata: store EXIF and XMP.
            version: of the format; an older one for readers, and archives, that know no other.
            progress: as in ``encode``, of all of them together.
            effort: as in ``encode``.

        Returns:
            One file per picture, in order.

        Raises:
            ImageError: a picture cannot be read.
            ModuleNotFoundError: the effort needs torch; the message says what brings it.
            ValueError: quality or effort out of range, no such version, or an array of the wrong
                kind.

        Example:
            >>> files = codec.encode_batch(["a.jpg", "b.jpg"], quality=30)
            >>> len(files)
            2
        """
        quality = assembly.check_quality(quality)
        search = self._searching(effort)
        check_version(version)
        loaded = [inputs.load(picture) for picture in pictures]
        files: list[bytes] = [b""] * len(loaded)
        done = 0
        for members in _group([padded(p.height, p.width) for p in loaded]):
            batch = [loaded[index] for index in members]
            tiling = Tiling(self.tile, progress).share(done, len(members), len(loaded))
            share = 0.05 if search.level.steps else 0.5
            latents = self.analyse(batch, tiling=tiling.within(0.0, share))
            rest = tiling.within(share, 1.0)
            coded = self._code(batch, latents, quality, version, rest, search)
            for index, own in zip(members, coded, strict=True):
                files[index] = self._pack(loaded[index], quality, keep_metadata, *own, version)
            done += len(members)
        return files

    def encode_to_size(
        self,
        picture: Source,
        max_bytes: int,
        keep_metadata: bool = False,
        progress: Progress | None = None,
        effort: int = 0,
    ) -> bytes:
        """Compress with the highest quality whose file has at most ``max_bytes`` bytes.

        With an effort the quality is that of one pass, and the search goes on from there with all
        the bytes that are allowed.

        Args:
            picture: as in ``encode``.
            max_bytes: 1 or more.
            keep_metadata: store EXIF and XMP.
            progress: as in ``encode``.
            effort: as in ``encode``.

        Raises:
            ImageError: the picture cannot be read.
            ModuleNotFoundError: as ``encode``.
            ValueError: the file is larger even at quality 0, or ``max_bytes`` is no size, or
                ``effort`` no effort.

        Example:
            >>> len(codec.encode_to_size("photo.jpg", max_bytes=150)) <= 150
            True
        """
        search = self._searching(effort)
        max_bytes, loaded = assembly.check_size(max_bytes), inputs.load(picture)
        tiling = Tiling(self.tile, progress)
        first = tiling.within(0.0, 0.3) if search.level.steps else tiling
        # A search among 101 qualities tries at most seven.
        latents = self.analyse([loaded], tiling=first.share(0, 1, 8))
        tried: dict[int, bytes] = {}

        def code(quality: int) -> bytes:
            own = first.share(len(tried) + 1, 1, 8)
            ((coded, symbols),) = self._code([loaded], latents, quality, tiling=own)
            tried[quality] = self._pack(loaded, quality, keep_metadata, coded, symbols)
            return tried[quality]

        data = assembly.best_fit(code, max_bytes)
        if not search.level.steps:
            return data
        quality = max(quality for quality, one in tried.items() if one == data)
        filling = dataclasses.replace(search, spare_bits=8.0 * (max_bytes - len(data)))
        last = tiling.within(0.3, 1.0)
        ((coded, symbols),) = self._code([loaded], latents, quality, tiling=last, search=filling)
        filled = self._pack(loaded, quality, keep_metadata, coded, symbols)
        # Bits are counted without the ending of the stream, which may take a byte more.
        return filled if len(filled) <= max_bytes else data

    @property
    def takes_realism(self) -> bool:
        """Say whether a realism changes what this model shows: from architecture 2 on."""
        return self.networks.config.linear

    def decode(
        self, data: bytes, realism: int | None = None, progress: Progress | None = None
    ) -> Image.Image:
        """Decompress a ``.glc`` file made with this model.

        Args:
            data: the file. It knows nothing of the realism: one file, two ways to show it
                (Agustsson et al., arXiv 2212.13824).
            realism: 0 shows the most faithful picture, 100 the most realistic one, and what lies
                between is a mixture; None is ``glc.config.DEFAULT_REALISM``. A model that does
                not take one (``takes_realism``) shows the same picture at all of them.
            progress: as in ``encode``.

        Returns:
            An image of mode RGB, L, RGBA or LA, as the original had it.

        Raises:
            BitstreamError: the file is damaged, or not a ``.glc`` file.
            ValueError: the realism is not a whole number from 0 to 100.
            WeightsError: the file was made with another model.

        Example:
            >>> image = codec.decode(data)
            >>> image.size, image.mode
            ((96, 64), 'RGB')
        """
        return self.decode_batch([data], realism, progress)[0]

    def decode_batch(
        self,
        files: Sequence[bytes],
        realism: int | None = None,
        progress: Progress | None = None,
    ) -> list[Image.Image]:
        """Decompress several files of any sizes; those of one padded size run as one batch.

        Arguments and errors are those of ``decode``.

        Example:
            >>> [image.size for image in codec.decode_batch([data, data])]
            [(96, 64), (96, 64)]
        """
        shown = assembly.check_realism(realism)
        containers = [self._open(data) for data in files]
        tiling = Tiling(self.tile, progress)
        pictures: dict[int, Image.Image] = {}
        for members, y_hat in self._decode_symbols(containers, tiling):
            sizes = [(containers[i].height, containers[i].width) for i in members]
            own = tiling.share(len(pictures), len(members), len(files)).within(0.5, 1.0)
            quality = containers[members[0]].quality
            x_hat = self._synthesise(sizes, quality, y_hat, shown, tiling=own)
            del y_hat
            for index, pixels in zip(members, x_hat, strict=True):
                pictures[index] = assembly.finish(containers[index], pixels)
        return [pictures[index] for index in range(len(files))]

    def verify(self, data: bytes, progress: Progress | None = None) -> None:
        """Decode the symbols of a file and compare its checksum, without making pixels.

        Args:
            data: the file.
            progress: as in ``encode``.

        Raises:
            GlcError: as ``decode``.

        Example:
            >>> codec.verify(data)
            >>> codec.verify(data[:-1] + bytes([data[-1] ^ 1]))
            Traceback (most recent call last):
                ...
            glc.errors.CorruptError: ...
        """
        self.verify_batch([data], progress)

    def verify_batch(self, files: Sequence[bytes], progress: Progress | None = None) -> None:
        """Verify several files of any sizes, batched as in ``decode_batch``.

        Example:
            >>> codec.verify_batch([data, data])
        """
        containers = [self._open(data) for data in files]
        tiling, done = Tiling(self.tile, progress), 0
        for members, some in _alike(containers):
            self._read_symbols(some, tiling=tiling.share(done, len(members), len(containers)))
            done += len(members)
        for container in containers:
            assembly.alpha_of(container)

    def _decode_symbols(
        self, containers: list[Container], tiling: Tiling | None = None
    ) -> Iterator[tuple[list[int], Floats]]:
        """Yield the members of each batch, as positions in ``containers``, and their y_hat."""
        tiling, done = tiling or Tiling(self.tile), 0
        for members, some in _alike(containers):
            own = tiling.share(done, len(members), len(containers))
            sizes = [(container.height, container.width) for container in some]
            integers = self._read_symbols(some, tiling=own.within(0.0, 0.25))
            tail = own.within(0.25, 0.5)
            yield members, self._dequantise(sizes, some[0].quality, *integers, tiling=tail)
            done += len(members)

    def bits(self, picture: Source, quality: int = 50) -> float:
        """Return the bits that the model itself expects for a picture: z and y, no container.

        Example:
            >>> codec.bits("photo.jpg") < 8 * len(codec.encode("photo.jpg"))
            True
        """
        quality = assembly.check_quality(quality)
        return self._bits_of([inputs.load(picture)], quality)[0]

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

        Example:
            >>> codec.bit_map("photo.jpg").shape  # 64 x 96 pixels
            (4, 6)
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
            loaded = inputs.load(picture)
            height, width = loaded.height, loaded.width
            coded = self.quantise([loaded], self.analyse([loaded]), quality)
            indices, symbols = coded[0][0], coded[2][0]
            rows = rate_map.place_rows(coded[1][0], symbols.shape, height, width)
        of_z = self._tables.indices
        z_bits = of_z.bits(indices.ravel(), self.bank(quality)).reshape(indices.shape)
        return rate_map.bits_per_position(self._tables.scales, rows, symbols, z_bits, height, width)

    def surprise(self, picture: Source, quality: int = 50) -> float:
        """Return the bits per pixel that the model expects for a picture: how new it is to it.

        A picture is dear when it is new *and* when it is merely complex; docs/latent.md measures
        how far the two can be told apart.

        Example:
            >>> codec.surprise("photo.jpg") == codec.bits("photo.jpg") / (64 * 96)
            True
        """
        return self.surprise_batch([picture], quality)[0]

    def surprise_batch(self, pictures: Iterable[Source], quality: int = 50) -> list[float]:
        """Return the surprise of several pictures; those of one padded size run as one batch.

        Example:
            >>> len(codec.surprise_batch(["a.jpg", "b.jpg"]))
            2
        """
        quality = assembly.check_quality(quality)
        loaded = [inputs.load(picture) for picture in pictures]
        scores = [0.0] * len(loaded)
        for members in _group([padded(p.height, p.width) for p in loaded]):
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

        Example:
            >>> codec.preview(data[:30]).size
            (96, 64)
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

        Example:
            >>> partial = codec.decode_partial(data[: len(data) // 2])
            >>> partial.is_complete, partial.image.size
            (False, (96, 64))
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

        Example:
            >>> [image.size for image in codec.sample(2, size=(64, 64), seed=1)]
            [(64, 64), (64, 64)]
        """
        quality = assembly.check_quality(quality)
        shown = assembly.check_realism(realism)
        count, seed = whole("count", count, 0), whole("seed", seed, 0)
        width, height = size = whole("width", size[0], 1), whole("height", size[1], 1)
        if prior not in sampling.PRIORS:
            raise ValueError(f"prior: expected one of {sampling.PRIORS}, found {prior!r}")
        if prior == "normal":
            draws = (sampling.Draw(seed, number, temperature) for number in range(count))
            return self._sample_normal(draws, size, realism)
        grid, pictures = grid_of(height, width), []
        for number in range(count):
            draw = sampling.Draw(seed, number, temperature)
            tables, bank = self._tables, self.bank(quality)
            z = draw.indices(tables.indices, bank, grid[0] * grid[1]).reshape(1, *grid)
            # What lies in the padding is drawn as well, so that a sample depends on its grid alone.
            sizes = [padded(height, width)]
            side = Tiling(self.tile).side_for(height, width)
            pipeline = Pipeline(self.networks, sizes, quality, side)
            symbols = sampling.draw_symbols(pipeline, tables.scales, z, draw)
            y_hat = self._dequantise(sizes, quality, z, symbols)
            (rgb,) = self._synthesise([(height, width)], quality, y_hat, shown)
            pictures.append(Image.fromarray(rgb))
        return pictures

    def _sample_normal(
        self, draws: Iterable[sampling.Draw], size: tuple[int, int], realism: int | None
    ) -> list[Image.Image]:
        if self._bottleneck is None:
            raise WeightsError(
                f"model {self.name} has no prior 'normal': its phase 1 was not trained with "
                "--regulariser kl; use the prior 'learned'"
            )
        rows, columns = inside(size[1], size[0])
        pictures = []
        for draw in draws:
            channels = self.networks.config.latent_channels
            z = sampling.draw_normal(channels, rows, columns, draw)
            (l,) = latent.to_arrays(self._bottleneck.expand(z))
            pictures.append(self.from_latents(l, size, realism))
        return pictures

    def interpolate(
        self, a: Source, b: Source, steps: int = 8, realism: int | None = None
    ) -> list[Image.Image]:
        """Decode pictures on the way from one latent to another, both ends included.

        The way is spherical at every position, see ``glc.analysis.sampling.spherical``.

        Args:
            a: a picture as in ``encode``.
            b: another one of the same size.
            steps: how many pictures, at least 2.
            realism: as in ``decode``.

        Raises:
            ImageError: a picture cannot be read.
            ValueError: pictures of two sizes, fewer than two steps, or no such realism.

        Example:
            >>> len(codec.interpolate("a.jpg", "b.jpg", steps=3))
            3
        """
        ends = [inputs.load(a), inputs.load(b)]
        sizes = [(end.width, end.height) for end in ends]
        steps = whole("steps", steps, 2)
        if sizes[0] != sizes[1]:
            raise ValueError(f"pictures: expected two of one size, found {sizes}")
        path = self._shown(sampling.path(self.analyse(ends), steps))
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

        Example:
            >>> codec.latents("photo.jpg").shape[:2]  # 64 x 96 pixels, padded to 64 x 128
            (4, 8)
        """
        return self.latents_batch([picture])[0]

    def latents_batch(self, pictures: Iterable[Source | bytes]) -> list[NDArray[np.float32]]:
        """Return the latents of several pictures or files; those of one shape run as one batch.

        Example:
            >>> [l.shape[:2] for l in codec.latents_batch(["photo.jpg", data])]
            [(4, 8), (4, 8)]
        """
        items = list(pictures)
        found: dict[int, NDArray[np.float32]] = {}
        files = [index for index, item in enumerate(items) if isinstance(item, bytes)]
        containers = [self._open(item) for item in items if isinstance(item, bytes)]
        for members, y_hat in self._decode_symbols(containers):
            l_hat = self.networks.synthesis(y_hat, containers[members[0]].quality)
            found |= zip([files[index] for index in members], latent.to_arrays(l_hat), strict=True)
        others = [index for index in range(len(items)) if index not in found]
        loaded = [inputs.load(item) for item in items if not isinstance(item, bytes)]
        for members in _group([padded(p.height, p.width) for p in loaded]):
            l = self._shown(self.analyse([loaded[index] for index in members]))
            found |= zip([others[index] for index in members], latent.to_arrays(l), strict=True)
        return [found[index] for index in range(len(items))]

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

        Example:
            >>> codec.from_latents(codec.latents("photo.jpg"), size=(96, 64)).size
            (96, 64)
        """
        width, height = latent.check(latents, self.networks.config.latent_channels, size)
        shown = assembly.check_realism(realism)
        features = self.networks.decode_coarse(latent.to_batch(latents), shown)
        (rgb,) = self.networks.decode_fine(features, shown)
        return Image.fromarray(np.ascontiguousarray(rgb[:height, :width]))

    def _shown(self, l: Floats) -> Floats:
        """Return what D was trained to decode of l: itself, or what a Gaussian makes of it."""
        return l if self._bottleneck is None else self._bottleneck.clean(l)

    def _bits_of(self, pictures: list[image.Picture], quality: int) -> list[float]:
        """Return the bits of every picture, all of one padded size."""
        indices, messages, _ = self.quantise(pictures, self.analyse(pictures), quality)
        totals = []
        for z, message in zip(indices, messages, strict=True):
            total = float(self._tables.indices.bits(z.ravel(), self.bank(quality)).sum())
            total += sum(float(self._tables.scales.bits(s, rows).sum()) for rows, s in message)
            totals.append(total)
        return totals

    def _open(self, data: bytes) -> Container:
        return assembly.open_file(data, self.limits, self.identity, self.name)

    def _open_prefix(self, data: bytes) -> Prefix:
        prefix = unpack_prefix(data, self.limits)
        assembly.check_model(prefix.header.model, self.identity, self.name)
        return prefix

    @in_smaller_tiles
    def _read(
        self, prefix: Prefix, with_symbols: bool = True, *, tiling: Tiling | None = None
    ) -> Reading:
        """Read what has arrived of a file; its integers alone."""
        header = prefix.header
        sizes = [(header.height, header.width)]
        ((_, pipeline, progress),) = self._split(sizes, header.quality, tiling)
        bank = self.bank(header.quality)
        return read(self._tables, pipeline, prefix, bank, with_symbols, progress)

    def _check(self, prefix: Prefix, reading: Reading) -> None:
        """Compare the checksum of a file that has arrived whole."""
        if prefix.container is not None:
            self._compare(prefix.container, reading.indices, reading.symbols)

    def _show(self, prefix: Prefix, reading: Reading, realism: float) -> Image.Image:
        header = prefix.header
        fields = (header.width, header.height, header.quality, header.model)
        container = Container(*fields, prefix.payload, prefix.chunks, version=header.version)
        what = [(header.height, header.width)], header.quality
        y_hat = self._dequantise(*what, reading.indices[None], reading.symbols[None])
        return assembly.finish(container, self._synthesise(*what, y_hat, realism)[0])

    @property
    def hyper_size(self) -> int:
        """Number of different z indices."""
        return self.networks.config.hyper_size

    def bank(self, quality: int) -> int:
        """Return the z table of a quality: that of the nearest anchor, the higher one of two.

        Example:
            >>> codec.bank(0)
            0
        """
        return assembly.bank_of(quality, self.networks.config.quality_anchors)

    def _split(
        self, sizes: Sequence[_Size], quality: int, tiling: Tiling | None = None
    ) -> Iterator[tuple[slice, Pipeline, Progress | None]]:
        """Yield what works on pictures of one padded size: all at once, or in tiles one by one.

        Each comes with the positions of its pictures, and what it tells its progress to.
        """
        tiling, count = tiling or Tiling(self.tile), len(sizes)
        side = tiling.side_for(*sizes[0])
        together = 1 if side else count
        for start in range(0, count, together):
            members = slice(start, start + together)
            own = tiling.share(start, together, count)
            yield members, Pipeline(self.networks, sizes[members], quality, side), own.progress

    @in_smaller_tiles
    def analyse(self, pictures: list[image.Picture], *, tiling: Tiling | None = None) -> Floats:
        """Return the latent l of pictures of one padded size: (B, C_l, h, w).

        Example:
            >>> from glc import image
            >>> picture = image.load("photo.jpg")
            >>> codec.analyse([picture]).shape[2:]
            (4, 8)
        """
        sizes = [(picture.height, picture.width) for picture in pictures]
        rgb = [picture.rgb for picture in pictures]
        # E knows no quality.
        split = self._split(sizes, 0, tiling)
        return _join([pipeline.latent(rgb[own], progress) for own, pipeline, progress in split])

    def _searching(self, effort: Any) -> Search:
        """Return the search of an effort.

        Raises:
            ModuleNotFoundError: it needs torch, which is not installed.
            ValueError: no such effort.
        """
        level = LEVELS[check_effort(effort)]
        if not level.steps:
            return Search(level, self._tables.scales)
        check_torch(effort)
        with self._lock:
            if self._refiner is None:
                self._refiner = open_refiner(self.networks, self._weights)
            return Search(level, self._tables.scales, self._refiner)

    @in_smaller_tiles
    def quantise(
        self,
        pictures: list[image.Picture],
        latents: Floats,
        quality: int,
        *,
        tiling: Tiling | None = None,
        search: Search | None = None,
    ) -> tuple[Integers, list[list[Message]], NDArray[np.int16]]:
        """Turn latents into the integers that are coded.

        Args:
            pictures: whose latents these are; positions outside of them are not coded.
            latents: as ``analyse`` returns them.
            quality: 0 to 100.
            tiling: how large pictures are cut; as ``tile`` says when omitted.
            search: for something better than one pass.

        Returns:
            Indices of z (B, h / 4, w / 4); for every picture the rows and symbols of each step in
            coding order, uint8 and int16; and all symbols, (B, C_y, h, w).

        Example:
            >>> from glc import image
            >>> picture = image.load("photo.jpg")
            >>> z, messages, symbols = codec.quantise([picture], codec.analyse([picture]), 50)
            >>> z.shape, len(messages[0]), symbols.shape[2:]
            ((1, 1, 2), 4, (4, 8))
        """
        sizes = [(picture.height, picture.width) for picture in pictures]
        indices, everything = [], []
        messages: list[list[Message]] = []
        for own, pipeline, progress in self._split(sizes, quality, tiling):
            y, z = pipeline.transform(latents[own])
            if search is None or not search.level.steps:
                steps, symbols = pipeline.write(y, z, progress)
            else:
                rgb = [picture.rgb for picture in pictures[own]]
                steps, symbols = search(pipeline, rgb, y, z, quality, progress)
            indices.append(z)
            everything.append(symbols)
            for index in range(len(z)):
                one = [(rows[index], of[index], coded[index]) for rows, of, coded in steps]
                messages.append([(rows[coded], of[coded]) for rows, of, coded in one])
        return _join(indices), messages, _join(everything)

    def _code(
        self,
        pictures: list[image.Picture],
        latents: Floats,
        quality: int,
        version: int = FORMAT_VERSION,
        tiling: Tiling | None = None,
        search: Search | None = None,
    ) -> list[tuple[bytes, bytes]]:
        """Return (payload, canonical symbol bytes) of every picture."""
        indices, messages, symbols = self.quantise(
            pictures, latents, quality, tiling=tiling, search=search
        )
        coded = []
        for index, message in enumerate(messages):
            how = self.bank(quality), order_of(version)
            written = payload.write(self._tables, indices[index], message, *how)
            coded.append((written, assembly.canonical(indices[index], symbols[index])))
        return coded

    def _pack(
        self,
        picture: image.Picture,
        quality: int,
        keep_metadata: bool,
        coded: bytes,
        symbols: bytes,
        version: int = FORMAT_VERSION,
    ) -> bytes:
        return assembly.to_file(
            picture, quality, keep_metadata, self.identity, coded, symbols, version
        )

    @in_smaller_tiles
    def _read_symbols(
        self, containers: list[Container], *, tiling: Tiling | None = None
    ) -> tuple[Integers, NDArray[np.int16]]:
        """Decode payloads of one padded size and quality, and compare their checksums.

        No float is computed.

        Returns:
            Indices of z (B, h / 4, w / 4) and symbols (B, C_y, h, w).

        Raises:
            CorruptError: a payload cannot be decoded, or decodes to something else.
        """
        sizes = [(container.height, container.width) for container in containers]
        quality, found = containers[0].quality, []
        for own, pipeline, progress in self._split(sizes, quality, tiling):
            some, bank = containers[own], self.bank(quality)
            indices, symbols = payload.read(self._tables, pipeline, some, bank, progress)
            for index, container in enumerate(some):
                self._compare(container, indices[index], symbols[index])
            found.append((indices, symbols))
        return _join([z for z, _ in found]), _join([symbols for _, symbols in found])

    def _compare(self, container: Container, indices: Integers, symbols: Integers) -> None:
        """Raise CorruptError if these are not the integers that the file was made of."""
        assembly.check_symbols(container, self.identity, assembly.canonical(indices, symbols))

    @in_smaller_tiles
    def _dequantise(
        self,
        sizes: Sequence[_Size],
        quality: int,
        indices: Integers,
        symbols: Integers,
        *,
        tiling: Tiling | None = None,
    ) -> Floats:
        """Return the y_hat of symbols of one padded size: (B, C_y, h, w) -> same."""
        split = self._split(sizes, quality, tiling)
        return _join([p.y_hat(indices[own], symbols[own], progress) for own, p, progress in split])

    @in_smaller_tiles
    def _synthesise(
        self,
        sizes: Sequence[_Size],
        quality: int,
        y_hat: Floats,
        realism: float,
        *,
        tiling: Tiling | None = None,
    ) -> list[Pixels]:
        """Return the pixels of y_hat, (H, W, 3) each, at a realism of 0 to 1."""
        split = self._split(sizes, quality, tiling)
        found = (p.pictures(y_hat[own], realism, progress) for own, p, progress in split)
        return [pixels for pictures in found for pixels in pictures]


def _restore(
    path: str,
    name: str,
    identity: bytes,
    how: tuple[str, str, str],
    limits: Limits,
    tile: int | None,
) -> Codec:
    """Load the codec that was pickled: from where it was, or from an installed model.

    Raises:
        WeightsError: neither has weights of this identity.
    """
    wanted = dict(zip(("runtime", "device", "precision"), how, strict=True))
    codec = None
    if path and Path(path).is_file():
        codec = Codec.from_pretrained(path, **wanted, tile=tile)
    if codec is None or codec.identity != identity:
        try:
            codec = Codec.from_pretrained(checkpoint.find(identity).path, **wanted, tile=tile)
        except WeightsError as error:
            raise WeightsError(
                f"the pickled codec was of model {name} ({identity[:MODEL_BYTES].hex()}), whose "
                f"weights are neither at {path or 'a path'} nor installed: {error}"
            ) from error
    codec.limits = limits
    return codec


def _build_tables(weights: Checkpoint) -> Tables:
    """Rebuild the probability tables.

    Raises:
        WeightsError: they are missing, unexpected, or of another shape.
    """
    name = "tables.index.frequencies"
    shape = weights.config.quality_anchors, weights.config.hyper_size
    found = weights.tensors.get(name)
    if found is None or found.shape != shape:
        raise WeightsError(f"weights: {name}: expected shape {shape}")
    scales, indices = (_below(weights, f"tables.{kind}.") for kind in ("scale", "index"))
    return Tables(ScaleTables.from_arrays(scales), IndexTables.from_arrays(indices))


def _below(weights: Checkpoint, prefix: str) -> dict[str, NDArray[np.generic]]:
    """Return the tensors under a prefix without it."""
    return {n[len(prefix) :]: a for n, a in weights.tensors.items() if n.startswith(prefix)}


def _alike(containers: Sequence[Container]) -> Iterator[tuple[list[int], list[Container]]]:
    """Yield the positions, and the files, of each padded size and quality."""
    for members in _group([(*padded(c.height, c.width), c.quality) for c in containers]):
        yield members, [containers[index] for index in members]


def _group(kinds: Sequence[Hashable]) -> list[list[int]]:
    """Return the positions of each kind, in the order in which kinds first come."""
    groups: OrderedDict[Hashable, list[int]] = OrderedDict()
    for index, kind in enumerate(kinds):
        groups.setdefault(kind, []).append(index)
    return list(groups.values())


def _join(batches: Sequence[NDArray[_Kind]]) -> NDArray[_Kind]:
    """Put batches into one; a single one is not copied."""
    return batches[0] if len(batches) == 1 else np.concatenate(batches)
