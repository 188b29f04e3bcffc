"""Bottlenecks of phase 1: shapes, ranges, and a gradient for everything that learns."""

from __future__ import annotations

import pytest
import torch

from glc.networks.codebook import GaussianBottleneck, ScalarCodebook, VectorCodebook

MAKERS = {
    "vector": lambda: VectorCodebook(16, 32),
    "scalar": lambda: ScalarCodebook(16, 256),
    "gaussian": lambda: GaussianBottleneck(16),
}


def latent(seed: int = 0) -> torch.Tensor:
    l = torch.randn(2, 16, 3, 5, generator=torch.Generator().manual_seed(seed))
    return l * l.square().mean(dim=1, keepdim=True).rsqrt()


@pytest.mark.parametrize("kind", MAKERS)
def test_shapes_and_gradients(kind):
    torch.manual_seed(0)
    bottleneck = MAKERS[kind]().train()
    l = latent().requires_grad_()
    seen, indices, loss = bottleneck(l)
    assert seen.shape == l.shape
    assert loss.dim() == 0
    (loss + seen.square().sum()).backward()
    assert l.grad.abs().sum() > 0
    for name, parameter in bottleneck.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    if kind == "gaussian":
        assert indices is None
    else:
        assert torch.equal(indices, bottleneck.nearest(l))
        assert indices.dtype == torch.long
        assert 0 <= int(indices.min()) <= int(indices.max()) < (32 if kind == "vector" else 256)


def test_a_code_is_nearest_to_itself_and_ties_go_to_the_lower_index():
    torch.manual_seed(0)
    codebook = VectorCodebook(16, 32)
    codebook.frozen[9] = codebook.frozen[4]
    codes = codebook.codes().T.reshape(1, 16, 1, 32)
    expected = torch.arange(32)
    expected[9] = 4
    assert torch.equal(codebook.nearest(codes)[0, 0], expected)
    seen, _, _ = codebook(codes)
    torch.testing.assert_close(seen, codes)


def test_a_scalar_codebook_needs_a_power_of_four():
    with pytest.raises(ValueError, match="4\\^n"):
        ScalarCodebook(16, 32)


def test_the_gaussian_is_silent_when_evaluated():
    torch.manual_seed(0)
    bottleneck = GaussianBottleneck(16).eval()
    l = latent()
    assert torch.equal(bottleneck(l)[0], bottleneck(l)[0])
    torch.testing.assert_close(bottleneck(l)[0], bottleneck.clean(l))
