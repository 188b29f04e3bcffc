"""From a trained model to a weights file: half floats, integer scale map, integer tables.

The tables are counted on training crops with the weights as they will be shipped, and the ranges
for 8-bit decoding measured on them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from glc import image
from glc.codec import Codec
from glc.config import QUALITY_MAX
from glc.entropy import ROWS, IndexTables, ScaleTables
from glc.networks.codebook import GaussianBottleneck
from glc.networks.model import GlcModel
from glc.runtime.torch import bottleneck_tensors, model_tensors
from glc.training.data.crops import Pictures
from glc.training.export import calibration
from glc.weights import checkpoint
from glc.weights.checkpoint import Checkpoint

_LARGEST_COUNTED = 260
"""Symbols beyond it are escapes in every row; they are counted at the edge."""


def export(
    model: GlcModel,
    pictures: Pictures,
    path: Path,
    name: str,
    summary: str,
    batches: int = 4,
    side: int = 512,
    bottleneck: GaussianBottleneck | None = None,
) -> bytes:
    """Write the weights file of a trained model.

    Args:
        model: averaged weights.
        pictures: those on which the tables are counted.
        path: where to write.
        name: what ``--model`` will call it.
        summary: one line for ``glc models``.
        batches: batches of four crops per quality; qualities 0, 5, .. 100.
        side: of the crops; smaller if the pictures are.
        bottleneck: that of phase 1, if it was Gaussian: goes into the file for ``Codec.sample``.

    Returns:
        The identity of the weights, 32 bytes.
    """
    config = model.config
    scales = ScaleTables.build()
    indices = IndexTables.build(np.zeros((config.quality_anchors, config.hyper_size), np.int64))
    tensors = model_tensors(model, scales, indices)
    # Torch, since the ranges are measured inside of its modules.
    device = str(_device(model))
    weights = Checkpoint(config, name, summary, bytes(32), tensors)
    codec = Codec(weights, runtime="torch", device=device)
    smallest = pictures.smallest_side // 64 * 64
    counted = _count(codec, pictures, batches, min(side, smallest), config.quality_anchors)
    scales = ScaleTables.build(counted[0])
    indices = IndexTables.build(counted[1])
    tensors = model_tensors(model, scales, indices)
    extra = None if bottleneck is None else bottleneck_tensors(bottleneck)
    weights = Checkpoint(config, name, summary, bytes(32), tensors)
    codec = Codec(weights, runtime="torch", device=device)
    generator = torch.Generator().manual_seed(12)
    crops = (draw_arrays(pictures, 4, min(256, smallest), generator) for _ in range(batches))
    found = calibration.measure(codec, crops)
    return checkpoint.save(path, config, name, summary, tensors, extra, found)


def _count(
    codec: Codec, pictures: Pictures, batches: int, side: int, anchors: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count symbols per row and z indices per anchor over all qualities."""
    by_row = np.zeros((ROWS, 2 * _LARGEST_COUNTED + 1), np.int64)
    by_anchor = np.zeros((anchors, codec.hyper_size), np.int64)
    generator = torch.Generator().manual_seed(11)
    for quality in range(0, QUALITY_MAX + 1, 5):
        for _ in range(batches):
            drawn = draw_arrays(pictures, 4, side, generator)
            batch = [image.from_array(array) for array in drawn]
            indices, messages, _ = codec.quantise(batch, codec.analyse(batch), quality)
            by_anchor[codec.bank(quality)] += np.bincount(
                indices.ravel(), minlength=codec.hyper_size
            )
            for rows, symbols in (step for message in messages for step in message):
                clipped = np.clip(symbols, -_LARGEST_COUNTED, _LARGEST_COUNTED)
                np.add.at(by_row, (rows, clipped + _LARGEST_COUNTED), 1)
    return by_row, by_anchor


def draw_arrays(
    pictures: Pictures, count: int, side: int, generator: torch.Generator
) -> list[NDArray[np.uint8]]:
    """Draw crops as the codec takes them: (side, side, 3) uint8 each."""
    crops = pictures.crops(count, side, 1.0, generator)
    arrays = ((crops + 1.0) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return [np.ascontiguousarray(array) for array in arrays]


def _device(model: GlcModel) -> torch.device:
    return next(model.parameters()).device
