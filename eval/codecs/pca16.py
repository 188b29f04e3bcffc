"""The codec `pca16`: principal components of 16 x 16 blocks, no network. A floor for the others.

A picture is cut into blocks of 16 x 16 x 3; each becomes COMPONENTS numbers by a fixed linear
transform; all are divided by one step, predicted from decoded neighbours, rounded, and range coded.
The table of a symbol follows from the magnitudes of symbols decoded before it. Everything that a
decoder computes is integer, so that a file does not depend on the machine that reads it.

File: quality (1 byte), width and height (2 bytes each, big endian), number of components that are
not all zero (1 byte), range-coded symbols. The model is the file `pca16.npz` beside this module,
made by `python -m eval.codecs.pca16_fit` from pictures that are in no test set.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from eval.metrics.backbones import Unavailable
from eval.pictures import RGB, pixels
from glc import GlcError
from glc.entropy import MAX_MAGNITUDE, ROWS, Order, RangeDecoder, RangeEncoder, ScaleTables

BLOCK = 16
VALUES = 3 * BLOCK * BLOCK
COMPONENTS = 96
BASIS_BITS = 16
"""The basis is stored as integers of this many binary places, and means as levels of 2**-8."""
FINE_BITS = 8
"""Binary places of a decoded number, in steps."""
SCALE_BITS = 12
"""Binary places of an expected magnitude and of the weights that give it."""
ANCHORS = 6
"""The weights for expected magnitudes are fitted at qualities 0, 20, ..., 100."""
FEATURES = 5
"""One; magnitudes of the same component around; recent ones of the block, and around; all."""
DISTANCES = (4, 2, 1)
STAGES = 1 + 2 * len(DISTANCES)
_ROUND_UP = 0.3
"""Magnitudes are rounded up from a fraction of .7: fewer bits for the same error. The encoder's
choice; a decoder does not know of it."""
_HEADER = struct.Struct(">BHHB")
_SHAPES: dict[str, tuple[int, ...]] = {
    "steps": (101,),
    "mean": (3,),
    "basis": (COMPONENTS, VALUES),
    "prediction": (COMPONENTS, STAGES, 2),
    "magnitude": (ANCHORS, COMPONENTS, STAGES, FEATURES),
    "thresholds": (ROWS - 2,),
}

Int64 = NDArray[np.int64]
Exchange = Callable[[int, int, NDArray[np.intp], Int64, Int64], Int64]
"""(component, stage, blocks, prediction, features) to symbols: writes, reads or counts them."""


def anchor_of(quality: int) -> int:
    """Return the nearest of the qualities at which weights are fitted."""
    return min((quality + 10) // 20, ANCHORS - 1)


@dataclass(frozen=True)
class Pass:
    """Blocks that are coded at once, and the four decoded blocks around each."""

    stage: int
    blocks: NDArray[np.intp]
    """(n,), in 0 .. height * width - 1."""
    near: NDArray[np.intp]
    """(4, n): two opposite pairs; one outside of the picture is replaced by its partner."""


@lru_cache(maxsize=16)
def passes_of(height: int, width: int) -> tuple[Pass, ...]:
    """Return the passes over a plane of blocks, coarse to fine.

    First every eighth block; then, for distances of 4, 2 and 1, the middles of four known blocks,
    and after them what lies between two known blocks of a row and two of a column.
    """
    y, x = (index.ravel() for index in np.indices((height, width)))
    first = (y % (2 * DISTANCES[0]) == 0) & (x % (2 * DISTANCES[0]) == 0)
    found = [Pass(0, np.flatnonzero(first), np.zeros((4, 0), np.intp))]
    for level, distance in enumerate(DISTANCES):
        on = (y % distance == 0) & (x % distance == 0)
        odd_y, odd_x = y // distance % 2 == 1, x // distance % 2 == 1
        for part, (members, offsets) in enumerate(
            (
                (on & odd_y & odd_x, ((-1, -1), (1, 1), (-1, 1), (1, -1))),
                (on & (odd_y != odd_x), ((0, -1), (0, 1), (-1, 0), (1, 0))),
            )
        ):
            at = np.flatnonzero(members)
            if len(at):
                places = [
                    _places(y[at] + distance * dy, x[at] + distance * dx, height, width)
                    for dy, dx in offsets
                ]
                found.append(Pass(1 + 2 * level + part, at, _substituted(np.array(places))))
    return tuple(found)


def _places(y: NDArray[np.intp], x: NDArray[np.intp], height: int, width: int) -> NDArray[np.intp]:
    """Return block numbers, -1 outside of the picture."""
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    return np.where(inside, y * width + x, -1)


def _substituted(near: NDArray[np.intp]) -> NDArray[np.intp]:
    """Put its partner in the place of a block outside, and the other pair where both are."""
    a, b, c, d = near
    a, b = np.where(a < 0, b, a), np.where(b < 0, a, b)
    c, d = np.where(c < 0, d, c), np.where(d < 0, c, d)
    a, b, c, d = (
        np.where(a < 0, c, a),
        np.where(b < 0, d, b),
        np.where(c < 0, a, c),
        np.where(d < 0, b, d),
    )
    return np.stack([a, b, c, d])


@dataclass(frozen=True)
class Model:
    """What encoder and decoder share; integers only."""

    steps: Int64
    """(101,), the step of every quality, in levels of a coefficient."""
    mean: Int64
    """(3,), the mean colour, in levels of 2**-8."""
    basis: Int64
    """(COMPONENTS, 768) of a block (row, column, colour); rows have a length of 2**BASIS_BITS."""
    prediction: Int64
    """(COMPONENTS, STAGES, 2): weights, of 2**-8, of the means of the two pairs of neighbours."""
    magnitude: Int64
    """(ANCHORS, COMPONENTS, STAGES, FEATURES): what gives the expected magnitude of a symbol."""
    thresholds: Int64
    """(ROWS - 2,) ascending: an expected magnitude below the first has row 1, above the last 63."""
    tables: ScaleTables

    @classmethod
    def load(cls, path: Path) -> Model:
        """Read a model.

        Raises:
            Unavailable: there is no such file, or it is no model of this codec.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                names = ("frequencies", "half_widths")
                tables = ScaleTables.from_arrays({name: arrays[name] for name in names})
                rest = {name: arrays[name].astype(np.int64) for name in _SHAPES}
        except (OSError, KeyError, ValueError, GlcError) as error:
            raise Unavailable(f"pca16: {path} is no model of it: {error}") from error
        shapes = {name: array.shape for name, array in rest.items()}
        if shapes != _SHAPES:
            raise Unavailable(f"pca16: {path}: expected shapes {_SHAPES}, found {shapes}")
        return cls(tables=tables, **rest)

    def save(self, path: Path) -> None:
        """Write the model, compressed."""
        arrays: dict[str, Any] = {**self.tables.to_arrays()}
        for name in _SHAPES:
            array: Int64 = getattr(self, name)
            short = np.abs(array).max() < 1 << 15
            arrays[name] = array.astype(np.int16 if short else np.int32)
        np.savez_compressed(path, **arrays)

    def analyse(self, image: Image.Image) -> tuple[NDArray[np.float64], int, int]:
        """Return the coefficients (blocks, COMPONENTS), and how many rows and columns of blocks."""
        picture = pixels(image).astype(np.float64) - self.mean / 256
        bottom, right = -picture.shape[0] % BLOCK, -picture.shape[1] % BLOCK
        picture = np.pad(picture, ((0, bottom), (0, right), (0, 0)), mode="edge")
        height, width = picture.shape[0] // BLOCK, picture.shape[1] // BLOCK
        blocks = picture.reshape(height, BLOCK, width, BLOCK, 3).transpose(0, 2, 1, 3, 4)
        return blocks.reshape(-1, VALUES) @ (self.basis.T / (1 << BASIS_BITS)), height, width

    def synthesise(self, numbers: Int64, height: int, width: int) -> RGB:
        """Return pixels, (16 height, 16 width, 3), of coefficients in units of 2**-FINE_BITS."""
        # Integers below 2**53 in float64: exact, in whatever order they are added.
        sums = numbers.astype(np.float64) @ self.basis.astype(np.float64)
        places = FINE_BITS + BASIS_BITS
        sums += np.tile(self.mean << (places - 8), VALUES // 3) + (1 << (places - 1))
        levels = np.clip(sums.astype(np.int64) >> places, 0, 255).astype(np.uint8)
        blocks = levels.reshape(height, width, BLOCK, BLOCK, 3).transpose(0, 2, 1, 3, 4)
        picture: RGB = blocks.reshape(height * BLOCK, width * BLOCK, 3)
        return picture

    def rows(self, anchor: int, component: int, stage: int, features: Int64) -> NDArray[np.intp]:
        """Return the tables' rows, 1..63, for symbols with these features, (n, FEATURES)."""
        expected = features @ self.magnitude[anchor, component, stage]
        found: NDArray[np.intp] = np.searchsorted(self.thresholds, expected, side="right") + 1
        return found

    def code(self, height: int, width: int, used: int, exchange: Exchange) -> Int64:
        """Go through all symbols in coding order; the one loop of encoder, decoder and fit.

        Args:
            height: rows of blocks.
            width: columns of blocks.
            used: how many components are coded.
            exchange: gives the symbols of a pass.

        Returns:
            Decoded numbers, (blocks, COMPONENTS), in steps of 2**-FINE_BITS.
        """
        count = height * width
        numbers = np.zeros((count, COMPONENTS), dtype=np.int64)
        recent, total = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
        for component in range(used):
            decoded = numbers[:, component]  # a view
            magnitudes = np.zeros(count, dtype=np.int64)
            around = _sum_of_nine(recent, height, width)
            for part in passes_of(height, width):
                at, near = part.blocks, part.near
                predicted = np.zeros(len(at), dtype=np.int64)
                features = np.zeros((len(at), FEATURES), dtype=np.int64)
                if near.size:
                    pairs = decoded[near[0::2]] + decoded[near[1::2]]
                    weighted = self.prediction[component, part.stage] @ pairs
                    predicted = (weighted + (1 << FINE_BITS)) >> (FINE_BITS + 1)
                    features[:, 1] = magnitudes[near].sum(axis=0)
                features[:, 0] = 1
                features[:, 2], features[:, 3], features[:, 4] = recent[at], around[at], total[at]
                symbols = exchange(component, part.stage, at, predicted, features)
                decoded[at] = (symbols << FINE_BITS) + predicted
                magnitudes[at] = np.abs(symbols)
            recent = (recent * 3 >> 2) + (magnitudes << 3)
            total += magnitudes
        return numbers


def _sum_of_nine(plane: Int64, height: int, width: int) -> Int64:
    """Return, for every block, the sum over it and its eight neighbours."""
    padded = np.pad(plane.reshape(height, width), 1, mode="edge")
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    sums: Int64 = (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]).ravel()
    return sums


