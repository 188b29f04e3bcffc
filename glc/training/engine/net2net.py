"""Start a larger model from a smaller one without losing what it knows.

Net2Net (arXiv 1511.05641) for the networks here: the small model fills the leading channels, its
outputs see nothing of the channels that are new, and blocks that are new begin as the identity.
So the larger model begins as the same function, and every new weight has a gradient.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from glc.config import CodecConfig
from glc.networks.blocks import DepthwiseBlock, Downsample, PlainBlock, Upsample
from glc.networks.linear import RealismGain
from glc.training.engine.nonfinite_guard import TrainingError

_WIDTHS = ("encoder_", "decoder_", "realistic_", "transform_", "context_")
"""Fields that may grow begin so; all others shape the latents, which must stay what they are."""

_WITH_SECOND_DECODER = (2, 3)
"""The one way in which an architecture can grow: what is there stays, and a decoder is added."""


def grow(weights: dict[str, Tensor], small: nn.Module, large: nn.Module) -> None:
    """Set ``large`` to the function that ``small`` computes.

    Args:
        weights: state of the small module.
        small: the module that the weights belong to; only its structure is read.
        large: a module of the same classes, at least as wide and deep everywhere, freshly made.

    Raises:
        TrainingError: something of the small module has no place in the large one.
    """
    parts, large_parts = dict(small.named_modules()), dict(large.named_modules())
    state = large.state_dict()
    with torch.no_grad():
        for name, part in large_parts.items():
            if name not in parts and isinstance(part, (DepthwiseBlock, PlainBlock)):
                state[f"{name}.project.weight"].zero_()
                state[f"{name}.project.bias"].zero_()
        for name, value in weights.items():
            if name not in state:
                raise TrainingError(f"{name} of the smaller model has no place in the larger one")
            owner, _, field = name.rpartition(".")
            parent = large_parts.get(owner.rpartition(".")[0])
            halves = isinstance(parent, DepthwiseBlock) and owner.endswith(".expand")
            _fill(name, state[name], value, halves)
            if isinstance(large_parts.get(owner), RealismGain):
                # At 0, and nothing behind them either, new channels would never learn.
                state[name][:, value.shape[1] :] = 1.0
            if field == "weight" and isinstance(parent, (Downsample, Upsample)):
                before = parts[owner.rpartition(".")[0]]
                _match_shortcuts(state[name], value, before, parent)


def check_growth(small: CodecConfig, large: CodecConfig) -> None:
    """Raise TrainingError unless a model of shape ``small`` can grow into one of ``large``."""
    for field in dataclasses.fields(small):
        before, after = getattr(small, field.name), getattr(large, field.name)
        free = field.name.startswith(_WIDTHS)
        if field.name == "architecture" and (before, after) == _WITH_SECOND_DECODER:
            continue
        if before != after and not (free and before < after):
            wanted = f"at least {before}" if free else str(before)
            raise TrainingError(f"cannot grow: {field.name} must be {wanted}, not {after}")


def _fill(name: str, target: Tensor, value: Tensor, halves: bool) -> None:
    """Put a small tensor into the leading part of a large one, zeros beside it.

    Args:
        name: for the error message.
        target: written in place; the rows of new outputs stay as they are.
        value: as many axes, none longer.
        halves: rows are two halves of equal meaning, value and gate.
    """
    if target.dim() != value.dim() or any(
        a < b for a, b in zip(target.shape, value.shape, strict=True)
    ):
        raise TrainingError(
            f"cannot grow: {name} is {tuple(value.shape)}, the larger one {tuple(target.shape)}"
        )
    if target.dim() == 0:
        target.copy_(value)
        return
    if halves:
        middle, small_middle = target.shape[0] // 2, value.shape[0] // 2
        _fill(name, target[:middle], value[:small_middle], False)
        _fill(name, target[middle:], value[small_middle:], False)
        return
    rows = target[: value.shape[0]]
    rows.zero_()
    rows[tuple(slice(0, size) for size in value.shape)] = value


def _match_shortcuts(target: Tensor, value: Tensor, small: nn.Module, large: nn.Module) -> None:
    """Make 1x1 plus shortcut of the large layer equal those of the small one on its channels."""
    rows, columns = value.shape[:2]
    difference = -_shortcut(large, target.shape)[:rows]
    difference[:, :columns] += _shortcut(small, value.shape)
    target[:rows] += difference[:, :, None, None].to(target)


def _shortcut(layer: nn.Module, shape: torch.Size) -> Tensor:
    """The shortcut of a resampling layer as a matrix of the shape of its 1x1: (rows, columns)."""
    rows, columns = shape[:2]
    matrix = torch.zeros(rows, columns)
    if isinstance(layer, Upsample) and layer.group:
        for row in range(rows):
            first = row // 4 * layer.group
            matrix[row, first : first + layer.group] = 1.0 / layer.group
    if isinstance(layer, Downsample) and columns % rows == 0:
        group = columns // rows
        for row in range(rows):
            matrix[row, row * group : (row + 1) * group] = 1.0 / group
    return matrix
