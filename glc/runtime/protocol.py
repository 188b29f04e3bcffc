"""The networks of one model as a codec knows them: arrays in, arrays out.

Knows nothing of what computes them.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from glc.config import CodecConfig

__all__ = ["Base", "Floats", "Integers", "Networks", "Pixels"]

Floats: TypeAlias = "NDArray[np.float32]"
Integers: TypeAlias = "NDArray[np.integer[Any]]"
Pixels: TypeAlias = "NDArray[np.uint8]"
Base: TypeAlias = Any
"""What z says of the rows, in whatever form ``Networks.rows`` takes it."""


class Networks(Protocol):
    """The networks of one model; safe to use from several threads and in forked processes.

    Arrays are (B, C, h, w) float32 at 1/16 of the picture's resolution unless said otherwise, in
    ordinary memory; a batch has one quality, 0 to 100, and one realism, 0 to 1, which architecture
    1 does not look at. E and D come apart where that resolution is reached: what is *fine* takes
    nearly all of the memory, what is *coarse* sees far.

    With architecture 3 D is one of two decoders at each end of realism, and both between: then
    features of the faithful one come first, those of the realistic one follow as more channels, and
    what both show is mixed (``glc.runtime.mixture``).
    """

    @property
    def config(self) -> CodecConfig:
        """Of the model."""

    @property
    def runtime(self) -> str:
        """One of ``glc.runtime.choice.RUNTIMES``."""

    @property
    def device(self) -> str:
        """Where it computes: cpu, cuda, cuda:1, mps."""

    def encode_fine(self, pixels: Pixels) -> Floats:
        """E above 1/16: (B, H, W, 3) -> features."""

    def encode_coarse(self, features: Floats) -> Floats:
        """The rest of E: features -> l."""

    def analysis(self, l: Floats, quality: int) -> Floats:
        """g_a: l -> y."""

    def hyper_analysis(self, y: Floats, quality: int) -> Integers:
        """h_a: y -> indices of z, (B, h / 4, w / 4)."""

    def hyper_synthesis(self, indices: Integers, quality: int) -> Floats:
        """h_s: indices of z -> features of the context model."""

    def context(self, step: int, y_hat: Floats, features: Floats) -> tuple[Floats, Floats]:
        """The context model: y_hat, 0 where not known yet, -> mean and quant_step."""

    def scale_base(self, indices: Integers, quality: int) -> Base:
        """The scale map before the first step: indices of z -> (B, C_y, h, w), exact."""

    def rows(self, step: int, base: Base, symbols: Integers) -> NDArray[np.uint8]:
        """The rest of the scale map: symbols, 0 where not known yet, -> rows, exact."""

    def synthesis(self, y_hat: Floats, quality: int) -> Floats:
        """g_s: y_hat -> l_hat."""

    def decode_coarse(self, l_hat: Floats, realism: float) -> Floats:
        """D at 1/16: l_hat -> features, which are good for this realism alone."""

    def decode_fine(self, features: Floats, realism: float) -> Pixels:
        """The rest of D: features -> (B, H, W, 3)."""

    def ran_out(self, error: Exception) -> bool:
        """Say whether an error means that the device has too little memory of its own."""

    def free(self) -> None:
        """Give back memory of the device that no result needs."""
