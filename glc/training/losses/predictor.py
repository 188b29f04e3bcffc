"""The code predictor: which phase-1 code belongs at each position of l_hat. Training only."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class CodePredictor(nn.Module):
    """Transformer over the positions of one crop (GLC, arXiv 2512.20194, section 3.3).

    The cross-entropy of its prediction keeps the meaning of l_hat right where a squared error is
    blind. Learned positions are interpolated to the crop. (B, C_l, h, w) -> (B, codes, h, w)
    logits.
    """

    def __init__(self, channels: int, codes: int, width: int = 192, depth: int = 2) -> None:
        super().__init__()
        self.enter = nn.Linear(channels, width)
        self.positions = nn.Parameter(torch.randn(1, width, 8, 8) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, width // 32, 2 * width, dropout=0.0, activation="gelu", batch_first=True,
            norm_first=True,
        )  # fmt: skip
        self.layers = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, codes)

    def forward(self, l_hat: Tensor) -> Tensor:
        height, width = l_hat.shape[-2:]
        x = self.enter(l_hat.flatten(2).transpose(1, 2))
        positions = functional.interpolate(
            self.positions, size=(height, width), mode="bilinear", align_corners=False
        )
        x = self.layers(x + positions.flatten(2).transpose(1, 2))
        logits: Tensor = self.head(self.norm(x))
        return logits.transpose(1, 2).unflatten(2, (height, width))  # type: ignore[no-any-return]
