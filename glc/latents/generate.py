"""Pictures that nobody took: drawn from what a model takes for probable, or between two others."""

from __future__ import annotations

from collections.abc import Iterable

from PIL import Image

from glc.coding.batch_coder import BatchCoder
from glc.coding_loop import CodingLoop
from glc.image import Picture
from glc.latents import arrays, sampling
from glc.latents.bottleneck import Bottleneck
from glc.latents.convert import shown, to_picture
from glc.runtime.protocol import Networks
from glc.tiling.geometry import Tiling
from glc.tiling.sizes import grid_of, inside, padded

__all__ = ["between", "from_noise", "from_tables"]


def from_tables(
    coder: BatchCoder,
    draws: Iterable[sampling.Draw],
    size: tuple[int, int],
    quality: int,
    realism: float,
) -> list[Image.Image]:
    """Draw z and symbols from the probability tables: a picture of (width, height) per draw."""
    width, height = size
    grid, pictures = grid_of(height, width), []
    tables, bank = coder.tables, coder.bank(quality)
    for draw in draws:
        z = draw.indices(tables.indices, bank, grid[0] * grid[1]).reshape(1, *grid)
        # What lies in the padding is drawn as well, so that a sample depends on its grid alone.
        sizes = [padded(height, width)]
        side = Tiling(coder.tile).side_for(height, width)
        loop = CodingLoop(coder.networks, sizes, quality, side)
        symbols = sampling.draw_symbols(loop, tables.scales, z, draw)
        y_hat = coder.dequantise(sizes, quality, z, symbols)
        (rgb,) = coder.synthesise([(height, width)], quality, y_hat, realism)
        pictures.append(Image.fromarray(rgb))
    return pictures


def from_noise(
    networks: Networks,
    bottleneck: Bottleneck,
    draws: Iterable[sampling.Draw],
    size: tuple[int, int],
    realism: float,
) -> list[Image.Image]:
    """Draw z ~ N(0, I) and show it as the bottleneck does: a picture of (width, height) each."""
    rows, columns = inside(size[1], size[0])
    pictures = []
    for draw in draws:
        z = sampling.draw_normal(networks.config.latent_channels, rows, columns, draw)
        (l,) = arrays.to_arrays(bottleneck.expand(z))
        pictures.append(to_picture(networks, l, size, realism))
    return pictures


def between(
    coder: BatchCoder,
    ends: tuple[Picture, Picture],
    steps: int,
    bottleneck: Bottleneck | None,
    realism: float,
) -> list[Image.Image]:
    """Decode pictures on the way from one latent to another of its size, both ends included."""
    path = shown(sampling.path(coder.analyse(ends), steps), bottleneck)
    size = ends[0].width, ends[0].height
    return [to_picture(coder.networks, l, size, realism) for l in arrays.to_arrays(path)]
