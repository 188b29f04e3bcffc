"""How far beyond a cut each network looks, from the configuration of a model alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from glc.config import LATENT_STRIDE, CodecConfig
from glc.tiling.sizes import round_up

__all__ = ["Reach", "reach_of"]


@dataclass(frozen=True)
class Reach:
    """How many pixels beyond its own each output of a network depends on, at most and exactly.

    Outputs of E, g_a, g_s and D at 1/16 are positions of 16 x 16 pixels, of h_a 64 x 64, those of
    the others single positions of y or pixels, but counted from the border of any block that is
    aligned to the input's grid. Fine and coarse parts: ``glc.runtime.protocol.Networks``.
    """

    encoder_fine: int
    encoder_coarse: int
    analysis: int
    hyper_analysis: int
    hyper_synthesis: int
    context: int
    """Of y_hat and of the features alike, in the steps after the first."""
    scale_base: int
    scale_context: int
    decoder_coarse: int
    """Of g_s and D at 1/16, one after the other; of two decoders the one that sees farther."""
    decoder_fine: int
    """Of two decoders, too."""


def reach_of(config: CodecConfig) -> Reach:
    """Return the receptive fields of a model's networks, from its configuration alone."""
    transform = 1 + config.transform_depth
    return Reach(
        # The lapped transform looks 16 pixels beyond its own; so does its inverse.
        encoder_fine=max(
            LATENT_STRIDE if config.linear else 0,
            _reach((8, 2 * config.encoder_depth_8), (4, 2 * config.encoder_depth_4 + 1)),
        ),
        encoder_coarse=_reach((16, config.encoder_depth_16)),
        analysis=_reach((16, transform)),
        hyper_analysis=_reach((64, 1), (32, 1), (16, 1)),
        hyper_synthesis=_reach((16, 1), (32, 1), (64, 2)),
        context=_reach((16, 1 + config.context_depth)),
        scale_base=_reach((64, 1)),
        scale_context=_reach((16, 1)),
        # One depthwise layer per block, and one to begin.
        # Depths of a second decoder that is not there are 0.
        decoder_coarse=_reach(
            (16, transform + 1 + max(config.decoder_depth_16, config.realistic_depth_16))
        ),
        decoder_fine=max(
            _reach((1, 3), (16, 1)) if config.linear else 0,
            _renderer(config.decoder_depth_4, config.decoder_depth_8),
            _renderer(config.realistic_depth_4, config.realistic_depth_8, config.two_decoders),
        ),
    )


def _renderer(depth_4: int, depth_8: int, has_means: bool = False) -> int:
    """Reach of the layers of a decoder above 1/16.

    A 5x5 and a 3x3 layer at full resolution; then two 3x3 layers per plain block, and one to
    render. With means first the areas of 16 x 16 pixels around.
    """
    areas = [(16, 1)] if has_means else []
    return _reach(*areas, (1, 3), (4, 1 + 2 * depth_4), (8, 2 * depth_8), (16, 0))


def _reach(*layers: Sequence[int]) -> int:
    """Add up layers from output to input: (pixels per position, positions seen to each side).

    Where the resolution falls on the way, a position that is seen in part is seen whole.
    """
    reach = 0
    for stride, positions in layers:
        reach = round_up(reach, stride) + stride * positions
    return reach
