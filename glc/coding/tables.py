"""The probability tables of a weights file."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from glc.entropy import IndexTables, ScaleTables
from glc.errors import WeightsError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from glc.weights.checkpoint import Checkpoint

__all__ = ["Tables", "build_tables"]


class Tables(NamedTuple):
    """The probability tables of a model."""

    scales: ScaleTables
    """Of symbols."""
    indices: IndexTables
    """Of z."""


def build_tables(weights: Checkpoint) -> Tables:
    """Rebuild the probability tables.

    Raises:
        WeightsError: they are missing, unexpected, or of another shape.
    """
    name = "tables.index.frequencies"
    shape = weights.config.quality_anchors, weights.config.hyper_size
    found = weights.tensors.get(name)
    if found is None or found.shape != shape:
        raise WeightsError(f"weights: {name}: expected shape {shape}")
    scales, indices = (_below(weights, f"tables.{kind}.") for kind in ("scale", "index"))
    return Tables(ScaleTables.from_arrays(scales), IndexTables.from_arrays(indices))


def _below(weights: Checkpoint, prefix: str) -> dict[str, NDArray[np.generic]]:
    """Return the tensors under a prefix without it."""
    return {n[len(prefix) :]: a for n, a in weights.tensors.items() if n.startswith(prefix)}
