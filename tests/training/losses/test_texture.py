"""The texture distance: what is the same to it, and what is not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from glc.training.losses.texture import WINDOW, texture_distance

SIDE = 4 * WINDOW


def noise(seed: int) -> Tensor:
    """Like features behind an activation."""
    generator = torch.Generator().manual_seed(seed)
    return torch.relu(torch.randn(2, 3, SIDE, SIDE, generator=generator))


def blurred(x: Tensor) -> Tensor:
    return functional.avg_pool2d(functional.pad(x, (1, 1, 1, 1), mode="circular"), 3, 1)


def distance(x: Tensor, x_hat: Tensor) -> Tensor:
    return texture_distance([x], [x_hat], SIDE)


def test_what_is_equal_has_no_distance_and_the_order_does_not_count() -> None:
    x, x_hat = noise(1), blurred(noise(1))
    assert float(distance(x, x).abs().max()) == 0.0
    forth, back = distance(x, x_hat), distance(x_hat, x)
    assert forth.shape == (2,)
    assert float(forth.min()) > 0.0
    # Only the floor is that of the originals.
    torch.testing.assert_close(forth, back, rtol=0.1, atol=0.0)


def test_other_grass_is_grass_and_blurred_grass_is_not() -> None:
    x = noise(1)
    other, blur = noise(2), blurred(x)
    # By squared error it is the other way round.
    assert float((x - other).square().mean()) > 2.0 * float((x - blur).square().mean())
    assert float(distance(x, other).max()) < 0.1 * float(distance(x, blur).min())


def test_a_texture_in_another_place_is_another_texture() -> None:
    x = noise(1)
    x[..., : SIDE // 2] *= 0.1
    swapped = x.roll(SIDE // 2, dims=-1)
    assert float(distance(x, swapped).min()) > 10.0 * float(distance(x, x.roll(1, -1)).max())


def test_the_scale_of_a_channel_does_not_count() -> None:
    x, x_hat = noise(1), blurred(noise(2))
    scale = torch.tensor([1e-3, 1.0, 1e3]).view(1, 3, 1, 1)
    torch.testing.assert_close(distance(scale * x, scale * x_hat), distance(x, x_hat))


def test_layers_count_alike_and_windows_are_of_pixels() -> None:
    x, x_hat = noise(1), blurred(noise(2))
    fine = [x, functional.avg_pool2d(x, 4)]
    fine_hat = [x_hat, functional.avg_pool2d(x_hat, 4)]
    each = [texture_distance([a], [b], SIDE) for a, b in zip(fine, fine_hat, strict=True)]
    both = texture_distance(fine, fine_hat, SIDE)
    torch.testing.assert_close(both, (each[0] + each[1]) / 2)
    # A layer of one position per 16 pixels still has windows of several of them.
    one = functional.avg_pool2d(x, 16)
    moved = one.roll(1, dims=-1)
    assert float(distance(one, moved).max()) < 2.0


@pytest.mark.parametrize("side", [1, 2, 3])
def test_small_layers_are_one_window(side: int) -> None:
    generator = torch.Generator().manual_seed(3)
    x = torch.rand(2, 5, side, side, generator=generator)
    assert float(distance(x, x.flip(-1)).max()) < 1e-6


def test_silent_features_have_finite_gradients() -> None:
    x = noise(1)
    x[:, 0] = 0.0
    for x_hat in (torch.zeros_like(x), torch.ones_like(x), x.clone()):
        x_hat.requires_grad_(True)
        distance(x, x_hat).sum().backward()
        assert x_hat.grad is not None
        assert bool(x_hat.grad.isfinite().all())


def test_it_teaches_a_flat_picture_to_have_texture() -> None:
    x = noise(1)
    x_hat = (0.05 * noise(2)).requires_grad_(True)
    before = distance(x, x_hat).mean()
    before.backward()
    assert x_hat.grad is not None
    stepped = x_hat.detach() - x_hat.grad / x_hat.grad.std() * 0.05
    assert float(stepped.std()) > float(x_hat.detach().std())
    assert float(distance(x, stepped).mean()) < float(before.detach())
