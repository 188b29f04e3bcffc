"""What a training run is told: one frozen dataclass, read from TOML and the command line.

Knows nothing of tensors.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glc.config import PRESETS, CodecConfig

CONFIG_DIR = Path(__file__).parent / "configs"
"""TOML files of the shipped models, one per preset."""

REALISTIC_DECODER = "realistic_decoder"

PARTS = (
    "encoder", "decoder", "analysis", "synthesis", "hyper_analysis", "hyper_synthesis",
    "hyper_codebook", "context", "scale_map", REALISTIC_DECODER,
)  # fmt: skip
"""Parts of ``glc.networks.model.GlcModel`` that ``trained_parts`` may name."""

NETWORKS = ("lpips", "alex", "mobilenet")
"""LPIPS by SqueezeNet, LPIPS by AlexNet, MobileNetV2: names of their weights."""

_WITHOUT_SQUARED_ERROR = {
    "mse_weight": 0.0,
    "alex_weight": 0.0,
    "colour_weight": 0.0,
    "perceptual_start": 0.0,
}
"""What runs did before these fields existed."""

_TAKEN_OUT = {"context": True, "hyper_weight": 0.0}
"""Fields that older runs have stored, and the only values of them that can still be gone on with:
docs/decisions.md, section 14."""


@dataclass(frozen=True)
class TrainingSettings:
    """Everything that decides how a run goes, but for its data, output folder and device."""

    preset: str = "tiny"
    """Name of the model, and its shape unless ``codec`` is given."""
    codec: CodecConfig | None = None
    """Shape of a model that is no preset: the ``[codec]`` table of a TOML file."""
    seed: int = 1
    regulariser: str = "vq"
    """Phase-1 bottleneck: vq (SimVQ), fsq or kl."""

    batch_1: int = 16
    batch_2: int = 6
    batch_3: int = 4
    crop_1: int = 128
    crop_2: int = 256
    """At least 256 in phases 2 and 3: a 128 px crop has four positions of z, all corners."""
    crop_3: int = 256
    steps_1: int = 5500
    steps_2: int = 4000
    steps_3: int = 10000
    learning_rate_1: float = 8e-4
    learning_rate_2: float = 1e-3
    learning_rate_3: float = 5e-4
    encoder_pace: float = 1.0
    """Factor on the learning rate of E's network."""
    realistic_pace: float = 1.0
    """Factor on that of the realistic decoder, which mostly begins as another's; not on that of its
    mean colours."""
    warmup_steps: int = 200
    decay_share: float = 0.3
    """Last share of a phase over which the learning rate falls linearly to 2 % of its peak."""
    muon: bool = False
    """Matrices and convolutions by Muon (``glc.training.engine.muon``), the rest by AdamW. From
    nothing two to three times AdamW's learning rate; docs/decisions.md, section 15."""
    trained_parts: str = ""
    """Parts of the model that phase 3 trains, by the names of ``GlcModel``, such as
    ``encoder,analysis``; all others stay as they are. Empty trains all."""
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    ema_decay: float = 0.999
    bf16: str = "auto"
    """Autocast to bf16: ``true``, ``false``, or ``auto``, where the device has instructions for it
    (``glc.training.engine.processor``)."""
    channels_last: bool = True
    """Lay tensors out with channels innermost, which the fast convolutions of most devices want."""
    compile: bool = False
    """Compile E, D, g_a and g_s: a slow start of every process, then faster steps on a GPU."""
    cuda_graphs: bool = True
    """On a CUDA device record a step of phase 3 once and replay it
    (``glc.training.engine.captured_step``): twice as fast. Not with several processes or
    ``compile``."""
    rescale_max: float = 2.0
    """Half of the batches are cut larger by up to this factor and reduced to ``crop``."""

    logarithms: bool = False
    """Weigh the logarithm of each picture's losses and rate, as ``--effort`` does, so that a per
    cent of any of them counts as much at every quality. The adversary's has none."""
    mse_weight: float = 38.0
    """Squared error in units of [-1, 1]; 38 to 1 of LPIPS is the ratio of HiFiC (arXiv
    2006.09965)."""
    l1_weight: float = 0.0
    lpips_weight: float = 0.5
    """LPIPS by SqueezeNet, and of the next: by AlexNet. One network alone is easily fooled."""
    alex_weight: float = 0.5
    mobilenet_weight: float = 0.0
    """MobileNetV2's features, which hardly see colour and contrast."""
    mobilenet_share: float = 0.5
    """Share of each batch that MobileNetV2 looks at, for this loss and for the projected
    discriminator; it is the dearest network of a step."""
    texture_weight: float = 0.0
    """Weight of the texture of what each of these networks sees that has a weight of its own,
    ``glc.training.losses.texture.texture_distance``."""
    afar_weight: float = 0.0
    """Weight of MobileNetV2's distance at half the size of the picture."""
    meaning_weight: float = 0.0
    """Weight of the distance there of what MobileNetV2's classifier sees."""
    perceptual_start: float = 0.4
    """Share of phases 1 and 3 that passes before the feature networks join: squared error alone is
    low in noise, and half as dear per crop (docs/decisions.md)."""
    perceptual_ramp: float = 0.1
    """Share of the phase over which their weights then rise; without a start there is no ramp."""
    smooth_weight: float = 0.0
    """Weight of squared error where the original is smooth,
    ``glc.training.losses.grid.smooth_loss``.
    """
    colour_weight: float = 2.0
    """Weight of the colour of areas of 16 pixels, of areas of 8, and of repeating error; all in
    ``glc.training.losses.grid``."""
    area_weight: float = 0.0
    grid_weight: float = 10.0
    line_weight: float = 0.3
    """Weight of spectral lines that stand out, ``glc.training.losses.grid.line_loss``. Crops below
    128 pixels are too small for it and go without."""
    adversarial_weight: float = 0.1
    """Largest factor of the adversarial gradient against the reconstruction gradient."""
    adversarial_start_1: float = 0.7
    """Share of phase 1 that passes before the discriminator joins; the next: of phase 3."""
    adversarial_start_3: float = 0.6
    patch_discriminator: bool = True
    projected_networks: str = "lpips"
    """Feature networks through which projected discriminators look, such as ``lpips,alex``; empty
    is none. Those of the perceptual losses cost them nothing more."""
    discriminator_width: int = 32
    discriminator_learning_rate: float = 3e-4

    codebook_weight: float = 1.0
    latent_weight: float = 4.0
    """Phase 2: weight of the mean squared error of l_hat."""
    code_weight: float = 0.25
    """Phase 2: weight of the code predictor's cross-entropy (DLF: 0.25 against an MSE of 1)."""
    latent_weight_3: float = 0.2
    code_weight_3: float = 0.02

    realistic_share: float = 0.5
    """Share of each batch that is decoded with a realism above 0 and seen by feature networks and
    discriminators; D learns from the others to be faithful. From architecture 2 on."""
    faithful_weight: float = 1.0
    """Factor on the picture losses of the others, which no feature network makes large; of no
    effect where there are none."""
    quality_balance: float = 0.5
    """Power to which the loss of a sample is divided by the rate weight of its quality: at 0 the
    coarsest qualities count most, at 1 the finest."""

    bpp_low: float = 0.011
    """Wanted rate at quality 0; between qualities the wanted rate is geometric."""
    bpp_high: float = 0.15
    rate_weight_low: float = 200.0
    """Initial rate weight at quality 0 when starting from a weights file, which does not hold it;
    the next: at quality 100. Both are where the run of ``tiny`` ended."""
    rate_weight_high: float = 1.0
    settle_steps: int = 400
    """Steps that means and scales alone take before an export
    (``glc.training.engine.start.settle``). From architecture 2 on."""
    rate_ramp: float = 0.33
    """Share of phase 2 over which the wanted rates come down from ``bpp_excess`` times theirs."""
    bpp_excess: float = 4.0

    log_every: int = 50
    sample_every: int = 1000
    """Steps between two measurements of the held-out losses, each with a sheet of samples."""
    held_out_batches: int = 4
    """Batches of eight crops that the held-out losses are measured on."""
    checkpoint_every_s: float = 300.0

    def __post_init__(self) -> None:
        if self.codec is None and self.preset not in PRESETS:
            raise ValueError(
                f"no preset {self.preset!r}; expected {', '.join(PRESETS)} or a [codec] table"
            )
        if self.regulariser not in ("vq", "fsq", "kl"):
            raise ValueError(f"regulariser must be vq, fsq or kl, got {self.regulariser!r}")
        for phase in (1, 2, 3):
            if self.crop(phase) % 64:
                raise ValueError(f"crop must be a multiple of 64, got {self.crop(phase)}")
            if self.batch(phase) < 1:
                raise ValueError(f"batch must be at least 1, got {self.batch(phase)}")
        unknown = sorted(set(self.parts) - set(PARTS))
        if unknown:
            raise ValueError(
                f"no part of the model is called {unknown[0]!r}; expected {', '.join(PARTS)}"
            )
        unknown = sorted(set(self.projected) - set(NETWORKS))
        if unknown:
            raise ValueError(
                f"no feature network is called {unknown[0]!r}; expected {', '.join(NETWORKS)}"
            )
        if REALISTIC_DECODER in self.parts and not self.shape.two_decoders:
            raise ValueError(
                f"trained_parts names {REALISTIC_DECODER}, which a model of architecture "
                f"{self.shape.architecture} does not have"
            )
        factors = ("encoder_pace", "realistic_pace", "faithful_weight")
        below = [name for name in factors if getattr(self, name) < 0]
        if below:
            raise ValueError(f"{below[0]} must be at least 0, got {getattr(self, below[0])}")
        if not 0 < self.bpp_low < self.bpp_high:
            raise ValueError(f"need 0 < bpp_low < bpp_high, got {self.bpp_low}, {self.bpp_high}")
        # TOML files and runs of before hold a boolean.
        bf16 = {"0": "false", "1": "true"}.get(str(self.bf16), str(self.bf16).lower())
        object.__setattr__(self, "bf16", bf16)
        if bf16 not in ("auto", "true", "false"):
            raise ValueError(f"bf16 must be auto, true or false, got {self.bf16!r}")
        self._check_weights()

    def _check_weights(self) -> None:
        if self.texture_weight > 0 and not any(
            getattr(self, f"{name}_weight") > 0 for name in NETWORKS
        ):
            raise ValueError(
                "texture_weight compares what the feature networks of the other losses see: needs "
                + ", ".join(f"{name}_weight" for name in NETWORKS[:-1])
                + f" or {NETWORKS[-1]}_weight above 0"
            )
        on_pixels = (self.mse_weight, self.l1_weight, self.colour_weight, self.area_weight)
        if self.perceptual_start > 0 and not any(weight > 0 for weight in on_pixels):
            raise ValueError(
                "before perceptual_start nothing would be left to learn from: needs one of "
                "mse_weight, l1_weight, colour_weight and area_weight above 0"
            )

    @classmethod
    def load(cls, preset: str, overrides: dict[str, Any]) -> TrainingSettings:
        """Read ``configs/<preset>.toml`` (or a path to a TOML file) and override fields.

        Raises:
            ValueError: the file names an unknown field, or a value contradicts another.
        """
        # Here, so that help needs no package of the extra on old Pythons.
        if sys.version_info >= (3, 11):
            import tomllib
        else:
            import tomli as tomllib

        path = Path(preset) if preset.endswith(".toml") else CONFIG_DIR / f"{preset}.toml"
        if not path.is_file():
            raise ValueError(f"no training configuration {path}")
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        values.update({key: value for key, value in overrides.items() if value is not None})
        return cls.from_dict(values)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> TrainingSettings:
        """Build settings from ``to_dict``'s output or a TOML file's contents.

        Raises:
            ValueError: an unknown field, or a value that contradicts another.
        """
        unknown = sorted(set(fields) - {field.name for field in dataclasses.fields(cls)})
        if unknown:
            raise ValueError(f"unknown training settings: {', '.join(unknown)}")
        values = dict(fields)
        if values.get("codec") is not None:
            values["codec"] = CodecConfig.from_dict(values["codec"])
        return cls(**values)

    @classmethod
    def of_run(cls, fields: dict[str, Any]) -> TrainingSettings:
        """Build the settings that a run has stored: one older than squared error keeps its losses.

        Raises:
            ValueError: as ``from_dict``, or the run made use of what has been taken out.
        """
        idle = {name for name, value in _TAKEN_OUT.items() if fields.get(name) == value}
        kept = {name: value for name, value in fields.items() if name not in idle}
        if "projected_discriminator" in kept:
            # A projected discriminator looked through MobileNetV2, where there was one.
            looked = kept.pop("projected_discriminator")
            kept["projected_networks"] = "mobilenet" if looked else ""
        return cls.from_dict((_WITHOUT_SQUARED_ERROR if "mse_weight" not in fields else {}) | kept)

    def replace(self, overrides: dict[str, Any]) -> TrainingSettings:
        """Return the settings with the fields that are not None in ``overrides`` changed."""
        given = {key: value for key, value in overrides.items() if value is not None}
        return self.from_dict(self.to_dict() | given)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-compatible values."""
        fields = dataclasses.asdict(self)
        fields["codec"] = None if self.codec is None else self.codec.to_dict()
        return fields

    @property
    def parts(self) -> tuple[str, ...]:
        """``trained_parts`` as names; empty where all are trained."""
        return _names(self.trained_parts)

    @property
    def projected(self) -> tuple[str, ...]:
        """``projected_networks`` as names."""
        return _names(self.projected_networks)

    @property
    def shape(self) -> CodecConfig:
        """Widths and depths of the model."""
        return self.codec or PRESETS[self.preset]

    def steps(self, phase: int) -> int:
        """Return the number of steps of a phase."""
        return (self.steps_1, self.steps_2, self.steps_3)[phase - 1]

    def batch(self, phase: int) -> int:
        """Return the crops per step of a phase."""
        return (self.batch_1, self.batch_2, self.batch_3)[phase - 1]

    def crop(self, phase: int) -> int:
        """Return the side of a phase's crops in pixels."""
        return (self.crop_1, self.crop_2, self.crop_3)[phase - 1]

    def realistic(self, batch: int) -> int:
        """Return how many samples of a batch are decoded with a realism above 0."""
        return min(batch, max(1, round(self.realistic_share * batch)))

    def adversarial_start(self, phase: int) -> float:
        """Return the share of a phase that passes before the discriminator joins."""
        return (self.adversarial_start_1, 1.0, self.adversarial_start_3)[phase - 1]

    def perceptual_share(self, phase: int, progress: float) -> float:
        """Return the factor on the weights of the feature networks.

        Args:
            phase: 1, 2 or 3; phase 2 makes no pictures.
            progress: share of the phase that has passed, in [0, 1].
        """
        if phase == 2:
            return 0.0
        if self.perceptual_start <= 0:
            return 1.0
        late = progress - self.perceptual_start
        if self.perceptual_ramp <= 0:
            return float(late >= 0)
        return min(1.0, max(0.0, late / self.perceptual_ramp))

    def is_adversarial(self, phase: int, progress: float) -> bool:
        """Say whether the discriminators take part when this share of the phase has passed."""
        late = phase != 2 and progress >= self.adversarial_start(phase)
        any_of_them = self.patch_discriminator or bool(self.projected)
        return late and any_of_them and self.adversarial_weight > 0

    def networks(self, phases: Collection[int]) -> tuple[str, ...]:
        """Return the feature networks that these phases need at all, of ``NETWORKS``."""
        with_pictures = [phase for phase in phases if phase != 2]
        if not with_pictures:
            return ()
        joins = any(self.adversarial_start(phase) < 1 for phase in with_pictures)
        adversarial = self.adversarial_weight > 0 and joins
        projected = self.projected if adversarial else ()
        mobilenet = max(self.mobilenet_weight, self.afar_weight, self.meaning_weight) > 0
        needed = {
            "lpips": self.lpips_weight > 0,
            "alex": self.alex_weight > 0,
            "mobilenet": mobilenet,
        }
        return tuple(name for name, wanted in needed.items() if wanted or name in projected)

    def learning_rate(self, phase: int) -> float:
        """Return the peak learning rate of a phase."""
        return (self.learning_rate_1, self.learning_rate_2, self.learning_rate_3)[phase - 1]


def _names(text: str) -> tuple[str, ...]:
    """Split names that commas part."""
    return tuple(name.strip() for name in text.split(",") if name.strip())
