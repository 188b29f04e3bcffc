"""Weights files with random numbers, for measuring presets that nobody has trained.

Arithmetic takes as long as with trained weights. How many symbols are coded does not follow from
the networks, so the scale map is set to code about as few as a trained model does.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from glc.config import PRESETS
from glc.entropy import IndexTables, ScaleTables
from glc.networks.model import GlcModel
from glc.runtime.torch import model_tensors
from glc.weights import checkpoint, manifest

_SEED = 20


def write(folder: Path, preset: str) -> Path:
    """Write ``<preset>-random.safetensors`` into a folder, as its default model.

    Returns:
        The path of the weights file; the folder serves as GLC_MODELS.
    """
    config = PRESETS[preset]
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(_SEED)
        model = GlcModel(config).eval()
        # A channel's bias is its row of the scale table: most lie below 1, where nothing is coded.
        model.scale_map.bias.copy_(8.0 * torch.randn(1, config.y_channels) - 16.0)
        if model.encoder.linear is not None:
            # The networks beside it say nothing yet, and it alone has to make symbols.
            model.encoder.linear.conv.weight.mul_(10.0)
            model.scale_map.bias.add_(2.0)
    counts = np.zeros((config.quality_anchors, config.hyper_size), np.int64)
    tensors = model_tensors(model, ScaleTables.build(), IndexTables.build(counts))
    name = f"{preset}-random"
    path = folder / f"{name}.safetensors"
    checkpoint.save(path, config, name, "random weights, for measuring", tensors)
    manifest.write_manifest(folder, name)
    return path
