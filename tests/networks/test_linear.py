"""Linear maps beside the networks: before training, and what D does with a realism."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.nn import functional

from glc.config import CodecConfig
from glc.networks.linear import LinearAnalysis, LinearSynthesis, RealismGain
from glc.networks.model import GlcModel


@pytest.fixture(scope="module")
def config(micro_config) -> CodecConfig:
    return dataclasses.replace(
        micro_config, architecture=2, latent_channels=16, y_channels=16, hyper_levels=(8, 4, 4, 4)
    )


def test_analysis_of_a_constant_picture_is_constant_up_to_the_border():
    layer = LinearAnalysis(5)
    cells = torch.full((1, 48, 16, 20), 0.7)
    l = layer(cells)
    assert l.shape == (1, 5, 4, 5)
    assert torch.allclose(l, l[:, :, :1, :1].expand_as(l), atol=1e-5)


def test_synthesis_of_a_constant_latent_repeats_up_to_the_border():
    picture = LinearSynthesis(5)(torch.full((1, 5, 3, 4), -1.3))
    assert picture.shape == (1, 3, 48, 64)
    blocks = functional.pixel_unshuffle(picture, 16)
    assert torch.allclose(blocks, blocks[:, :, :1, :1].expand_as(blocks), atol=1e-5)


def test_a_new_model_is_its_linear_maps(config):
    torch.manual_seed(0)
    model = GlcModel(config).eval()
    x, quality = torch.rand(2, 3, 64, 64) * 2 - 1, torch.tensor([0, 70])
    with torch.no_grad():
        l = model.encoder(x)
        assert torch.equal(l, model.encoder.linear(functional.pixel_unshuffle(x, 4)))
        y = model.analysis(l, quality)
        assert torch.allclose(y, l * model.analysis.gain(quality))
        l_hat = model.synthesis(y, quality)
        assert torch.allclose(l_hat, y * model.synthesis.gain(quality))
        assert torch.equal(model.decoder(l_hat), model.decoder.linear(l_hat))


def test_a_gradient_reaches_every_parameter_beside_a_linear_map(config, unsettle):
    torch.manual_seed(0)
    model = GlcModel(config)
    with torch.no_grad():
        unsettle(model)
    x = torch.rand(2, 3, 64, 64) * 2 - 1
    quality, realism = torch.tensor([30, 70]), torch.tensor([0.0, 0.7])
    l = model.encoder(x)
    y = model.analysis(l, quality)
    digits = model.hyper_codebook(model.hyper_analysis(y, quality))
    y_hat = model.code_symbols(
        digits, quality, lambda step, mean, size, rows, mask: (y - mean) / size * mask + rows * 0,
        exact=False,
    )  # fmt: skip
    model.decoder(model.synthesis(y_hat, quality), realism).square().mean().backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    # These reach the picture through the tables alone, whose rows are held at 0 or 63 here.
    assert [name for name in silent if not name.startswith("scale_map")] == []


def test_realism_changes_the_picture_between_its_anchors(config, unsettle):
    torch.manual_seed(0)
    decoder = GlcModel(config).eval().decoder
    with torch.no_grad():
        unsettle(decoder)
        l = torch.randn(1, 16, 4, 4).expand(3, -1, -1, -1)
        shown = decoder(l, torch.tensor([0.0, 0.5, 1.0]))
        assert torch.allclose(decoder(l[:1]), shown[2:], atol=1e-5)
    assert float((shown[0] - shown[2]).abs().max()) > 0.01
    assert float((shown[0] - shown[1]).abs().max()) > 0.001


def test_gains_are_interpolated():
    gain = RealismGain(2)
    with torch.no_grad():
        gain.anchors.copy_(torch.tensor([[1.0, 3.0], [2.0, 1.0]]))
    found = gain(torch.tensor([0.0, 0.25, 1.0]))
    assert found.shape == (3, 2, 1, 1)
    assert found.flatten(1).tolist() == [[1.0, 3.0], [1.25, 2.5], [2.0, 1.0]]


def test_latents_of_another_width_than_y_are_refused(config):
    with pytest.raises(ValueError, match="latent_channels must be y_channels, 16"):
        dataclasses.replace(config, latent_channels=8)
