"""What a model costs: parameters and multiplications of every part, counted by running it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from glc.config import IMAGE_STRIDE, LATENT_STRIDE, CodecConfig
from glc.networks.context import STEPS
from glc.networks.model import GlcModel

_SIDE = 512


def cost_table(config: CodecConfig) -> list[tuple[str, int, float]]:
    """Count every part on a picture of 512 x 512.

    Returns:
        (part, parameters, kMAC per pixel of the picture) in the order of the data flow, then the
        sums ``encode`` and ``decode``. Additions and activations are not counted. Of two decoders
        ``decode`` counts the one that costs more per pixel: at either end of realism one runs.
    """
    model = GlcModel(config).eval()
    area = _SIDE * _SIDE
    quality = torch.zeros(1, dtype=torch.long)
    side_16, side_64 = _SIDE // LATENT_STRIDE, _SIDE // IMAGE_STRIDE
    l = torch.zeros(1, config.latent_channels, side_16, side_16)
    y = torch.zeros(1, config.y_channels, side_16, side_16)
    digits = torch.ones(1, len(config.hyper_levels), side_64, side_64)
    features = torch.zeros(1, config.features_channels, side_16, side_16)

    def contexts() -> None:
        for step in range(STEPS):
            model.context(step, y, features)

    def scales() -> None:
        model.scale_map.base(digits, quality)
        for step in range(1, STEPS):
            model.scale_map.context(y, step)

    parts: list[tuple[str, nn.Module, Callable[[], Tensor | None]]] = [
        ("E", model.encoder, lambda: model.encoder(torch.zeros(1, 3, _SIDE, _SIDE))),
        ("g_a", model.analysis, lambda: model.analysis(l, quality)),
        ("h_a", model.hyper_analysis, lambda: model.hyper_analysis(y, quality)),
        ("h_s", model.hyper_synthesis, lambda: model.hyper_synthesis(digits, quality)),
        ("scale map", model.scale_map, scales),
        ("context", model.context, contexts),
        ("g_s", model.synthesis, lambda: model.synthesis(y, quality)),
        ("D", model.decoder, lambda: model.decoder(l)),
    ]
    second = model.realistic_decoder
    if second is not None:
        parts.append(("D realistic", second, lambda: second(l)))
    table = []
    for name, module, run in parts:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            run()
        macs = counter.get_total_flops() / 2.0
        parameters = sum(parameter.numel() for parameter in module.parameters())
        table.append((name, parameters, macs / area / 1000.0))
    cost = {name: (parameters, kmac) for name, parameters, kmac in table}
    shared = ("h_s", "scale map", "context")
    dearer = max((name for name in cost if name.startswith("D")), key=lambda name: cost[name][1])
    for direction, members in (
        ("encode", ("E", "g_a", "h_a", *shared)),
        ("decode", (*shared, "g_s", dearer)),
    ):
        table.append(
            (direction, sum(cost[m][0] for m in members), sum(cost[m][1] for m in members))
        )
    return table


def total_parameters(config: CodecConfig) -> int:
    """Return the number of parameters that a weights file holds."""
    return sum(parameter.numel() for parameter in GlcModel(config).parameters())
