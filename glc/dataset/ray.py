"""Encoding and decoding as functions from batch to batch, as Ray Data wants them.

    rows = ray.data.read_images("s3://photos", include_paths=True)
    rows.map_batches(
        GlcEncoder, fn_constructor_args=(40,), batch_size=64, concurrency=8, num_gpus=1
    ).write_parquet("s3://coded")

A batch is a dict of columns, so ``datasets.Dataset.map(GlcEncoder(40), batched=True)`` works as
well. Ray itself is not imported here. Both classes hold their arguments only, until the first batch
comes: they are cheap to send, and each process loads the model once. What cannot be coded is a row
with an ``error``, not an exception that stops the other hundred million.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from glc.arguments import check_realism
from glc.dataset.batching import BATCH_PIXELS, split
from glc.effort.levels import check_effort, check_torch
from glc.errors import GlcError, WeightsError
from glc.tiling.sizes import padded
from glc.weights import manifest, registry

if TYPE_CHECKING:
    from glc.codec import Codec
    from glc.dataset.decoding import Output
    from glc.image import Picture

__all__ = ["GlcDecoder", "GlcEncoder"]

Batch: TypeAlias = "Mapping[str, Any]"

_PICTURES = ("image", "bytes")
_NAMES = ("key", "path")


class GlcEncoder:
    """Encodes the pictures of a batch.

    Args:
        quality: 0 to 100.
        device: where the networks run.
        model: name or path; None is the default model of the quality. Where this object is made, it
            must be installed; where batches come, a model of the same identity must be.
        column: holds the pictures: arrays (H, W) or (H, W, C), encoded files as bytes, PIL
            images, or paths. None takes ``image``, or else ``bytes``.
        key: column that names them. None takes ``key``, or else ``path``, or else nothing.
        keep_metadata: store EXIF and XMP.
        effort: as in ``Codec.encode``.

    Raises:
        ModuleNotFoundError: the effort needs torch, which is not installed.
        ValueError: a quality or an effort out of range.
        WeightsError: the model is not installed.

    Example:
        >>> from glc.dataset import GlcEncoder
        >>> batch = GlcEncoder(quality=30, device="cpu")({"image": ["a.jpg", "b.jpg"]})
        >>> len(batch["glc"])
        2
    """

    def __init__(
        self,
        quality: int = 50,
        device: str = "auto",
        model: str | os.PathLike[str] | None = None,
        column: str | None = None,
        key: str | None = None,
        keep_metadata: bool = False,
        effort: int = 0,
    ) -> None:
        self.effort = check_effort(effort)
        check_torch(self.effort)
        if not 0 <= quality <= 100:
            raise ValueError(f"quality: expected 0 to 100, found {quality}")
        self.quality, self.device, self.keep_metadata = quality, device, keep_metadata
        self.column, self.key = column, key
        named = None if model is None else os.fspath(model)
        self.model = os.fspath(registry.locate(named, quality))
        self.identity = _identity(self.model)

    def __call__(self, batch: Batch) -> dict[str, Any]:
        """Encode a batch.

        Returns:
            The columns of the batch but for the pictures, and ``glc`` (a complete file, or
            nothing), ``width`` and ``height`` (0 if unknown), ``bpp`` (0 if there is no file),
            ``key``, and ``error`` (empty if there is none).

        Raises:
            WeightsError: the model that this object was made with is not here, or is another one.
            ValueError: no column with pictures.
        """
        codec = self._codec()
        column = _choose(batch, self.column, _PICTURES)
        if column is None:
            raise ValueError(f"batch: expected a column {_PICTURES}, found {sorted(batch)}")
        sources = list(batch[column])
        pictures: dict[int, Picture] = {}
        errors = [""] * len(sources)
        for position, source in enumerate(sources):
            try:
                pictures[position] = _picture(source)
            except (GlcError, TypeError, ValueError) as error:
                errors[position] = str(error)
        files = [b""] * len(sources)
        for position, data in self._encode(codec, pictures):
            files[position] = data
        shapes = [
            (p.width, p.height) if p else (0, 0) for p in map(pictures.get, range(len(files)))
        ]
        kept = {name: values for name, values in batch.items() if name != column}
        return {
            **kept,
            "glc": files,
            "width": [width for width, _ in shapes],
            "height": [height for _, height in shapes],
            "bpp": [
                8.0 * len(data) / (width * height) if data else 0.0
                for data, (width, height) in zip(files, shapes, strict=True)
            ],
            "key": _names(batch, self.key, len(files)),
            "error": errors,
        }

    def _codec(self) -> Codec:
        from glc.weights.model_cache import codec_for_files, codec_named

        try:
            return codec_for_files(self.identity, self.device)
        except WeightsError:
            codec = codec_named(self.model, self.device)
        if codec.identity != self.identity:
            raise WeightsError(
                f"{self.model}: expected the model {self.identity[:3].hex()}, with which this "
                f"encoder was made, found {codec.identity[:3].hex()}; install the same everywhere"
            )
        return codec

    def _encode(self, codec: Codec, pictures: dict[int, Picture]) -> Iterator[tuple[int, bytes]]:
        positions = list(pictures)
        sizes = [padded(picture.height, picture.width) for picture in pictures.values()]
        pixels = [height * width for height, width in sizes]
        for group in split(sizes, pixels, BATCH_PIXELS):
            members = [positions[place] for place in group]
            how = self.quality, self.keep_metadata
            some = [pictures[position] for position in members]
            files = codec.encode_batch(some, *how, effort=self.effort)
            yield from zip(members, files, strict=True)


class GlcDecoder:
    """Decodes the .glc files of a batch.

    Args:
        output: image, uint8 arrays (H, W, 3) RGB; or latent, float32 (C_l, H / 16, W / 16).
        device: where the networks run.
        model: weights that are not installed, by path; must exist where the batches come.
        column: holds the files.
        realism: how pictures are shown, 0 faithful to 100 realistic; no matter to latents.

    Raises:
        ValueError: another output, or a realism that is no whole number from 0 to 100.

    Example:
        >>> from glc.dataset import GlcDecoder
        >>> GlcDecoder(device="cpu")({"glc": [data]})["image"][0].shape
        (64, 96, 3)
    """

    def __init__(
        self,
        output: Output = "image",
        device: str = "auto",
        model: str | os.PathLike[str] | None = None,
        column: str = "glc",
        realism: int | None = None,
    ) -> None:
        check_realism(realism)
        if output not in ("image", "latent"):
            raise ValueError(f"output: expected image or latent, found {output!r}")
        self.output, self.device, self.column = output, device, column
        self.realism = realism
        self.model = None if model is None else os.fspath(model)

    def __call__(self, batch: Batch) -> dict[str, Any]:
        """Decode a batch.

        Returns:
            The columns of the batch but for the files, and ``image`` or ``latent`` (an array
            without pixels if there is an error) and ``error`` (empty if there is none).
        """
        from glc.dataset.decoding import decode_files
        from glc.weights.model_cache import codec_named

        if self.column not in batch:
            raise ValueError(f"batch: expected a column {self.column!r}, found {sorted(batch)}")
        if self.model is not None:
            # From here on it is among those that files are decoded with.
            codec_named(self.model, self.device)
        files = [bytes(data) for data in batch[self.column]]
        is_image = self.output == "image"
        nothing = np.zeros((0, 0, 3), np.uint8) if is_image else np.zeros((0, 0, 0), np.float32)
        arrays, errors = np.empty(len(files), object), [""] * len(files)
        results = decode_files(files, self.output, self.device, realism=self.realism)
        for position, result in enumerate(results):
            if isinstance(result, GlcError):
                arrays[position], errors[position] = nothing, str(result)
            else:
                arrays[position] = (result.permute(1, 2, 0) if is_image else result).numpy()
        kept = {name: values for name, values in batch.items() if name != self.column}
        return {**kept, self.output: arrays, "error": errors}


def _identity(path: str) -> bytes:
    return manifest.identity_of(Path(path).read_bytes())


def _choose(batch: Batch, given: str | None, names: Sequence[str]) -> str | None:
    """Return the given column, or the first of some names; None if the batch has none of them."""
    if given is not None and given not in batch:
        raise ValueError(f"batch: expected a column {given!r}, found {sorted(batch)}")
    return given or next((name for name in names if name in batch), None)


def _names(batch: Batch, given: str | None, count: int) -> list[str]:
    column = _choose(batch, given, _NAMES)
    return [""] * count if column is None else [str(name) for name in batch[column]]


def _picture(source: Any) -> Picture:
    """Load one value of a column."""
    from glc import image

    if isinstance(source, Mapping):
        # What Hugging Face datasets stores for a picture.
        source = source.get("bytes") or source.get("path")
    if isinstance(source, np.ndarray):
        is_single = source.ndim == 3 and source.shape[2] == 1
        return image.from_array(source[:, :, 0] if is_single else source)
    return image.load(source)
