"""A model as files for other programs: ONNX graphs, integers, and a JSON that says what they are.

For runtimes in other languages; docs/web.md describes the files. Knows nothing of where they go.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glc.config import CodecConfig
from glc.partition import STEP_CORNERS
from glc.runtime.graphs.model import OnnxModel
from glc.runtime.graphs.proto import Graph

__all__ = ["DESCRIPTION", "LAYOUT", "model_files"]

DESCRIPTION = "model.json"
LAYOUT = 1
"""Version of names and fields in the description."""

_ARRAYS = "arrays.bin"
_TABLES = "tables."
_SCALE_MAP = "scale_map."
_LOG_GAIN = ".log_gain"
_NAMES = {
    "E": "encoder_fine",
    "E 16": "encoder_coarse",
    "g_a": "analysis",
    "h_a": "hyper_analysis",
    "h_s": "hyper_synthesis",
    "g_s": "synthesis",
    "D 16": "decoder_coarse",
    "D": "decoder_fine",
    "R 16": "realistic_coarse",
    "R": "realistic_fine",
    **{f"context {step}": f"context_{step}" for step in range(len(STEP_CORNERS))},
}
"""Of the files, by how ``OnnxModel`` calls the graphs."""


def model_files(
    config: CodecConfig, tensors: Mapping[str, NDArray[np.generic]], name: str, identity: bytes
) -> dict[str, bytes]:
    """Return the content of every file by its name; the description comes last.

    Args:
        config: of the model.
        tensors: everything of its weights file.
        name: of the model.
        identity: 32 bytes, SHA-256 of the weights file.

    Raises:
        WeightsError: a tensor is missing, unknown, of another shape or type, or not finite.
    """
    networks = {n: array for n, array in tensors.items() if not n.startswith(_TABLES)}
    graphs = OnnxModel(config, networks).graphs
    files: dict[str, bytes] = {}
    described: dict[str, Any] = {}
    for key, graph in graphs.items():
        own = _NAMES[key]
        files[f"{own}.onnx"] = graph.to_bytes()
        described[own] = {"file": f"{own}.onnx", **_ends_of(graph)}
    arrays, data = _pack(tensors)
    files[_ARRAYS] = data
    description = {
        "layout": LAYOUT,
        "name": name,
        "identity": identity.hex(),
        "config": config.to_dict(),
        "rounding": config.rounding,
        "step_corners": STEP_CORNERS,
        "graphs": described,
        "arrays": {"file": _ARRAYS, "entries": arrays},
    }
    files[DESCRIPTION] = (json.dumps(description, indent=1) + "\n").encode()
    return files


def _ends_of(graph: Graph) -> dict[str, Any]:
    ends = {"inputs": graph.inputs, "outputs": graph.outputs}
    return {
        side: [{"name": name, "shape": list(shape), "type": kind} for name, shape, kind in values]
        for side, values in ends.items()
    }


def _pack(tensors: Mapping[str, NDArray[np.generic]]) -> tuple[dict[str, Any], bytes]:
    """Return what is not in the graphs, little-endian, one after the other, and where it lies."""
    entries: dict[str, Any] = {}
    parts: list[bytes] = []
    offset = 0
    for name, array in sorted(tensors.items()):
        if name.startswith((_TABLES, _SCALE_MAP)):
            kept, kind = array.astype("<i4"), "int32"
        elif name.endswith(_LOG_GAIN):
            kept, kind = array.astype("<f4"), "float32"
        else:
            continue
        entries[name] = {"type": kind, "shape": list(array.shape), "offset": offset}
        parts.append(kept.tobytes())
        offset += len(parts[-1])
    return entries, b"".join(parts)
