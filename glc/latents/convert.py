"""Pictures and files to latents, and latents to pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glc.bitstream import Container
from glc.coding.batch_coder import BatchCoder
from glc.coding.batches import pictures_alike
from glc.coding.decoding import read_y_hat
from glc.image import Picture
from glc.latents import arrays
from glc.latents.bottleneck import Bottleneck
from glc.runtime.protocol import Floats, Networks
from glc.tiling.geometry import Tiling

__all__ = ["shown", "to_latents", "to_picture"]


def shown(l: Floats, bottleneck: Bottleneck | None) -> Floats:
    """Return what D was trained to decode of l: itself, or what a Gaussian makes of it."""
    return l if bottleneck is None else bottleneck.clean(l)


def to_latents(
    coder: BatchCoder, items: Sequence[Picture | Container], bottleneck: Bottleneck | None
) -> list[NDArray[np.float32]]:
    """Return l of pictures, as D is shown it, and l_hat of files: (h, w, C_l) each, in order.

    Raises:
        CorruptError: a payload cannot be decoded, or decodes to something else.
    """
    found: dict[int, NDArray[np.float32]] = {}
    where = [index for index, item in enumerate(items) if isinstance(item, Container)]
    files = [item for item in items if isinstance(item, Container)]
    for members, y_hat in read_y_hat(coder, files, Tiling(coder.tile)):
        l_hat = coder.networks.synthesis(y_hat, files[members[0]].quality)
        found |= zip([where[index] for index in members], arrays.to_arrays(l_hat), strict=True)
    where = [index for index in range(len(items)) if index not in found]
    pictures = [item for item in items if not isinstance(item, Container)]
    for members in pictures_alike(pictures):
        l = shown(coder.analyse([pictures[index] for index in members]), bottleneck)
        found |= zip([where[index] for index in members], arrays.to_arrays(l), strict=True)
    return [found[index] for index in range(len(items))]


def to_picture(
    networks: Networks,
    latents: NDArray[np.float32],
    size: tuple[int, int] | None,
    realism: float,
) -> Image.Image:
    """Decode (h, w, C_l) float32 to an image of mode RGB; arguments as ``Codec.from_latents``.

    Raises:
        ValueError: another shape, values that are not finite, or a size that does not fit.
    """
    width, height = arrays.check(latents, networks.config.latent_channels, size)
    features = networks.decode_coarse(arrays.to_batch(latents), realism)
    (rgb,) = networks.decode_fine(features, realism)
    return Image.fromarray(np.ascontiguousarray(rgb[:height, :width]))
