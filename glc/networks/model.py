"""The whole codec as float tensors: composition, and the coding loop of training.

Files are coded by ``glc.coding_loop``, over arrays and in either runtime. What is done with the
symbols of a step is the ``exchange`` callback that is handed in.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from glc.config import CodecConfig
from glc.networks.autoencoder import ImageDecoder, ImageEncoder, RealisticDecoder
from glc.networks.context import STEPS, ContextModel, step_mask
from glc.networks.hyperprior import HyperAnalysis, HyperCodebook, HyperSynthesis
from glc.networks.scale_map import ScaleMap
from glc.networks.transforms import AnalysisTransform, SynthesisTransform

Exchange = Callable[[int, Tensor, Tensor, Tensor, Tensor], Tensor]
"""``exchange(step, mean, quant_step, rows, mask) -> symbols``: all (B, C_y, h, w) but the mask,
which is (1, C_y, h, w) bool; symbols are integers as float32, 0 outside the mask and at row 0."""


class GlcModel(nn.Module):
    """All networks that a coded file needs: E, g_a, h_a, h_s, scale map, context, g_s, D.

    With architecture 3 there are two D: ``decoder``, told realism 0, shows the most faithful
    picture and ``realistic_decoder`` the most realistic one; what lies between is their mixture.

    ::

        image --E--> l --g_a--> y --h_a--> z digits --.
                                                      +--> code_symbols --> y_hat
                                symbols <-- exchange -'
        y_hat --g_s--> l_hat --D--> image
    """

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = ImageEncoder(config)
        self.decoder = ImageDecoder(config)
        self.analysis = AnalysisTransform(config)
        self.synthesis = SynthesisTransform(config)
        self.hyper_analysis = HyperAnalysis(config)
        self.hyper_codebook = HyperCodebook(config.hyper_levels)
        self.hyper_synthesis = HyperSynthesis(config)
        self.scale_map = ScaleMap(config, STEPS)
        self.context = ContextModel(config)
        self.realistic_decoder: RealisticDecoder | None = None
        if config.two_decoders:
            self.realistic_decoder = RealisticDecoder(config)

    def show(
        self, l_hat: Tensor, realism: Tensor | None = None, realistic: int | None = None
    ) -> Tensor:
        """Run D, whichever the architecture: (B, C_l, h, w) -> (B, 3, 16h, 16w), not clamped.

        Args:
            l_hat: any range.
            realism: (B,) in [0, 1]; None is 1. With architecture 3 both decoders run, unless it is
                None: to look whether all samples are at one end would wait for a GPU.
            realistic: with architecture 3, that the first so many samples are of realism 1 and all
                others of realism 0: each decoder runs on its own samples alone.
        """
        if self.realistic_decoder is None:
            shown: Tensor = self.decoder(l_hat, realism)
            return shown
        if realistic is not None:
            ends = []
            if realistic > 0:
                ends.append(self.realistic_decoder(self.in_units(l_hat[:realistic])))
            if realistic < len(l_hat):
                ends.append(self._faithful(l_hat[realistic:]))
            return torch.cat(ends)
        second: Tensor = self.realistic_decoder(self.in_units(l_hat))
        if realism is None:
            return second
        share = realism[:, None, None, None]
        return (1.0 - share) * self._faithful(l_hat) + share * second

    def _faithful(self, l_hat: Tensor) -> Tensor:
        shown: Tensor = self.decoder(l_hat, l_hat.new_zeros(len(l_hat)))
        return shown

    def in_units(self, l_hat: Tensor) -> Tensor:
        """Return what the realistic decoder is given: l_hat in units of ``decoder``'s scale."""
        return l_hat / self.decoder.scale[:, None, None]

    def code_symbols(
        self, digits: Tensor, quality: Tensor, exchange: Exchange, exact: bool = True
    ) -> Tensor:
        """Run the coding steps on tensors, for training; files are coded by ``glc.coding_loop``.

        Args:
            digits: (B, D, h, w) digits of z, float32.
            quality: (B,) int64 in [0, 100].
            exchange: called once per step, see ``Exchange``.
            exact: select tables in float64 without gradients (files), or in float32 with
                straight-through gradients (training).

        Returns:
            y_hat: (B, C_y, 4h, 4w) float32.
        """
        features = self.hyper_synthesis(digits, quality)
        # Metal has no float64; the integers are the same wherever they are computed.
        place = torch.device("cpu") if exact and digits.device.type == "mps" else digits.device
        with torch.autocast(digits.device.type, enabled=False):
            base = self.scale_map.base(digits.to(place), quality, exact)
        _, channels, height, width = base.shape
        y_hat = torch.zeros(base.shape, dtype=torch.float32, device=features.device)
        decoded = torch.zeros_like(y_hat)
        for step in range(STEPS):
            mean, quant_step = self.context(step, y_hat, features)
            with torch.autocast(digits.device.type, enabled=False):
                rows = self.scale_map.rows(base, decoded, step, exact).to(y_hat)
            mask = step_mask(step, channels, height, width, y_hat.device)
            symbols = exchange(step, mean, quant_step, rows, mask)
            decoded = decoded + symbols.detach()
            y_hat = y_hat + mask * (symbols * quant_step + mean)
        return y_hat
