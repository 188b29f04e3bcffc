"""The four-step context model: which positions each step codes, and their mean and step size.

A quadtree-like partition over space and channels (DCVC-DC, arXiv 2302.14402, section 3.3; used by
GLC): in every step each quarter of the channels codes another corner of the 2x2 cells.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from glc.config import CodecConfig
from glc.networks.blocks import DepthwiseBlock
from glc.networks.linear import start_at_zero
from glc.partition import STEP_CORNERS, STEPS

__all__ = ["STEPS", "STEP_CORNERS", "ContextModel", "step_mask"]


def step_mask(
    step: int, channels: int, height: int, width: int, device: torch.device | None = None
) -> Tensor:
    """Return the elements that ``step`` codes: (1, C, h, w) bool, made on ``device``."""
    mask = torch.zeros(1, channels, height, width, dtype=torch.bool, device=device)
    quarter = channels // 4
    for index, corner in enumerate(STEP_CORNERS[step]):
        own = slice(index * quarter, (index + 1) * quarter)
        mask[:, own, corner // 2 :: 2, corner % 2 :: 2].fill_(True)
    return mask


class ContextModel(nn.Module):
    """Mean and quantisation step of every element, from h_s features and what is decoded so far.

    ``forward(step, y_hat, features)``: y_hat (B, C_y, h, w) with zeros where nothing is decoded,
    features of h_s -> mean and quant_step, each (B, C_y, h, w) float32, quant_step in
    [0.5, 2]. A learned step per element is worth 8 % of the rate (PICO) and never changes a
    table. An adaptor and a head per step, one shared body, as in GLC. About 4.9 kMAC per pixel in
    ``tiny``, 7.3 in ``base``, all four steps together.

    With architecture 2 a linear prediction from what is decoded around, and from the low-pass
    picture of z, gives the mean, and the network adds to it.
    """

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        width, y_channels = config.context_width, config.y_channels
        entering = config.features_channels + y_channels
        self.first = nn.Conv2d(config.features_channels, width, 1)
        self.adaptors = nn.ModuleList(
            nn.Conv2d(entering, width, 3, padding=1) for _ in range(STEPS - 1)
        )
        self.body = nn.Sequential(*(DepthwiseBlock(width) for _ in range(config.context_depth)))
        self.heads = nn.ModuleList(nn.Conv2d(width, 2 * y_channels, 1) for _ in range(STEPS))
        self.digits = len(config.hyper_levels)
        self.linear: nn.ModuleList | None = None
        if config.linear:
            self.linear = nn.ModuleList(
                nn.Conv2d(self.digits + (y_channels if step else 0), y_channels, 3, padding=1)
                for step in range(STEPS)
            )
            for head in self.heads:
                start_at_zero(head)  # type: ignore[arg-type]

    def forward(self, step: int, y_hat: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        if step == 0:
            x = self.first(features)
        else:
            x = self.adaptors[step - 1](torch.cat([features, y_hat.to(features.dtype)], dim=1))
        x = self.heads[step](self.body(functional.silu(x))).float()
        mean, raw_step = x.chunk(2, dim=1)
        if self.linear is not None:
            seen = features[:, -self.digits :].float()
            if step:
                seen = torch.cat([seen, y_hat], dim=1)
            mean = mean + self.linear[step](seen).float()
        return mean, torch.exp2(torch.tanh(raw_step))
