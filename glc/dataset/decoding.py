"""Many .glc files to pictures or latents, in batches of bounded size; an error stays with its file.

Knows nothing of where the files come from nor of who trains on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from glc.bitstream import Container, unpack
from glc.dataset.batching import BATCH_PIXELS, split
from glc.errors import GlcError, WeightsError
from glc.tiling.sizes import inside, padded
from glc.weights.model_cache import codec_for_files

if TYPE_CHECKING:
    from glc.codec import Codec

__all__ = ["OUTPUTS", "Output", "decode_files"]

Output: TypeAlias = Literal["image", "latent"]
OUTPUTS: tuple[Output, ...] = ("image", "latent")


def decode_files(
    files: Sequence[bytes],
    output: Output,
    device: str = "auto",
    limit: int = BATCH_PIXELS,
    realism: int | None = None,
) -> list[Tensor | GlcError]:
    """Decode files of any sizes, qualities and models.

    Args:
        files: complete .glc files.
        output: image, uint8 (3, H, W) RGB; or latent, float32 (C_l, ceil(H/16), ceil(W/16)), what
            the image decoder would make the pixels from.
        device: where the networks run.
        limit: pixels that are decoded at once.
        realism: how pictures are shown, 0 to 100: see ``Codec.decode``; no matter to latents.

    Returns:
        For each file the result, on the CPU, or what is wrong with it.
    """
    results: list[Tensor | GlcError] = [GlcError("not decoded")] * len(files)
    containers: dict[int, Container] = {}
    for position, data in enumerate(files):
        try:
            containers[position] = unpack(data)
        except GlcError as error:
            results[position] = error
    readable = list(containers)
    kinds = [(c.model, padded(c.height, c.width), c.quality) for c in containers.values()]
    pixels = [height * width for _, (height, width), _ in kinds]
    for group in split(kinds, pixels, limit):
        members = [readable[position] for position in group]
        model, _, _ = kinds[group[0]]
        try:
            codec = codec_for_files(model, device)
        except WeightsError as error:
            decoded: list[Tensor | GlcError] = [error] * len(members)
        else:
            decoded = _decode(codec, [files[position] for position in members], output, realism)
        for position, result in zip(members, decoded, strict=True):
            results[position] = result
    return results


def _decode(
    codec: Codec, files: list[bytes], output: Output, realism: int | None
) -> list[Tensor | GlcError]:
    """Decode files of one size and quality as one batch, or one by one if the batch fails."""
    try:
        if output == "latent":
            return [*_latents(codec, files)]
        return [*_images(codec, files, realism)]
    except GlcError as error:
        if len(files) == 1:
            return [error]
    return [result for data in files for result in _decode(codec, [data], output, realism)]


def _images(codec: Codec, files: list[bytes], realism: int | None) -> list[Tensor]:
    images = [np.array(image.convert("RGB")) for image in codec.decode_batch(files, realism)]
    return [torch.from_numpy(image).permute(2, 0, 1).contiguous() for image in images]


def _latents(codec: Codec, files: list[bytes]) -> list[Tensor]:
    """As ``_images``, without the image decoder, more than half of the work."""
    sizes = [inside(c.height, c.width) for c in map(unpack, files)]
    return [
        torch.from_numpy(latent[:rows, :columns]).permute(2, 0, 1).contiguous()
        for latent, (rows, columns) in zip(codec.latents_batch(files), sizes, strict=True)
    ]
