"""The shape of a model: one frozen dataclass and its presets.

Knows nothing of tensors, files or training.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

QUALITY_MAX = 100
"""Qualities are the integers 0 .. 100; higher is better and larger."""

REALISM_MAX = 100
"""Realisms are the integers 0 .. 100: 0 shows the most faithful picture, 100 the most realistic."""

DEFAULT_REALISM = 100
"""How files are shown unless a caller asks for something else."""

IMAGE_STRIDE = 64
"""Pixels per position of the hyper-latent: pictures are padded to multiples of it."""

LATENT_STRIDE = 16
"""Pixels per position of the latents l and y."""

REALISTIC_INPUT_LIMIT = 10.0
"""Of what the realistic decoder sees of l / scale. One value in a thousand is beyond 9 and some are
beyond 30; blocks multiply their inputs with each other, so that one outlier could ruin a picture,
and a step of training."""

REALISTIC_FEATURE_LIMIT = 16.0
"""Of the features that every block of the realistic decoder at 1/16 hands on, twice what they are.
A block multiplies two linear maps of what it is given: behind eight of them without a limit a crop
in some thousands had a squared error of 1e22 (docs/decisions.md, section 24)."""

_REALISTIC = "realistic_"
"""How the fields of the second decoder begin."""


@dataclass(frozen=True)
class CodecConfig:
    """Widths and depths of every network of the codec.

    A width is a number of channels, a depth a number of residual blocks. ``4``, ``8`` and ``16``
    in a name say at which fraction of the picture's resolution the layer works.
    """

    architecture: int = 1
    """3: as 2, and a second decoder shows realism 1. 2: E, D, g_a, g_s and the path by way of z are
    each a linear map plus a network whose last layer starts at zero, and D takes a realism
    (docs/decisions.md, section 18). 1: the networks alone, as in the models before."""
    latent_channels: int = 64
    """Channels of l; from architecture 2 on those of y."""
    codebook_size: int = 1024
    """Codes of the phase-1 autoencoder, the targets of the code predictor."""
    y_channels: int = 96
    """Channels of the coded latent y; a multiple of 4 for the four context steps."""
    hyper_channels: int = 96
    hyper_levels: tuple[int, ...] = (4, 4, 4, 4, 4)
    """Levels per digit of the hyper-latent; their product is the number of z indices."""

    encoder_width_4: int = 48
    encoder_width_8: int = 96
    encoder_width_16: int = 192
    encoder_depth_4: int = 0
    encoder_depth_8: int = 1
    encoder_depth_16: int = 3

    decoder_width_4: int = 64
    decoder_width_8: int = 128
    decoder_width_16: int = 256
    decoder_depth_4: int = 2
    decoder_depth_8: int = 2
    decoder_depth_16: int = 4
    realistic_width_4: int = 0
    """Of the realistic decoder, as the two after it and the depths; 0 up to architecture 2."""
    realistic_width_8: int = 0
    realistic_width_16: int = 0
    realistic_depth_4: int = 0
    realistic_depth_8: int = 0
    realistic_depth_16: int = 0
    refine_channels: int = 8
    """Channels of the only layers at full resolution; they remove the grid of the pixel shuffle."""

    transform_width: int = 192
    transform_depth: int = 2
    context_width: int = 128
    context_depth: int = 1

    scale_hidden: int = 32
    """Hidden integers per position of each branch of the scale map."""
    quality_anchors: int = 6
    """Qualities with parameters of their own; those between are interpolated."""

    def __post_init__(self) -> None:
        if self.architecture not in (1, 2, 3):
            raise ValueError(f"architecture must be 1, 2 or 3, got {self.architecture}")
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in ("hyper_levels", "architecture"):
                continue
            if field.name.startswith(_REALISTIC) and not self.two_decoders:
                if value:
                    raise ValueError(
                        f"{field.name} must be 0 with architecture {self.architecture}, got {value}"
                    )
                continue
            # What a file claims is built before anything else of it is looked at.
            least, most = (0, 64) if "depth" in field.name else (2, 1 << 16)
            if not least <= value <= most:
                raise ValueError(f"{field.name} must be from {least} to {most}, got {value}")
        if self.linear and self.latent_channels != self.y_channels:
            raise ValueError(
                f"latent_channels must be y_channels, {self.y_channels}, with architecture "
                f"{self.architecture}, got {self.latent_channels}"
            )
        if self.y_channels % 4:
            raise ValueError(f"y_channels must be a multiple of 4, got {self.y_channels}")
        if QUALITY_MAX % (self.quality_anchors - 1):
            raise ValueError(
                f"quality_anchors - 1 must divide {QUALITY_MAX}, got {self.quality_anchors - 1}"
            )
        if not 1 <= len(self.hyper_levels) <= 16 or min(self.hyper_levels) < 2:
            raise ValueError(
                f"hyper_levels must be 1 to 16 numbers of 2 or more, got {self.hyper_levels[:17]}"
            )
        if not 2 <= self.hyper_size <= 1 << 16:
            raise ValueError(f"hyper_levels give {self.hyper_size} indices; at most 65536 fit")

    @property
    def linear(self) -> bool:
        """Say whether the networks have a linear map beside them, and D a realism."""
        return self.architecture > 1

    @property
    def two_decoders(self) -> bool:
        """Say whether a decoder of its own shows realism 1."""
        return self.architecture > 2

    @property
    def realistic_shape(self) -> CodecConfig:
        """The shape of a model of architecture 1 whose D has the layers of the realistic decoder.

        Raises:
            ValueError: there is none.
        """
        names = [f.name for f in dataclasses.fields(self) if f.name.startswith(_REALISTIC)]
        changes: dict[str, Any] = dict.fromkeys(names, 0)
        changes |= {name.replace(_REALISTIC, "decoder_"): getattr(self, name) for name in names}
        return dataclasses.replace(self, architecture=1, **changes)

    @property
    def rounding(self) -> float:
        """From which magnitude on a residual is coded as 1, and so on by whole steps.

        Above 0.5 what is nearly nothing becomes nothing, as in every everyday encoder: 0.6 saves a
        fifth of the bits of the linear start for a fifth of a decibel (docs/decisions.md, section
        18). A matter of the encoder and of training; readers know nothing of it.
        """
        return 0.6 if self.linear else 0.5

    @property
    def features_channels(self) -> int:
        """Channels of what h_s gives: from architecture 2 on also the low-pass picture of z."""
        return self.hyper_channels + (len(self.hyper_levels) if self.linear else 0)

    @property
    def hyper_size(self) -> int:
        """Number of different z indices."""
        size = 1
        for levels in self.hyper_levels:
            size *= levels
        return size

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-compatible values; without a second decoder none of it.

        So the header of a weights file without one is what it was before there were any.
        """
        fields = dataclasses.asdict(self)
        if not self.two_decoders:
            fields = {n: value for n, value in fields.items() if not n.startswith(_REALISTIC)}
        fields["hyper_levels"] = list(self.hyper_levels)
        return fields

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> CodecConfig:
        """Build a configuration from ``to_dict``'s output.

        Raises:
            ValueError: a field is unknown, of the wrong type or contradicts another.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(fields) - known)
        if unknown:
            raise ValueError(f"unknown configuration fields: {', '.join(unknown)}")
        values = dict(fields)
        for name, value in values.items():
            entries = value if name == "hyper_levels" and isinstance(value, list) else [value]
            if not all(type(entry) is int and 0 <= entry <= 1 << 16 for entry in entries):
                found = repr(value)[:60]
                raise ValueError(f"configuration field {name} must be a small integer, got {found}")
        if "hyper_levels" in values:
            values["hyper_levels"] = tuple(values["hyper_levels"])
        return cls(**values)


PRESETS: dict[str, CodecConfig] = {
    # Trains on a CPU in minutes; also what the tests use.
    "tiny": CodecConfig(architecture=2, latent_channels=96, hyper_levels=(8, 4, 4, 4)),
    # Fills most of the budget of docs/architecture.md. Its latents have the shape of tiny's, so
    # that it can grow out of it (glc.training.engine.net2net). The weights called base are those
    # of glc/training/configs/graft.toml.
    "base": CodecConfig(
        architecture=2,
        latent_channels=96,
        hyper_levels=(8, 4, 4, 4),
        encoder_width_4=64,
        encoder_width_8=160,
        encoder_width_16=320,
        encoder_depth_4=1,
        encoder_depth_8=3,
        encoder_depth_16=4,
        decoder_width_4=96,
        decoder_width_8=192,
        decoder_width_16=384,
        decoder_depth_4=2,
        decoder_depth_8=3,
        decoder_depth_16=6,
        transform_width=240,
        transform_depth=3,
        context_width=160,
        context_depth=2,
    ),
}
