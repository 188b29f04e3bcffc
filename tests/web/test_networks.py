"""The graphs that JavaScript builds from a weights file are those of Python, byte for byte."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from glc.runtime.onnx import open_model
from glc.weights import checkpoint, registry
from tests.conftest import TWO_DECODERS

pytestmark = pytest.mark.system

GOLDEN = Path(__file__).parents[1] / "golden"
# Channels that divide each other in all ways that the shortcuts tell apart, and depths of 0.
CHANGES = {
    "no shortcuts": {"encoder_width_8": 24, "encoder_width_16": 20, "decoder_width_8": 12},
    "wide shortcuts": {"encoder_width_4": 8, "encoder_width_8": 4, "decoder_width_4": 32},
    "shallow": {"encoder_depth_4": 0, "decoder_depth_8": 0, "transform_depth": 0},
    "deep": {"encoder_depth_16": 2, "decoder_depth_16": 2, "context_depth": 2},
    "odd": {"hyper_levels": (3, 2, 5), "quality_anchors": 6, "hyper_channels": 12},
}


def digests_of(path: Path) -> dict[str, str]:
    graphs = open_model(checkpoint.load(path)).graphs
    return {name: hashlib.sha256(graph.to_bytes()).hexdigest() for name, graph in graphs.items()}


@pytest.mark.parametrize("change", CHANGES)
def test_graphs_of_any_shape(change, probe, make_model, micro_config, export_model, tmp_path):
    path = tmp_path / "model.safetensors"
    config = dataclasses.replace(micro_config, **CHANGES[change])
    export_model(path, make_model(7, config), "changed")
    assert probe("graphs", str(path)) == digests_of(path)


@pytest.mark.parametrize(
    "kind", ["micro", "linear", "ranged_linear", "two_decoders", "ranged_two_decoders"]
)
def test_graphs_of_all_architectures(kind, probe, request):
    path = request.getfixturevalue(f"{kind}_path")
    assert probe("graphs", str(path)) == digests_of(path)


@pytest.mark.parametrize("change", [{"depth": 0}, {"depth": 1, "width": 6}, {"width": 16}])
def test_graphs_of_a_second_decoder_of_any_shape(change, probe, make_model, export_model, tmp_path):
    path = tmp_path / "model.safetensors"
    sizes = {f"realistic_{k}_{place}": v for k, v in change.items() for place in (4, 8, 16)}
    export_model(path, make_model(7, dataclasses.replace(TWO_DECODERS, **sizes)), "changed")
    assert probe("graphs", str(path)) == digests_of(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": 4}, "architecture must be 1, 2 or 3"),
        ({"architecture": 2}, "realistic_width_4 must be 0 with architecture 2"),
        ({"realistic_width_8": 0}, "realistic_width_8 must be from 2 to 65536"),
        ({"realistic_depth_16": 65}, "realistic_depth_16 must be from 0 to 64"),
    ],
)
def test_contradictions_are_refused(change, message, probe, two_decoders_path, tmp_path):
    weights = checkpoint.load(two_decoders_path)
    path = tmp_path / "model.safetensors"
    # A configuration that Python would not write.
    config = mock.Mock(to_dict=lambda: weights.config.to_dict() | change)
    checkpoint.save(path, config, "bad", "", weights.tensors)
    found = probe("load", str(path))
    assert (found["error"], message in found["message"]) == ("WeightsError", True), found


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_graphs_of_golden_weights(version, probe):
    path = GOLDEN / version / "golden.safetensors"
    assert probe("graphs", str(path)) == digests_of(path)


@pytest.mark.slow
def test_graphs_of_installed_models(probe):
    for info in registry.installed():
        assert probe("graphs", str(info.path)) == digests_of(info.path)


def test_minus_zero_becomes_zero_as_in_numpy(probe, make_model, micro_config, tmp_path):
    """Where a shortcut is added into weights, numpy adds 0 to the others, too."""
    import torch

    from tests.conftest import export

    model = make_model(7)
    with torch.no_grad():
        model.encoder.down_8.mix.weight.zero_().neg_()
        model.decoder.up_8.mix.weight.zero_().neg_()
    path = tmp_path / "model.safetensors"
    export(path, model, "zeros")
    assert probe("graphs", str(path)) == digests_of(path)


def test_weights_of_another_shape_are_refused(probe, micro_path, tmp_path):
    weights = checkpoint.load(micro_path)
    path = tmp_path / "model.safetensors"
    bias, scales = (weights.tensors[name] for name in ("encoder.stem.bias", "scale_map.weight"))
    indices = weights.tensors["tables.index.frequencies"]
    for change, message in (
        ({"encoder.stem.bias": bias[1:]}, "expected shape"),
        ({"other": bias}, "unexpected tensors"),
        ({"encoder.stem.bias": bias + float("nan")}, "not finite"),
        ({"scale_map.weight": np.full_like(scales, 128, np.int32)}, "out of range"),
        ({"tables.index.frequencies": indices + 1}, "sum to"),
    ):
        tensors = weights.tensors | change
        checkpoint.save(path, weights.config, "bad", "", tensors)
        found = probe("load", str(path))
        assert found["error"] == "WeightsError", change.keys()
        assert message in found["message"]
    for data, message in (
        (b"", "not a safetensors file"),
        (micro_path.read_bytes()[:100], "not a safetensors file"),
        (micro_path.read_bytes()[:-8], "malformed weights"),
        ((2).to_bytes(8, "little") + b"{}", "not weights of glc"),
    ):
        path.write_bytes(data)
        found = probe("load", str(path))
        assert (found["error"], message in found["message"]) == ("WeightsError", True), found
    assert probe("load", str(micro_path)) == {"name": "micro"}
