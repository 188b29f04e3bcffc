"""The graphs give what the networks give, for configurations that take every branch."""

from __future__ import annotations

import dataclasses
import os
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from glc.entropy import IndexTables, ScaleTables
from glc.errors import WeightsError
from glc.partition import STEPS
from glc.runtime.graphs.model import OnnxModel
from glc.runtime.graphs.session import threads
from glc.runtime.torch import model_tensors
from tests.conftest import TWO_DECODERS

QUALITIES = (0, 37, 100)
# Channels that divide each other in all ways that the shortcuts tell apart, and depths of 0.
CHANGES = {
    "micro": {},
    "no shortcuts": {"encoder_width_8": 24, "encoder_width_16": 20, "decoder_width_8": 12},
    "wide shortcuts": {"encoder_width_4": 8, "encoder_width_8": 4, "decoder_width_4": 32},
    "shallow": {"encoder_depth_4": 0, "decoder_depth_8": 0, "transform_depth": 0},
    "deep": {"encoder_depth_16": 2, "decoder_depth_16": 2, "context_depth": 2},
    "odd": {"hyper_levels": (3, 2, 5), "quality_anchors": 6, "hyper_channels": 12},
    "linear": {
        "architecture": 2,
        "latent_channels": 16,
        "y_channels": 16,
        "hyper_levels": (8, 4, 4),
        "decoder_depth_16": 2,
        "decoder_depth_4": 2,
    },
    "two decoders": {
        "architecture": 3,
        "latent_channels": 16,
        "y_channels": 16,
        "hyper_levels": (8, 4, 4),
        "realistic_width_4": 8,
        "realistic_width_8": 12,
        "realistic_width_16": 24,
        "realistic_depth_4": 0,
        "realistic_depth_8": 2,
        "realistic_depth_16": 2,
    },
    "narrow": {"context_width": 8, "transform_width": 12, "refine_channels": 3, "y_channels": 8},
}


@pytest.fixture(scope="module")
def pair(make_model, micro_config):
    @cache
    def build(name: str) -> tuple:
        config = dataclasses.replace(micro_config, **CHANGES[name])
        network = make_model(7, config).requires_grad_(False)
        tensors = tensors_of(network)
        # Half floats on both sides.
        state = {key: torch.from_numpy(value).float() for key, value in tensors.items()}
        integers = {k: v for k, v in state.items() if k.startswith("scale_map.")}
        floats = {k: v for k, v in state.items() if k not in integers}
        network.load_state_dict(floats, strict=False)
        network.scale_map.load_integers(
            {key.removeprefix("scale_map."): value for key, value in integers.items()}
        )
        return network, OnnxModel(config, tensors)

    return build


def tensors_of(network) -> dict[str, np.ndarray]:
    config = network.config
    counts = np.zeros((config.quality_anchors, config.hyper_size), np.int64)
    tensors = model_tensors(network, ScaleTables.build(), IndexTables.build(counts))
    return {key: value for key, value in tensors.items() if not key.startswith("tables.")}


def close(found: np.ndarray, expected: torch.Tensor) -> None:
    wanted = expected.numpy()
    assert found.shape == wanted.shape
    assert found.dtype == wanted.dtype
    assert np.abs(found - wanted).max() <= 1e-4 * max(1.0, np.abs(wanted).max())


def encode(model: OnnxModel, pixels: np.ndarray) -> np.ndarray:
    return model.encode_coarse(model.encode_fine(pixels))


def decode(model: OnnxModel, y_hat: np.ndarray, quality: int, realism: float) -> np.ndarray:
    features = model.decode_coarse(model.synthesis(y_hat, quality), realism)
    return model.decode_fine(features, realism)


def shown(network, l_hat: torch.Tensor, realism: float) -> np.ndarray:
    """Return pixels that are not rounded yet; a mixture is one of pixels, not of what D gives."""
    if network.config.two_decoders and 0.0 < realism < 1.0:
        faithful, realistic = (shown(network, l_hat, end) for end in (0.0, 1.0))
        return (1.0 - realism) * faithful + realism * realistic
    x_hat = network.show(l_hat, torch.full((len(l_hat),), realism))
    return ((x_hat.clamp(-1, 1) + 1) * 127.5).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("name", CHANGES)
def test_every_network_gives_the_same(pair, make_picture, name):
    network, mine = pair(name)
    pixels = np.stack([make_picture(128, 192, seed) for seed in range(2)])
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1.0
    with torch.inference_mode():
        l = network.encoder(x)
        close(encode(mine, pixels), l)
        for quality in QUALITIES:
            levels = torch.full((2,), quality)
            y = network.analysis(l, levels)
            close(mine.analysis(l.numpy(), quality), y)
            digits = network.hyper_codebook(network.hyper_analysis(y, levels))
            found_digits = mine.to_digits(mine.hyper_analysis(y.numpy(), quality))
            # Where z lies on the border of two levels, either is right.
            assert (found_digits == digits.numpy()).mean() > 0.97
            y_hat = y.round()
            for realism in (0.0, 0.3, 1.0):
                expected = shown(network, network.synthesis(y_hat, levels), realism)
                found = decode(mine, y_hat.numpy(), quality, realism)
                # A mixture is one of rounded pixels, and is rounded once more.
                mixed = network.config.two_decoders and 0.0 < realism < 1.0
                assert np.abs(found - expected).max() <= (1.01 if mixed else 0.51)


