"""Files to pictures: several of any sizes, all their integers checked before the first float."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from PIL import Image

from glc.bitstream import Container
from glc.coding import assembly, mean_colors
from glc.coding.batch_coder import BatchCoder
from glc.coding.batches import files_alike
from glc.runtime.protocol import Floats
from glc.tiling.geometry import Tiling

__all__ = ["decode", "read_y_hat", "verify"]


def decode(
    coder: BatchCoder, containers: Sequence[Container], realism: float, tiling: Tiling
) -> list[Image.Image]:
    """Return the pictures of files, in order.

    Raises:
        CorruptError: a payload cannot be decoded, or decodes to something else.
    """
    pictures: dict[int, Image.Image] = {}
    for members, y_hat in read_y_hat(coder, containers, tiling):
        sizes = [(containers[i].height, containers[i].width) for i in members]
        own = tiling.share(len(pictures), len(members), len(containers)).within(0.5, 1.0)
        quality = containers[members[0]].quality
        x_hat = coder.synthesise(sizes, quality, y_hat, realism, tiling=own)
        del y_hat
        for index, pixels in zip(members, x_hat, strict=True):
            lacking = mean_colors.of_file(containers[index], coder.tables.scales)
            pictures[index] = assembly.finish(containers[index], pixels, lacking)
    return [pictures[index] for index in range(len(containers))]


def verify(coder: BatchCoder, containers: Sequence[Container], tiling: Tiling) -> None:
    """Decode symbols, alpha and mean colours, and compare checksums; no float is computed.

    Raises:
        CorruptError: as ``decode``.
    """
    done = 0
    for members, some in files_alike(containers):
        coder.read_symbols(some, tiling=tiling.share(done, len(members), len(containers)))
        done += len(members)
    for container in containers:
        assembly.alpha_of(container)
        mean_colors.of_file(container, coder.tables.scales)


def read_y_hat(
    coder: BatchCoder, containers: Sequence[Container], tiling: Tiling
) -> Iterator[tuple[list[int], Floats]]:
    """Yield the members of each batch, as positions in ``containers``, and their y_hat."""
    done = 0
    for members, some in files_alike(containers):
        own = tiling.share(done, len(members), len(containers))
        sizes = [(container.height, container.width) for container in some]
        integers = coder.read_symbols(some, tiling=own.within(0.0, 0.25))
        tail = own.within(0.25, 0.5)
        yield members, coder.dequantise(sizes, some[0].quality, *integers, tiling=tail)
        done += len(members)
