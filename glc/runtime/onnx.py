"""ONNX Runtime as a codec's networks: ``glc.runtime.graphs.model.OnnxModel`` of a weights file."""

from __future__ import annotations

from glc.errors import WeightsError
from glc.runtime.graphs.model import OnnxModel
from glc.weights.checkpoint import Checkpoint

__all__ = ["open_model"]


def open_model(weights: Checkpoint, in_int8: bool = False) -> OnnxModel:
    """Describe the networks of a model; each is built when it is first needed.

    Args:
        weights: those of the model.
        in_int8: D computes with 8-bit integers.

    Raises:
        WeightsError: malformed weights, or weights that know no ranges for int8.
    """
    if in_int8 and weights.ranges is None:
        raise WeightsError(
            f"model {weights.name} cannot be run in int8: its weights file has no ranges"
        )
    tensors = {n: array for n, array in weights.tensors.items() if not n.startswith("tables.")}
    return OnnxModel(weights.config, tensors, weights.ranges if in_int8 else None)