@pytest.mark.parametrize("name", CHANGES)
def test_the_coding_steps_give_the_same(pair, name):
    network, mine = pair(name)
    config = network.config
    rng = np.random.default_rng(3)
    indices = rng.integers(0, config.hyper_size, (2, 2, 3))
    digits = network.hyper_codebook.to_digits(torch.from_numpy(indices))
    assert np.array_equal(mine.to_digits(indices), digits.numpy())
    assert np.array_equal(mine.to_indices(digits.numpy()), indices)
    symbols = rng.integers(-4, 5, (STEPS, 2, config.y_channels, 8, 12)).astype(np.float32)
    seen: list[tuple] = []

    def record(step, mean, quant_step, rows, mask):
        seen.append((mean, quant_step, rows, mask))
        return torch.from_numpy(symbols[step]) * mask * (rows > 0)

    for quality in QUALITIES:
        seen.clear()
        with torch.inference_mode():
            network.code_symbols(digits, torch.full((2,), quality), record)
        features = mine.hyper_synthesis(indices, quality)
        base = mine.scale_base(indices, quality)
        decoded = np.zeros(symbols.shape[1:], np.int16)
        y_hat = np.zeros(symbols.shape[1:], np.float32)
        for step, (mean, quant_step, rows, mask) in enumerate(seen):
            found = mine.context(step, y_hat, features)
            close(found[0], mean)
            close(found[1], quant_step)
            assert np.array_equal(mine.rows(step, base, decoded), rows.numpy())
            where = mask.numpy()
            own = (symbols[step] * where * (rows.numpy() > 0)).astype(np.int16)
            decoded += own
            y_hat += where * (own * quant_step.numpy() + mean.numpy())


def broken(tensors: dict[str, np.ndarray], name: str, value: np.ndarray | None) -> dict:
    changed = dict(tensors)
    if value is None:
        del changed[name]
    else:
        changed[name] = value
    return changed


def test_tensors_are_checked(make_model, micro_config):
    tensors = tensors_of(make_model(1))
    name, gain = "decoder.stem.weight", "synthesis.gain.log_gain"
    infinite = tensors[name].copy()
    infinite[0, 0, 0, 0] = np.inf
    cases = {
        f"{name}: expected shape .*, found nothing": broken(tensors, name, None),
        f"{name}: expected shape": broken(tensors, name, tensors[name][:-1]),
        f"{name}: expected": broken(tensors, name, np.zeros(tensors[name].shape, np.int32)),
        f"{name} holds values that are not finite": broken(tensors, name, infinite),
        f"{gain}: expected": broken(tensors, gain, tensors[gain][:-1]),
        "unexpected tensors: more": broken(tensors, "more", np.zeros(1, np.float32)),
        "unexpected tensors: scale_map.more": broken(tensors, "scale_map.more", np.zeros(1, int)),
    }
    for message, changed in cases.items():
        with pytest.raises(WeightsError, match=message):
            OnnxModel(micro_config, changed)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_opens_sessions_of_its_own(pair):
    _, mine = pair("micro")
    pixels = np.zeros((1, 64, 64, 3), np.uint8)
    expected = encode(mine, pixels)
    process = os.fork()
    if process == 0:
        same = np.array_equal(encode(mine, pixels), expected)
        os._exit(0 if same and (os.getpid(), "E") in mine._sessions else 1)
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_threads(monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    assert threads() == 2
    torch.set_num_threads(before)
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads() == 3
    for nothing in ("", "0", "many"):
        monkeypatch.setenv("OMP_NUM_THREADS", nothing)
        assert 1 <= threads() <= (os.cpu_count() or 1)


def test_networks_that_are_not_needed_are_never_built(make_model):
    network = make_model(2)
    mine = OnnxModel(network.config, tensors_of(network))
    mine.hyper_synthesis(np.zeros((1, 1, 1), np.int64), 50)
    decode(mine, np.zeros((1, 16, 4, 4), np.float32), 50, 1.0)
    assert {name for _, name in mine._sessions} == {"h_s", "g_s", "D 16", "D"}


@pytest.mark.parametrize(
    ("realism", "built"),
    [(0.0, {"D 16", "D"}), (1.0, {"R 16", "R"}), (0.5, {"D 16", "D", "R 16", "R"})],
)
def test_of_two_decoders_each_end_builds_one(make_model, realism, built):
    network = make_model(2, TWO_DECODERS)
    mine = OnnxModel(network.config, tensors_of(network))
    decode(mine, np.zeros((1, 16, 4, 4), np.float32), 50, realism)
    assert {name for _, name in mine._sessions} == {"g_s", *built}


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="nothing says what is resident")
def test_memory_of_what_runs_before_the_decoder_is_given_back(pair):
    """D takes most of it; what g_s and the first part of D held would come on top."""
    _, graphs = pair("micro")
    small, large = (np.zeros((1, 16, side, side), np.float32) for side in (4, 768))
    # Sessions are made.
    graphs.decode_coarse(graphs.synthesis(small, 50), 0.0)
    before = resident_bytes()
    features = graphs.decode_coarse(graphs.synthesis(large, 50), 0.0)
    # Both results have this size; with all that their making needs there are nine times as much.
    assert resident_bytes() - before < 4 * features.nbytes


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
