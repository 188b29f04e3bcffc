"""The codec: every public call, and what each argument may be.

``Codec.encode`` and ``Codec.decode`` are the library. What they do is in ``glc.coding``; what the
other calls do, in ``glc.latents`` and ``glc.rate``.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glc import image
from glc.arguments import check_quality, check_realism, check_size, whole_number
from glc.bitstream import (
    FORMAT_VERSION,
    MAGIC,
    MODEL_BYTES,
    Container,
    Limits,
    Prefix,
    unpack,
    unpack_prefix,
)
from glc.bitstream.container import check_version
from glc.coding import assembly, decoding, encoding, partial
from glc.coding.batch_coder import BatchCoder
from glc.coding.partial import PartialPicture
from glc.coding.payload import Message
from glc.coding.tables import build_tables
from glc.effort.levels import LEVELS, check_effort, check_torch
from glc.effort.search import Refiner, Search, open_refiner
from glc.errors import WeightsError
from glc.image import inputs
from glc.image.inputs import Source
from glc.latents import convert, generate, sampling
from glc.latents.bottleneck import Bottleneck
from glc.rate import expected
from glc.runtime.choice import AUTO, FLOAT32, choose, open_networks
from glc.runtime.protocol import Floats, Integers, Networks
from glc.tiling.geometry import Tiling
from glc.tiling.progress import Progress
from glc.weights import checkpoint, registry

if TYPE_CHECKING:
    from glc.weights.checkpoint import Checkpoint
    from glc.weights.registry import ModelInfo

__all__ = ["Codec"]


class _Finer:
    """A model that stands in for the default one from a quality on; loaded when it is needed."""

    def __init__(self, path: str, identity: bytes, quality: int, how: tuple[str, str, str]) -> None:
        self.path, self.identity, self.quality = path, identity, quality
        self._how, self._lock = how, threading.Lock()
        self._codec: Codec | None = None

    def open(self, limits: Limits, tile: int | None) -> Codec:
        """Return its codec, with the limits and tiles of the codec that it belongs to.

        Raises:
            WeightsError: malformed, or neither where they were nor installed.
        """
        with self._lock:
            if self._codec is None:
                try:
                    self._codec = _load(self.path, self.identity, self._how, tile)
                except WeightsError as error:
                    raise WeightsError(
                        f"the model of qualities from {self.quality} on, "
                        f"{self.identity[:MODEL_BYTES].hex()} at {self.path}: {error}"
                    ) from error
        self._codec.limits, self._codec.tile = limits, tile
        return self._codec


class Codec:
    """A model, ready to encode and decode.

    Without a name ``from_pretrained`` gives the default models as one codec: one of them makes
    small files, another one those from a quality on, and a file is read by the model that it names.
    Latents of pictures, and what is done with latents, are those of the first; ``for_quality``
    gives the codec of another one.

    Safe to use from several threads at once, and in processes forked or spawned from this one:
    docs/robustness.md has the rules. A pickled codec names its weights and does not hold them.
    Encoding is deterministic: the same picture, quality, runtime and machine give the same bytes;
    and whatever decodes them, wherever, reads the same symbols.

    Args:
        weights: from ``glc.weights.checkpoint.load``; ``from_pretrained`` finds and loads them.
        runtime: as in ``from_pretrained``.
        device: as in ``from_pretrained``.
        precision: as in ``from_pretrained``.
        tile: as in ``from_pretrained``.

    Attributes:
        limits: what ``decode`` accepts.
        coder: networks and tables at work on a batch, see ``glc.coding.batch_coder``.

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
        self.limits = Limits()
        side = Tiling(tile).side
        networks = open_networks(weights, runtime, device, precision)
        tables = build_tables(weights)
        self.coder = BatchCoder(weights.identity, weights.name, networks, tables, side)
        layers = weights.bottleneck
        self._bottleneck = None if layers is None else Bottleneck(layers)
        self._how, self._path = (runtime, device, precision), ""
        self._weights, self._lock = weights, threading.Lock()
        self._refiner: Refiner | None = None
        self._finer: tuple[_Finer, ...] = ()

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
        """Load an installed model by name, any model by path, or the default ones.

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
        found = registry.defaults() if wanted is None else []
        path = found[0].path if found else registry.locate(wanted)
        how = {"runtime": runtime, "device": device, "precision": precision}
        codec = cls(checkpoint.load(path), **how, tile=tile)
        codec._path = str(path.absolute())
        codec._finer = tuple(
            _Finer(str(info.path.absolute()), info.identity, info.from_quality or 0, codec._how)
            for info in found[1:]
        )
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
        info: ModelInfo = registry.find(unpack(data, limits).model)
        how = {"runtime": runtime, "device": device, "precision": precision}
        codec = cls.from_pretrained(info.path, **how, tile=tile)
        codec.limits = limits or Limits()
        return codec

    def __reduce__(self) -> tuple[Any, ...]:
        known = self._path, self.name, self.identity, self._how, self.limits, self.tile
        finer = tuple((one.path, one.identity, one.quality) for one in self._finer)
        return _restore, (*known, finer)

    @property
    def identity(self) -> bytes:
        """SHA-256 of the weights file, 32 bytes."""
        return self.coder.identity

    @property
    def identities(self) -> tuple[bytes, ...]:
        """Of every model that it encodes with: one, or those of the default models."""
        return (self.identity, *(one.identity for one in self._finer))

    @property
    def name(self) -> str:
        """Of the model."""
        return self.coder.name

    @property
    def networks(self) -> Networks:
        """What computes, see ``glc.runtime``."""
        return self.coder.networks

    @property
    def tile(self) -> int | None:
        """Images of more than tile x tile pixels are processed in tiles, which bounds memory.

        0 disables that, None picks a default. Pixels differ by the rounding of floats alone.
        """
        return self.coder.tile

    @tile.setter
    def tile(self, side: int | None) -> None:
        self.coder.tile = side

    @property
    def runtime(self) -> str:
        """What computes: onnxruntime or torch."""
        return self.networks.runtime

    @property
    def device(self) -> str:
        """Where it computes: cpu, cuda, cuda:1, mps."""
        return self.networks.device

    def for_quality(self, quality: int) -> Codec:
        """Return the codec of one model that makes the files of a quality.

        That is this codec, unless it is that of the default models and the quality is one of those
        that another model makes. Its latents are then those of the files. ``limits`` and ``tile``
        of what it returns follow those of this codec.

        Args:
            quality: 0 to 100.

        Raises:
            ValueError: no such quality.
            WeightsError: malformed weights.

        Example:
            >>> glc.Codec.from_pretrained("base").for_quality(90).name
            'base'
        """
        quality = check_quality(quality)
        for one in reversed(self._finer):
            if quality >= one.quality:
                return one.open(self.limits, self.tile)
        return self

    def encode(
        self,
        picture: Source,
        quality: int = 50,
        keep_metadata: bool = False,
        progress: Progress | None = None,
        effort: int = 0,
        mean_colors: bool = False,
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
            mean_colors: also store what the decoded picture lacks of the mean colours of 64 x 64
                pixels, a few per cent of the bytes: at low qualities tints and brightness of areas
                are then much nearer to the original. Takes the time of decoding, too; docs/cli.md
                has what it brings.

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
            [picture], quality, keep_metadata, FORMAT_VERSION, progress, effort, mean_colors
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
        mean_colors: bool = False,
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
            mean_colors: as in ``encode``.

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
        quality = check_quality(quality)
        check_effort(effort)
        check_version(version)
        codec = self.for_quality(quality)
        search = codec._searching(effort)
        loaded = [inputs.load(picture) for picture in pictures]
        tiling = Tiling(self.tile, progress)
        how = quality, keep_metadata, version
        return encoding.encode(codec.coder, loaded, *how, tiling, search, mean_colors)

    def encode_to_size(
        self,
        picture: Source,
        max_bytes: int,
        keep_metadata: bool = False,
        progress: Progress | None = None,
        effort: int = 0,
        mean_colors: bool = False,
    ) -> bytes:
        """Compress with the highest quality whose file has at most ``max_bytes`` bytes.

        With an effort the quality is that of one pass, and the search goes on from there with all
        the bytes that are allowed.

        Mean colours take their bytes from the quality; it is then the highest one that was found
        to leave room for them, and a file that is too small for them at any quality has none.

        Args:
            picture: as in ``encode``.
            max_bytes: 1 or more.
            keep_metadata: store EXIF and XMP.
            progress: as in ``encode``.
            effort: as in ``encode``.
            mean_colors: as in ``encode``.

        Raises:
            ImageError: the picture cannot be read.
            ModuleNotFoundError: as ``encode``.
            ValueError: the file is larger even at quality 0, or ``max_bytes`` is no size, or
                ``effort`` no effort.

        Example:
            >>> len(codec.encode_to_size("photo.jpg", max_bytes=150)) <= 150
            True
        """
        searches = LEVELS[check_effort(effort)].steps > 0
        if searches:
            check_torch(effort)
        max_bytes, loaded = check_size(max_bytes), inputs.load(picture)

        def coder_for(quality: int) -> BatchCoder:
            return self.for_quality(quality).coder

        def search_for(quality: int) -> Search:
            return self.for_quality(quality)._searching(effort)

        starts = (0, *(one.quality for one in self._finer))
        how = max_bytes, keep_metadata, Tiling(self.tile, progress)
        return encoding.encode_to_size(
            coder_for, starts, loaded, *how, search_for if searches else None, mean_colors
        )

    @property
    def takes_realism(self) -> bool:
        """Say whether a realism changes what this model shows: from architecture 2 on.

        Of the default models it is enough that one of them does.
        """
        return self.networks.config.linear or any(
            one.open(self.limits, self.tile).takes_realism for one in self._finer
        )

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

        Args:
            files: whole ``.glc`` files, made with this model.
            realism: as in ``decode``, for all of them.
            progress: told how far the whole is, 0 to 1.

        Returns:
            The images in the order of the files.

        Raises:
            GlcError, ValueError: as ``decode``; one bad file ends all.

        Example:
            >>> [image.size for image in codec.decode_batch([data, data])]
            [(96, 64), (96, 64)]
        """
        shown = check_realism(realism)
        images: dict[int, Image.Image] = {}
        for codec, opened, tiling in self._by_model(files, progress):
            decoded = decoding.decode(codec.coder, list(opened.values()), shown, tiling)
            images.update(zip(opened, decoded, strict=True))
        return [images[place] for place in sorted(images)]

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

        Args:
            files: whole ``.glc`` files, made with this model.
            progress: told how far the whole is, 0 to 1.

        Raises:
            GlcError: as ``verify``; one bad file ends all.

        Example:
            >>> codec.verify_batch([data, data])
        """
        for codec, opened, tiling in self._by_model(files, progress):
            decoding.verify(codec.coder, list(opened.values()), tiling)

    def bits(self, picture: Source, quality: int = 50) -> float:
        """Return the bits that the model itself expects for a picture: z and y, no container.

        Args:
            picture: as in ``encode``.
            quality: 0 to 100.

        Raises:
            GlcError, ValueError: as ``encode``.

        Example:
            >>> codec.bits("photo.jpg") < 8 * len(codec.encode("photo.jpg"))
            True
        """
        quality = check_quality(quality)
        return expected.bits(self.for_quality(quality).coder, [inputs.load(picture)], quality)[0]

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
            codec = self._of_file(picture)
            codec._open(picture)
            return expected.map_of_file(codec.coder, codec._open_prefix(picture))
        quality = check_quality(quality)
        coder = self.for_quality(quality).coder
        return expected.map_of_picture(coder, inputs.load(picture), quality)

    def surprise(self, picture: Source, quality: int = 50) -> float:
        """Return the bits per pixel that the model expects for a picture: how new it is to it.

        A picture is dear when it is new *and* when it is merely complex; docs/latent.md measures
        how far the two can be told apart.

        Args:
            picture: as in ``encode``.
            quality: 0 to 100.

        Raises:
            GlcError, ValueError: as ``encode``.

        Example:
            >>> codec.surprise("photo.jpg") == codec.bits("photo.jpg") / (64 * 96)
            True
        """
        return self.surprise_batch([picture], quality)[0]

    def surprise_batch(self, pictures: Iterable[Source], quality: int = 50) -> list[float]:
        """Return the surprise of several pictures; those of one padded size run as one batch.

        Args:
            pictures: each as in ``encode``.
            quality: 0 to 100, of all of them.

        Returns:
            Bits per pixel, in the order of the pictures.

        Raises:
            GlcError, ValueError: as ``encode``.

        Example:
            >>> len(codec.surprise_batch(["a.jpg", "b.jpg"]))
            2
        """
        quality = check_quality(quality)
        loaded = [inputs.load(picture) for picture in pictures]
        bits = expected.bits(self.for_quality(quality).coder, loaded, quality)
        return [b / (p.width * p.height) for b, p in zip(bits, loaded, strict=True)]

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
        shown = check_realism(realism)
        codec = self._of_file(data)
        return partial.preview(codec.coder, codec._open_prefix(data), shown)

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
        shown = check_realism(realism)
        codec = self._of_file(data)
        return partial.decode_partial(codec.coder, codec._open_prefix(data), shown)

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
        quality, shown = check_quality(quality), check_realism(realism)
        count, seed = whole_number("count", count, 0), whole_number("seed", seed, 0)
        width, height = whole_number("width", size[0], 1), whole_number("height", size[1], 1)
        if prior not in sampling.PRIORS:
            raise ValueError(f"prior: expected one of {sampling.PRIORS}, found {prior!r}")
        draws = (sampling.Draw(seed, number, temperature) for number in range(count))
        if prior != "normal":
            coder = self.for_quality(quality).coder
            return generate.from_tables(coder, draws, (width, height), quality, shown)
        if self._bottleneck is None:
            raise WeightsError(
                f"model {self.name} has no prior 'normal': its phase 1 was not trained with "
                "--regulariser kl; use the prior 'learned'"
            )
        layers = self._bottleneck
        return generate.from_noise(self.networks, layers, draws, (width, height), shown)

    def interpolate(
        self, a: Source, b: Source, steps: int = 8, realism: int | None = None
    ) -> list[Image.Image]:
        """Decode pictures on the way from one latent to another, both ends included.

        The way is spherical at every position, see ``glc.latents.sampling.spherical``.

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
        ends = inputs.load(a), inputs.load(b)
        sizes = [(end.width, end.height) for end in ends]
        steps, shown = whole_number("steps", steps, 2), check_realism(realism)
        if sizes[0] != sizes[1]:
            raise ValueError(f"pictures: expected two of one size, found {sizes}")
        return generate.between(self.coder, ends, steps, self._bottleneck, shown)

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
        members: dict[Codec, dict[int, Container | image.Picture]] = {}
        for place, one in enumerate(pictures):
            if isinstance(one, bytes):
                codec = self._of_file(one)
                members.setdefault(codec, {})[place] = codec._open(one)
            else:
                members.setdefault(self, {})[place] = inputs.load(one)
        found: dict[int, NDArray[np.float32]] = {}
        for codec, items in members.items():
            latents = convert.to_latents(codec.coder, list(items.values()), codec._bottleneck)
            found.update(zip(items, latents, strict=True))
        return [found[place] for place in sorted(found)]

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
            An image of mode RGB. Of the latents of a file these are the pixels of ``decode``, but
            for mean colours that the file has beside them.

        Raises:
            ValueError: another shape, values that are not finite, a size that does not fit, or no
                such realism.

        Example:
            >>> codec.from_latents(codec.latents("photo.jpg"), size=(96, 64)).size
            (96, 64)
        """
        return convert.to_picture(self.networks, latents, size, check_realism(realism))

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
        return self.coder.bank(quality)

    def analyse(self, pictures: list[image.Picture], *, tiling: Tiling | None = None) -> Floats:
        """Return the latent l of pictures of one padded size: (B, C_l, h, w), float32.

        Args:
            pictures: as ``glc.image.load`` gives them; h and w are 1/16 of the padded size.
            tiling: how large pictures are cut, and who is told of it; None as the codec has it.

        Example:
            >>> from glc import image
            >>> picture = image.load("photo.jpg")
            >>> codec.analyse([picture]).shape[2:]
            (4, 8)
        """
        return self.coder.analyse(pictures, tiling=tiling)

    def _searching(self, effort: Any) -> Search:
        """Return the search of an effort.

        Raises:
            ModuleNotFoundError: it needs torch, which is not installed.
            ValueError: no such effort.
        """
        level = LEVELS[check_effort(effort)]
        if not level.steps:
            return Search(level, self.coder.tables.scales)
        check_torch(effort)
        with self._lock:
            if self._refiner is None:
                self._refiner = open_refiner(self.networks, self._weights)
            return Search(level, self.coder.tables.scales, self._refiner)

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
        return self.coder.quantise(pictures, latents, quality, tiling=tiling, search=search)

    def _of_file(self, data: bytes) -> Codec:
        """Return what decodes a file, or a part of one: this codec, or a finer one."""
        start = len(MAGIC)
        if isinstance(data, (bytes, bytearray, memoryview)):
            model = bytes(data[start : start + MODEL_BYTES])
            for one in self._finer:
                if model == one.identity[:MODEL_BYTES]:
                    return one.open(self.limits, self.tile)
        return self

    def _by_model(
        self, files: Iterable[bytes], progress: Progress | None
    ) -> list[tuple[Codec, dict[int, Container], Tiling]]:
        """Open files, and return each codec that they need with those that it decodes, by place."""
        members: dict[Codec, dict[int, Container]] = {}
        for place, data in enumerate(files):
            codec = self._of_file(data)
            members.setdefault(codec, {})[place] = codec._open(data)
        tiling, done = Tiling(self.tile, progress), 0
        total = sum(map(len, members.values()))
        found = []
        for codec, opened in members.items():
            found.append((codec, opened, tiling.share(done, len(opened), total)))
            done += len(opened)
        return found

    def _open(self, data: bytes) -> Container:
        return assembly.open_file(data, self.limits, self.identity, self.name)

    def _open_prefix(self, data: bytes) -> Prefix:
        prefix = unpack_prefix(data, self.limits)
        assembly.check_model(prefix.header.model, self.identity, self.name)
        return prefix


def _load(path: str, identity: bytes, how: tuple[str, str, str], tile: int | None) -> Codec:
    """Load the weights of an identity: from where they were, or from an installed model.

    Raises:
        WeightsError: neither has them.
    """
    wanted = dict(zip(("runtime", "device", "precision"), how, strict=True))
    codec = None
    if path and Path(path).is_file():
        codec = Codec.from_pretrained(path, **wanted, tile=tile)
    if codec is None or codec.identity != identity:
        codec = Codec.from_pretrained(registry.find(identity).path, **wanted, tile=tile)
    return codec


def _restore(
    path: str,
    name: str,
    identity: bytes,
    how: tuple[str, str, str],
    limits: Limits,
    tile: int | None,
    finer: tuple[tuple[str, bytes, int], ...] = (),
) -> Codec:
    """Load the codec that was pickled: from where it was, or from an installed model.

    Raises:
        WeightsError: neither has weights of this identity.
    """
    try:
        codec = _load(path, identity, how, tile)
    except WeightsError as error:
        raise WeightsError(
            f"the pickled codec was of model {name} ({identity[:MODEL_BYTES].hex()}), whose "
            f"weights are neither at {path or 'a path'} nor installed: {error}"
        ) from error
    codec.limits = limits
    codec._finer = tuple(_Finer(*one, how) for one in finer)
    return codec
