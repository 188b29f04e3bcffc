"""The composed model: shapes, gradients, and independence from the batch."""

from __future__ import annotations

import pytest
import torch

from glc.networks.codebook import VectorCodebook
from glc.networks.quantize import round_through
from glc.networks.transforms import interpolate_anchors


@pytest.fixture(scope="module")
def model(make_model):
    return make_model(2)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 5), (7, 2)])
def test_shapes_of_odd_sizes(model, micro_config, height, width):
    quality = torch.tensor([0, 100])
    l = model.encoder(torch.rand(2, 3, 16 * height, 16 * width) * 2 - 1)
    assert l.shape == (2, micro_config.latent_channels, height, width)
    torch.testing.assert_close(l.square().mean(dim=1), torch.ones(2, height, width))
    y = model.analysis(l, quality)
    assert y.shape == (2, micro_config.y_channels, height, width)
    l_hat = model.synthesis(y, quality)
    assert l_hat.shape == l.shape
    assert model.decoder(l_hat).shape == (2, 3, 16 * height, 16 * width)
    z = model.hyper_analysis(y.new_zeros(2, y.shape[1], 4 * height, 4 * width), quality)
    assert z.shape == (2, len(micro_config.hyper_levels), height, width)
    features = model.hyper_synthesis(z, quality)
    assert features.shape == (2, micro_config.hyper_channels, 4 * height, 4 * width)
    rows = model.scale_map.base(model.hyper_codebook(z), quality)
    assert rows.shape == (2, micro_config.y_channels, 4 * height, 4 * width)


def test_a_gradient_reaches_every_parameter(make_model, micro_config):
    model = make_model(4).train()
    codebook = VectorCodebook(micro_config.latent_channels, micro_config.codebook_size)
    quality = torch.tensor([0, 30, 60, 100])
    generator = torch.Generator().manual_seed(0)
    l = model.encoder(torch.rand(4, 3, 128, 64, generator=generator) * 2 - 1)
    seen, _, loss = codebook(l)
    y = model.analysis(seen, quality)
    digits = model.hyper_codebook(model.hyper_analysis(y, quality))

    def exchange(step, mean, quant_step, rows, mask):
        nonlocal loss
        residual = (y - mean) / quant_step
        loss = loss + ((residual.square() - rows).square() * mask).mean()
        return round_through(residual) * mask * (rows > 0)

    y_hat = model.code_symbols(digits, quality, exchange, exact=False)
    x_hat = model.decoder(model.synthesis(y_hat, quality))
    (loss + (x_hat - 0.3).square().mean()).backward()
    parameters = dict(model.named_parameters()) | dict(codebook.named_parameters())
    silent = [n for n, p in parameters.items() if p.grad is None or not p.grad.abs().sum() > 0]
    assert silent == []
    assert all(bool(p.grad.isfinite().all()) for p in parameters.values())


def test_a_picture_does_not_depend_on_its_batch(model):
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(3, 3, 64, 128, generator=generator) * 2 - 1
    quality = torch.tensor([0, 47, 100])

    def run(pictures, levels):
        with torch.no_grad():
            y = model.analysis(model.encoder(pictures), levels)
            digits = model.hyper_codebook(model.hyper_analysis(y, levels))
            rows_seen = []

            def exchange(step, mean, quant_step, rows, mask):
                rows_seen.append(rows)
                return ((y - mean) / quant_step).round() * (mask & (rows > 0))

            y_hat = model.code_symbols(digits, levels, exchange)
            x_hat = model.decoder(model.synthesis(y_hat, levels))
        return torch.stack(rows_seen, dim=1), x_hat

    rows, x_hat = run(x, quality)
    for index in range(3):
        chosen = slice(index, index + 1)
        own_rows, own_x_hat = run(x[chosen], quality[chosen])
        assert torch.equal(rows[chosen], own_rows)
        torch.testing.assert_close(x_hat[chosen], own_x_hat, atol=1e-4, rtol=1e-4)


def test_gains_are_exact_at_the_anchors_and_between_them_lie_between():
    values = torch.tensor([[0.0], [10.0], [40.0]])
    found = interpolate_anchors(values, torch.tensor([0, 25, 50, 75, 100]))[:, 0]
    assert found.tolist() == [0.0, 5.0, 10.0, 25.0, 40.0]


def test_the_receptive_field_of_the_decoder_is_bounded(model, micro_config):
    with torch.no_grad():
        l = torch.zeros(1, micro_config.latent_channels, 4, 40)
        before = model.decoder(l)
        l[..., 0] = 1.0
        after = model.decoder(l)
    assert torch.equal(before[..., 320:], after[..., 320:])
    assert not torch.equal(before[..., :16], after[..., :16])
