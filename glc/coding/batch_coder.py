"""One model at work on a batch: pictures of one padded size to integers, payloads and pixels.

Knows nothing of containers but what they hold; how a batch is chosen, and what becomes of a file,
is said beside this module. Where a GPU has too little memory the work goes on in smaller tiles.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from glc.bitstream import FORMAT_VERSION, Container
from glc.coding import assembly, payload
from glc.coding.batches import join
from glc.coding.payload import Message
from glc.coding.tables import Tables
from glc.coding.versions import order_of
from glc.coding_loop import CodingLoop
from glc.image import Picture
from glc.runtime.out_of_memory import in_smaller_tiles
from glc.runtime.protocol import Floats, Integers, Networks, Pixels
from glc.tiling.geometry import Tiling
from glc.tiling.progress import Progress

if TYPE_CHECKING:
    from glc.effort.search import Search

__all__ = ["BatchCoder"]

_Size: TypeAlias = "tuple[int, int]"
"""Height and width."""


class BatchCoder:
    """Networks and tables of one model.

    Args:
        identity: of the weights, 32 bytes.
        name: of the model, for errors.
        networks: what computes.
        tables: of the same model.
        tile: as ``Codec.tile``.
    """

    def __init__(
        self, identity: bytes, name: str, networks: Networks, tables: Tables, tile: int | None
    ) -> None:
        self.identity, self.name = identity, name
        self.networks, self.tables = networks, tables
        self.tile = tile

    def bank(self, quality: int) -> int:
        """Return the z table of a quality: that of the nearest anchor, the higher one of two."""
        return assembly.bank_of(quality, self.networks.config.quality_anchors)

    def split(
        self, sizes: Sequence[_Size], quality: int, tiling: Tiling | None = None
    ) -> Iterator[tuple[slice, CodingLoop, Progress | None]]:
        """Yield what works on pictures of one padded size: all at once, or in tiles one by one.

        Each comes with the positions of its pictures, and what it tells its progress to.
        """
        tiling, count = tiling or Tiling(self.tile), len(sizes)
        side = tiling.side_for(*sizes[0])
        together = 1 if side else count
        for start in range(0, count, together):
            members = slice(start, start + together)
            own = tiling.share(start, together, count)
            yield members, CodingLoop(self.networks, sizes[members], quality, side), own.progress

    @in_smaller_tiles
    def analyse(self, pictures: Sequence[Picture], *, tiling: Tiling | None = None) -> Floats:
        """Return the latent l of pictures: (B, C_l, h, w)."""
        sizes = [(picture.height, picture.width) for picture in pictures]
        rgb = [picture.rgb for picture in pictures]
        # E knows no quality.
        split = self.split(sizes, 0, tiling)
        return join([loop.latent(rgb[own], progress) for own, loop, progress in split])

    @in_smaller_tiles
    def quantise(
        self,
        pictures: Sequence[Picture],
        latents: Floats,
        quality: int,
        *,
        tiling: Tiling | None = None,
        search: Search | None = None,
    ) -> tuple[Integers, list[list[Message]], NDArray[np.int16]]:
        """Turn latents into the integers that are coded: see ``Codec.quantise``.

        Args:
            pictures: whose latents these are.
            latents: as ``analyse`` returns them.
            quality: 0 to 100.
            tiling: how large pictures are cut; as ``tile`` says when omitted.
            search: for something better than one pass.
        """
        sizes = [(picture.height, picture.width) for picture in pictures]
        indices, everything = [], []
        messages: list[list[Message]] = []
        for own, loop, progress in self.split(sizes, quality, tiling):
            y, z = loop.transform(latents[own])
            if search is None or not search.level.steps:
                steps, symbols = loop.write(y, z, progress)
            else:
                rgb = [picture.rgb for picture in pictures[own]]
                steps, symbols = search(loop, rgb, y, z, quality, progress)
            indices.append(z)
            everything.append(symbols)
            for index in range(len(z)):
                one = [(rows[index], of[index], coded[index]) for rows, of, coded in steps]
                messages.append([(rows[coded], of[coded]) for rows, of, coded in one])
        return join(indices), messages, join(everything)

    def code(
        self,
        pictures: Sequence[Picture],
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
            written = payload.write(self.tables, indices[index], message, *how)
            coded.append((written, assembly.canonical(indices[index], symbols[index])))
        return coded

    @in_smaller_tiles
    def read_symbols(
        self, containers: Sequence[Container], *, tiling: Tiling | None = None
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
        for own, loop, progress in self.split(sizes, quality, tiling):
            some, bank = containers[own], self.bank(quality)
            indices, symbols = payload.read(self.tables, loop, some, bank, progress)
            for index, container in enumerate(some):
                self.compare(container, indices[index], symbols[index])
            found.append((indices, symbols))
        return join([z for z, _ in found]), join([symbols for _, symbols in found])

    def compare(self, container: Container, indices: Integers, symbols: Integers) -> None:
        """Raise CorruptError if these are not the integers that the file was made of."""
        assembly.check_symbols(container, self.identity, assembly.canonical(indices, symbols))

    @in_smaller_tiles
    def dequantise(
        self,
        sizes: Sequence[_Size],
        quality: int,
        indices: Integers,
        symbols: Integers,
        *,
        tiling: Tiling | None = None,
    ) -> Floats:
        """Return the y_hat of symbols of one padded size: (B, C_y, h, w) -> same."""
        split = self.split(sizes, quality, tiling)
        return join([p.y_hat(indices[own], symbols[own], progress) for own, p, progress in split])

    @in_smaller_tiles
    def synthesise(
        self,
        sizes: Sequence[_Size],
        quality: int,
        y_hat: Floats,
        realism: float,
        *,
        tiling: Tiling | None = None,
    ) -> list[Pixels]:
        """Return the pixels of y_hat, (H, W, 3) each, at a realism of 0 to 1."""
        split = self.split(sizes, quality, tiling)
        found = (p.pictures(y_hat[own], realism, progress) for own, p, progress in split)
        return [pixels for pictures in found for pixels in pictures]
