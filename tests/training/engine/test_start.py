"""A new model is a transform codec before its first step."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.nn import functional

import glc.training.engine.start
from glc.networks.linear import LinearAnalysis
from glc.networks.model import GlcModel
from glc.training.engine.start import lapped_blocks, start_linear


class Drawn:
    """Pictures of smooth waves with edges, drawn anew for every batch."""

    count, pixels, skipped, smallest_side = 8, 8 * 128 * 128, 0, 128

    def crops(self, batch: int, crop: int, rescale_max: float, generator: torch.Generator):
        small = torch.rand(batch, 3, 9, 9, generator=generator) * 2 - 1
        x = functional.interpolate(small, size=(crop, crop), mode="bicubic", align_corners=False)
        edge = int(torch.randint(8, crop - 8, (), generator=generator))
        x[..., edge:] += 0.5
        return (x + 0.02 * torch.randn(x.shape, generator=generator)).clamp(-1.0, 1.0)


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(glc.training.engine.start, "_CROPS", 8)
    monkeypatch.setattr(glc.training.engine.start, "_ROUNDS", (6, 6))


@pytest.fixture
def model(micro_config) -> GlcModel:
    torch.manual_seed(3)
    return GlcModel(
        dataclasses.replace(
            micro_config,
            architecture=2, latent_channels=32, y_channels=32, hyper_levels=(8, 4, 4, 4),
        )
    ).eval()  # fmt: skip


def test_lapped_blocks_are_a_window_of_the_picture():
    x = torch.rand(1, 3, 96, 96) * 2 - 1
    components = torch.randn(5, 3, 16, 16).double()
    window = torch.from_numpy(glc.training.engine.start._window())
    kernels = torch.einsum("coab,ai,bj->coij", components, window, window)
    layer = LinearAnalysis(5)
    with torch.no_grad():
        layer.conv.weight.copy_(glc.training.engine.start._as_cells(kernels))
        layer.conv.bias.zero_()
        found = layer(functional.pixel_unshuffle(x, 4))
    expected = torch.einsum("bdhw,cd->bchw", lapped_blocks(x).double(), components.flatten(1))
    inner = slice(1, -1)
    assert torch.allclose(found[..., inner, inner].double(), expected[..., inner, inner], atol=1e-3)


def test_the_pre_filter_keeps_constants_and_energy_but_for_its_gain(monkeypatch):
    monkeypatch.setattr(glc.training.engine.start, "_OVERLAP_GAIN", 1.0)
    kernel = torch.from_numpy(glc.training.engine.start._pre_filter())
    assert torch.allclose(kernel @ kernel.T, torch.eye(16).double(), atol=1e-12)
    assert torch.allclose(kernel @ torch.ones(16).double(), torch.ones(16).double(), atol=1e-12)


def test_quality_orders_rate_and_distortion_from_the_start(model, few):
    start = start_linear(model, Drawn(), 0.02, 0.6)
    assert start.qualities[0] == 0
    assert start.qualities[-1] == 100
    assert list(start.bpp) == sorted(start.bpp)
    assert list(start.psnr_db) == sorted(start.psnr_db)
    assert list(start.rate_weights) == sorted(start.rate_weights, reverse=True)
    assert start.psnr_db[-1] > 24.0
    assert f"{start.psnr_db[0]:.2f} dB" in str(start)


def test_a_start_gives_the_same_twice(model, few):
    state = {name: value.clone() for name, value in model.state_dict().items()}
    first = start_linear(model, Drawn(), 0.02, 0.6, seed=4)
    model.load_state_dict(state)
    assert start_linear(model, Drawn(), 0.02, 0.6, seed=4) == first
    assert all(parameter.grad is None for parameter in model.parameters())


def test_what_is_said_of_the_start_is_what_the_whole_model_does(model, few):
    start = start_linear(model, Drawn(), 0.02, 0.6)
    # The same crops in the same order as it draws them, by E and D with their networks.
    x = Drawn().crops(32, 128, 2.0, torch.Generator().manual_seed(1))
    with torch.no_grad():
        l_hat, bpp = glc.training.engine.start.code_latents(model, model.encoder(x), 50)
        squared = (model.decoder(l_hat).clamp(-1, 1) - x).square().mean(dim=(1, 2, 3))
    middle = start.qualities.index(50)
    assert float(bpp.mean()) == pytest.approx(start.bpp[middle], rel=1e-3)
    psnr = float((10 * (4.0 / squared).log10()).mean())
    assert psnr == pytest.approx(start.psnr_db[middle], abs=1e-3)


@pytest.mark.parametrize("corner", [None, -1, 0, 1, 2, 3])
def test_neighbours_are_what_a_3x3_layer_sees(corner):
    x = torch.randn(2, 3, 6, 8)
    layer = torch.nn.Conv2d(3, 5, 3, padding=1, bias=False)
    with torch.no_grad():
        y = layer(x)
        found = glc.training.engine.start._neighbours(x, corner) @ layer.weight.flatten(1).T
    if corner is None:
        y = y[:, :, 1:-1, 1:-1]
    elif corner >= 0:
        y = y[:, :, corner // 2 :: 2, corner % 2 :: 2]
    assert torch.allclose(found, glc.training.engine.start._rows(y), atol=1e-5)


def test_learning_leaves_the_linear_maps_trainable(model, few):
    before = [p.requires_grad for p in model.parameters()]
    start_linear(model, Drawn(), 0.02, 0.6)
    assert [p.requires_grad for p in model.parameters()] == before


def test_a_model_without_linear_maps_is_refused(micro_config):
    with pytest.raises(ValueError, match="architecture 2"):
        start_linear(GlcModel(micro_config), Drawn(), 0.01, 0.1)


def test_settling_saves_bits_and_leaves_everything_else_alone(model, few):
    start_linear(model, Drawn(), 0.02, 0.6)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x = Drawn().crops(6, 128, 1.0, torch.Generator().manual_seed(8))
    quality = torch.tensor([0, 50, 100] * 2)

    def rate() -> float:
        with torch.no_grad():
            return float(
                glc.training.engine.start._quantise(model, model.encoder(x), quality)[1].sum()
            )

    expected = rate()
    glc.training.engine.start.settle(model, Drawn(), 0)
    assert rate() == expected
    glc.training.engine.start.settle(model, Drawn(), 20)
    assert rate() < 0.98 * expected
    means_and_scales = ("hyper_analysis", "hyper_synthesis", "context", "scale_map")
    for name, value in model.state_dict().items():
        if not name.startswith(means_and_scales):
            assert torch.equal(value, before[name]), name