class Pca16Codec:
    """The codec with one model."""

    qualities: tuple[float, ...] = (0, 15, 30, 45, 60, 75, 90)

    def __init__(self, path: Path | None = None) -> None:
        """Load a model, None for the one that comes with the package.

        Raises:
            Unavailable: it cannot be read.
        """
        file = path or Path(__file__).with_suffix(".npz")
        self._model = Model.load(file)
        self.name = "pca16" if path is None else f"pca16:{path.stem}"
        self.version = hashlib.sha256(file.read_bytes()).hexdigest()[:12]

    def encode(self, image: Image.Image, quality: float) -> bytes:
        """Return the file at a quality of 0..100."""
        whole = min(max(round(quality), 0), 100)
        model, encoder = self._model, RangeEncoder()
        values, height, width = model.analyse(image)
        values = values * ((1 << FINE_BITS) / int(model.steps[whole]))
        # Above the last component that rounds to something, nothing is predicted from nothing.
        large = np.abs(values).max(axis=0) >= (1 - _ROUND_UP) * (1 << FINE_BITS)
        used = int(np.flatnonzero(large)[-1]) + 1 if large.any() else 0

        def write(
            component: int, stage: int, at: NDArray[np.intp], predicted: Int64, features: Int64
        ) -> Int64:
            symbols = quantise(values[at, component] - predicted)
            rows = model.rows(anchor_of(whole), component, stage, features)
            model.tables.encode(encoder, symbols, rows, Order.LARGE_FIRST)
            return symbols

        model.code(height, width, used, write)
        return _HEADER.pack(whole, *image.size, used) + encoder.to_bytes()

    def decode(self, data: bytes) -> Image.Image:
        """Return the picture of a file that `encode` made."""
        quality, columns, rows, used = _HEADER.unpack(data[: _HEADER.size])
        model, decoder = self._model, RangeDecoder(data[_HEADER.size :])
        height, width = -(-rows // BLOCK), -(-columns // BLOCK)

        def read(
            component: int, stage: int, at: NDArray[np.intp], predicted: Int64, features: Int64
        ) -> Int64:
            chosen = model.rows(anchor_of(quality), component, stage, features)
            return model.tables.decode(decoder, chosen, Order.LARGE_FIRST).astype(np.int64)

        numbers = model.code(height, width, used, read) * int(model.steps[quality])
        return Image.fromarray(model.synthesise(numbers, height, width)[:rows, :columns])


def quantise(values: NDArray[np.float64]) -> Int64:
    """Return the symbols of numbers in steps of 2**-FINE_BITS; fewer and smaller than rounding."""
    magnitudes = np.abs(values) / (1 << FINE_BITS)
    symbols = np.sign(values) * np.minimum(np.floor(magnitudes + _ROUND_UP), MAX_MAGNITUDE)
    whole: Int64 = symbols.astype(np.int64)
    return whole
