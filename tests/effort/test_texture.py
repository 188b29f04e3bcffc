"""Textures as what an encoder looks at: what they see and what they do not."""

from __future__ import annotations

import pytest
import torch

from glc.effort.texture import Texture


@pytest.fixture(scope="module")
def look():
    return Texture()


def noise(seed, size=(1, 3, 128, 128)):
    generator = torch.Generator().manual_seed(seed)
    return 0.5 * torch.randn(size, generator=generator)


def distance(look, x, x_hat, seen=None):
    seen = torch.ones_like(x[:, :1]) if seen is None else seen
    return look.distance(look.features(x), look.features(x_hat), seen)


def test_nothing_lies_between_a_picture_and_itself(look):
    x = noise(0)
    assert float(distance(look, x, x)) == 0.0
    assert 0.0 < float(distance(look, x, 0.5 * x)) < float(distance(look, x, 0.2 * x)) <= 1.0


def test_another_grain_of_the_same_texture_is_nearer_than_none(look):
    """What squared error sees the other way round."""
    x, other, none = noise(0), noise(1), torch.zeros(1, 3, 128, 128)
    assert (x - other).square().mean() > (x - none).square().mean()
    assert distance(look, x, other) < 0.5 * distance(look, x, none)


def test_stripes_have_a_direction_and_a_width_but_no_place(look):
    at = torch.arange(128.0)
    narrow, wide = (torch.sin(at * 2 * torch.pi / width) for width in (8.0, 16.0))
    upright = narrow.expand(1, 3, 128, 128)
    shifted = narrow.roll(2).expand(1, 3, 128, 128)
    across, wider = upright.transpose(2, 3), wide.expand(1, 3, 128, 128)
    assert 10 * distance(look, upright, shifted) < distance(look, upright, across)
    assert 10 * distance(look, upright, shifted) < distance(look, upright, wider)


def test_what_is_not_seen_does_not_count(look):
    x, x_hat = noise(0), noise(0)
    x_hat[..., 96:] = 0.0
    seen = torch.ones(1, 1, 128, 128)
    seen[..., 80:] = 0.0
    assert distance(look, x, x_hat, seen) < 0.02 * distance(look, x, x_hat)


def test_gradients_are_finite_where_a_picture_is_flat(look):
    x_hat = torch.zeros(2, 3, 32, 32, requires_grad=True)
    distance(look, noise(0, (2, 3, 32, 32)), x_hat).sum().backward()
    assert torch.isfinite(x_hat.grad).all()
    assert torch.isfinite(x_hat).all()
