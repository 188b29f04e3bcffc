"""The three phases as functions of a batch: what is trained, and what each loss is.

docs/training.md; GLC (arXiv 2512.20194, section 3.4). Pixel, perceptual and adversarial losses
act on ``x_hat`` and live in ``glc.training.engine.loop``; everything else is here.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from glc.config import LATENT_STRIDE, QUALITY_MAX, CodecConfig
from glc.effort.differentiable_rate import symbol_bits
from glc.networks.codebook import GaussianBottleneck, ScalarCodebook, VectorCodebook
from glc.networks.model import GlcModel
from glc.networks.quantize import round_from
from glc.training.losses.predictor import CodePredictor
from glc.training.settings import TrainingSettings

_CODEBOOK_CHANNELS = 64
"""Components of l that the codebook sees with architecture 2; the rest is fine texture."""


@dataclass
class Outcome:
    """What a phase gives back for one batch."""

    loss: Tensor
    """Scalar: everything but the losses on x_hat."""
    x_hat: Tensor | None = None
    bpp: Tensor | None = None
    """(B,) estimated bits per pixel, z included."""
    parts: dict[str, Tensor] = field(default_factory=dict)


class Ensemble(nn.Module):
    """The codec and everything that only training needs: codebook, predictor, frozen phase 1."""

    def __init__(self, settings: TrainingSettings) -> None:
        super().__init__()
        config = settings.shape
        self.settings = settings
        self.phase = 1
        self._moved: bool | None = None
        self.model = GlcModel(config)
        self.codebook = _make_codebook(settings.regulariser, config)
        self.predictor: CodePredictor | None = None
        if not isinstance(self.codebook, GaussianBottleneck):
            self.predictor = CodePredictor(config.latent_channels, config.codebook_size)
        # Beside the path: l is not limited to what a code says (docs/decisions.md, section 18).
        self.beside = config.linear and not isinstance(self.codebook, GaussianBottleneck)
        self.register_buffer("_usage", torch.zeros(config.codebook_size), persistent=False)
        self._usage: Tensor
        self.reference = copy.deepcopy(self.model.encoder).requires_grad_(False)

    def train(self, mode: bool = True) -> Ensemble:
        """Set the mode; after phase 1 the statistics that centre l stay as they are."""
        super().train(mode)
        self.reference.eval()
        if self.phase > 1 and not self.model.config.linear:
            self.model.encoder.centre.eval()
        return self

    def begin(self, phase: int, keep_reference: bool = False) -> None:
        """Freeze what a phase does not train; before phase 2 remember the encoder of phase 1.

        Args:
            phase: 1, 2 or 3.
            keep_reference: the encoder of phase 1 is remembered already: phase 2 comes once more,
                after a phase 3 that has moved the encoder.
        """
        self.phase, self._moved = phase, None
        self.requires_grad_(True).train()
        if phase == 1:
            trained = ("encoder", "decoder", "realistic_decoder")
            self._freeze(*(m for n, m in self.model.named_children() if n not in trained))
            self._freeze(self.predictor, self.reference)
        elif phase == 2:
            if not keep_reference:
                self.reference.load_state_dict(self.model.encoder.state_dict())
            self._freeze(self.model.encoder, self.model.decoder, self.model.realistic_decoder)
            self._freeze(self.codebook, self.reference)
        else:
            self._freeze(self.codebook, self.reference)
            if self.settings.parts:
                kept = (m for n, m in self.model.named_children() if n not in self.settings.parts)
                self._freeze(self.predictor, *kept)

    @staticmethod
    def _freeze(*modules: nn.Module | None) -> None:
        for module in modules:
            if module is not None:
                module.requires_grad_(False)

    def forward(
        self,
        phase: int,
        x: Tensor,
        quality: Tensor,
        rate_weight: Tensor,
        realism: Tensor | None = None,
        realistic: int | None = None,
    ) -> Outcome:
        """Run one phase on a batch.

        Args:
            phase: 1, 2 or 3.
            x: (B, 3, H, W) in [-1, 1], sides multiples of 64.
            quality: (B,) int64 in [0, 100]; phase 1 ignores it.
            rate_weight: (B,) weight of bits per pixel.
            realism: (B,) in [0, 1], what D is told; None is 1.
            realistic: of two decoders, how many of the first samples are of realism 1, all others
                being of 0; None where ``realism`` says more than that.
        """
        if phase == 1:
            return self._autoencode(x, quality, realism, realistic)
        if phase == 2:
            with torch.no_grad():
                l = self.model.encoder(x)
                target, codes = self._targets(self.reference(x) if self._has_moved() else l)
            l_hat, bpp = self._code(l, quality)
            loss, parts = self._latent_loss(l_hat, target, codes)
            s = self.settings
            loss = s.latent_weight * parts["latent_mse"] + s.code_weight * loss
            loss = loss + (rate_weight * bpp).mean()
            return Outcome(loss, None, bpp, parts)
        s = self.settings
        l_hat, bpp = self._code(self.model.encoder(x), quality)
        spent = bpp.clamp_min(1e-4).log() if s.logarithms else bpp
        loss, parts = (rate_weight * spent).mean(), {}
        if s.latent_weight_3 > 0 or s.code_weight_3 > 0:
            with torch.no_grad():
                target, codes = self._targets(self.reference(x))
            entropy, parts = self._latent_loss(l_hat, target, codes)
            loss = loss + s.latent_weight_3 * parts["latent_mse"] + s.code_weight_3 * entropy
        return Outcome(loss, self.model.show(l_hat, realism, realistic), bpp, parts)

    def _autoencode(
        self, x: Tensor, quality: Tensor, realism: Tensor | None, realistic: int | None
    ) -> Outcome:
        l = self.model.encoder(x)
        if self.beside:
            # What coding does to l at its finest; coarser steps would drown most components.
            finest = torch.full_like(quality, QUALITY_MAX)
            noise = (torch.rand_like(l) - 0.5) * self.model.synthesis.gain(finest)
            seen, (_, indices, loss) = l + noise, self.codebook(self._projected(l.detach()))
        else:
            seen, indices, loss = self.codebook(l)
        parts = {"codebook": loss.detach()}
        if indices is not None and self.training:
            # Not bincount, which waits for the device.
            flat = indices.flatten()
            self._usage.index_add_(0, flat, torch.ones_like(flat, dtype=self._usage.dtype))
        x_hat = self.model.show(seen, realism, realistic)
        return Outcome(self.settings.codebook_weight * loss, x_hat, None, parts)

    def _has_moved(self) -> bool:
        """Say whether the encoder is no longer that of phase 1; looks once per phase."""
        if self._moved is None:
            now, then = self.model.encoder.parameters(), self.reference.parameters()
            self._moved = not all(torch.equal(a, b) for a, b in zip(now, then, strict=True))
        return self._moved

    def take_usage(self) -> tuple[float, float] | None:
        """Share of codes used and their perplexity since the last call; None without codes."""
        total = float(self._usage.sum())
        if total == 0:
            return None
        share = self._usage / total
        entropy = -(share * share.clamp_min(1e-12).log()).sum()
        used = float((self._usage > 0).float().mean())
        self._usage.zero_()
        return used, float(entropy.exp())

    def _targets(self, l: Tensor) -> tuple[Tensor, Tensor | None]:
        """What l_hat should be, and the code of every position."""
        with torch.no_grad():
            if isinstance(self.codebook, GaussianBottleneck):
                return self.codebook.clean(l), None
            return l, self.codebook.nearest(self._projected(l) if self.beside else l)

    def _projected(self, l: Tensor) -> Tensor:
        """Return what the codebook sees of l: its first components, of unit mean square."""
        scaled = l[:, : _codebook_channels(self.model.config)]
        scaled = scaled / self.model.encoder.scale[: scaled.shape[1], None, None].sqrt()
        return scaled * scaled.square().mean(dim=1, keepdim=True).add(1e-6).rsqrt()

    def _latent_loss(
        self, l_hat: Tensor, target: Tensor, codes: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        parts = {"latent_mse": functional.mse_loss(l_hat, target)}
        if self.predictor is None or codes is None:
            return l_hat.new_zeros(()), parts
        if self.beside:
            l_hat = l_hat / self.model.decoder.scale[:, None, None]
        entropy = functional.cross_entropy(self.predictor(l_hat).float(), codes)
        parts["code_entropy"] = entropy.detach()
        return entropy, parts

    def _code(self, l: Tensor, quality: Tensor) -> tuple[Tensor, Tensor]:
        """Transform-code l with soft gradients: l_hat (B, C_l, h, w) and bpp (B,)."""
        model = self.model
        y = model.analysis(l, quality)
        digits = model.hyper_codebook(model.hyper_analysis(y, quality))
        rounding = model.config.rounding
        coded_residual, coded_rows = torch.zeros_like(y), torch.zeros_like(y)

        def exchange(
            step: int, mean: Tensor, quant_step: Tensor, rows: Tensor, mask: Tensor
        ) -> Tensor:
            nonlocal coded_residual, coded_rows
            residual = (y - mean) / quant_step
            coded_residual = coded_residual + residual * mask
            coded_rows = coded_rows + rows * mask
            return round_from(residual, rounding) * (mask & (rows.detach() > 0))

        y_hat = model.code_symbols(digits, quality, exchange, exact=False)
        with torch.autocast(y.device.type, enabled=False):
            bits = symbol_bits(coded_residual, coded_rows, rounding).flatten(1).sum(1)
        # An upper bound for z; the exported table of z indices spends less.
        positions = digits.shape[-2] * digits.shape[-1]
        bits = bits + positions * math.log2(model.config.hyper_size)
        pixels = l.shape[-2] * l.shape[-1] * LATENT_STRIDE**2
        return model.synthesis(y_hat, quality), bits / pixels


def _make_codebook(
    regulariser: str, config: CodecConfig
) -> VectorCodebook | ScalarCodebook | GaussianBottleneck:
    channels = _codebook_channels(config)
    if regulariser == "vq":
        return VectorCodebook(channels, config.codebook_size)
    if regulariser == "fsq":
        return ScalarCodebook(channels, config.codebook_size)
    return GaussianBottleneck(config.latent_channels)


def _codebook_channels(config: CodecConfig) -> int:
    """Return how many channels of l, or components of it, the codebook sees."""
    return (
        min(_CODEBOOK_CHANNELS, config.latent_channels)
        if config.linear
        else (config.latent_channels)
    )
