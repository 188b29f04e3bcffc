"""The presets stay inside the budgets of the design."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from glc.config import PRESETS
from glc.entropy import IndexTables, ScaleTables
from glc.networks.__main__ import main
from glc.networks.cost import cost_table, total_parameters
from glc.networks.model import GlcModel
from glc.runtime.torch import model_tensors
from glc.weights import checkpoint, registry
from tests.conftest import TWO_DECODERS

DECODE_KMAC, ENCODE_KMAC, FILE_BYTES = 60.0, 50.0, 24_000_000


@pytest.fixture(scope="module")
def base():
    return {part: (parameters, kmac) for part, parameters, kmac in cost_table(PRESETS["base"])}


def test_base_is_inside_its_budget_and_uses_it(base):
    assert 0.85 * DECODE_KMAC < base["decode"][1] <= DECODE_KMAC
    assert base["encode"][1] <= ENCODE_KMAC


def test_the_weights_file_of_base_is_inside_its_budget(tmp_path):
    config = PRESETS["base"]
    counts = np.zeros((config.quality_anchors, config.hyper_size), np.int64)
    tensors = model_tensors(GlcModel(config), ScaleTables.build(), IndexTables.build(counts))
    path = tmp_path / "base.safetensors"
    checkpoint.save(path, config, "base", "", tensors)
    assert path.stat().st_size <= FILE_BYTES


@pytest.mark.parametrize("model", registry.installed(), ids=lambda model: model.name)
def test_what_is_installed_is_inside(model):
    config = checkpoint.load(model.path).config
    costs = {part: kmac for part, _, kmac in cost_table(config)}
    assert costs["decode"] <= DECODE_KMAC
    assert costs["encode"] <= ENCODE_KMAC
    assert model.size_bytes <= FILE_BYTES


def test_the_sums_are_sums_of_their_parts(base):
    shared = ("h_s", "scale map", "context")
    for total, parts in (("encode", ("E", "g_a", "h_a")), ("decode", ("g_s", "D"))):
        for column in (0, 1):
            expected = sum(base[part][column] for part in (*parts, *shared))
            assert base[total][column] == pytest.approx(expected)
    both = base["encode"][0] + base["decode"][0] - sum(base[part][0] for part in shared)
    assert both == total_parameters(PRESETS["base"])


@pytest.mark.parametrize("dearer", ["D", "D realistic"])
def test_of_two_decoders_the_dearer_is_counted(dearer):
    width = 48 if dearer == "D realistic" else 2
    config = dataclasses.replace(TWO_DECODERS, realistic_width_4=width, realistic_width_8=width)
    costs = {part: (parameters, kmac) for part, parameters, kmac in cost_table(config)}
    assert max(("D", "D realistic"), key=lambda part: costs[part][1]) == dearer
    for column in (0, 1):
        parts = ("h_s", "scale map", "context", "g_s", dearer)
        assert costs["decode"][column] == pytest.approx(sum(costs[p][column] for p in parts))
    second = GlcModel(config).realistic_decoder
    assert costs["D realistic"][0] == sum(p.numel() for p in second.parameters())


def test_the_second_decoder_costs_what_the_first_of_architecture_1_does_and_the_means():
    config, per_pixel = TWO_DECODERS, 1 / 256
    found, plain = ({r[0]: r[2] for r in cost_table(c)} for c in (config, config.realistic_shape))
    means = 9 * config.latent_channels * 3 + 9 * 3 * 768
    assert found["D realistic"] * 1000 == pytest.approx(plain["D"] * 1000 + means * per_pixel)


def test_a_layer_is_counted_as_by_hand(micro_config):
    costs = {part: kmac for part, _, kmac in cost_table(micro_config)}
    width, per_pixel = micro_config.transform_width, 1 / 256
    stem = 9 * micro_config.y_channels * width
    block = 3 * width * width + 9 * width
    head = width * micro_config.latent_channels
    assert costs["g_s"] * 1000 == pytest.approx((stem + block + head) * per_pixel)


def test_the_table_is_printed(capsys):
    assert main(["tiny"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("tiny: ")
    assert "decode" in printed
    assert main(["huge"]) == 2
    assert "huge" in capsys.readouterr().err
