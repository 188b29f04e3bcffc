"""Orthogonalised momentum: what it does to matrices, convolutions and steps that are skipped."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from glc.training.engine.muon import Muon, orthogonalise
from glc.training.engine.nonfinite_guard import step_unless


@pytest.mark.parametrize("shape", [(3, 16, 40), (2, 40, 16), (1, 24, 24)])
def test_singular_values_become_alike(shape: tuple[int, int, int]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(1)) * 1e-4
    found = orthogonalise(matrices).float()
    assert found.shape == shape
    values = torch.linalg.svdvals(found)
    before = torch.linalg.svdvals(matrices)
    assert (before.amax(1) / before.amin(1)).max() > 3.0
    # The smallest of a square matrix may be too small for five iterations.
    assert values.max() < 1.3
    assert (values > 0.6).float().mean() > 0.9
    u, _, vh = torch.linalg.svd(matrices, full_matrices=False)
    nearest = u @ vh
    cosine = (found * nearest).sum(dim=(1, 2)) / (found.norm(dim=(1, 2)) * nearest.norm(dim=(1, 2)))
    assert cosine.min() > 0.93


def test_zero_stays_zero() -> None:
    assert not orthogonalise(torch.zeros(1, 4, 6)).any()


def first_step(parameter: nn.Parameter, gradient: Tensor) -> Tensor:
    before = parameter.detach().clone()
    parameter.grad = gradient.clone()
    Muon([parameter], lr=0.01).step()
    return parameter.detach() - before


def test_a_convolution_is_the_matrix_of_its_outputs() -> None:
    gradient = torch.randn(8, 4, 3, 3, generator=torch.Generator().manual_seed(2))
    moved = first_step(nn.Parameter(torch.zeros(8, 4, 3, 3)), gradient)
    flat = first_step(nn.Parameter(torch.zeros(8, 36)), gradient.flatten(1))
    torch.testing.assert_close(moved.flatten(1), flat)
    # Downhill, and as large as a step of AdamW: 0.2 of the learning rate.
    assert (moved * gradient).sum() < 0
    assert math.isclose(float(moved.square().mean().sqrt()), 0.002, rel_tol=0.2)


def test_one_shape_is_one_batch_and_nobody_notices() -> None:
    generator = torch.Generator().manual_seed(3)
    gradients = [torch.randn(6, 10, generator=generator) for _ in range(3)]
    alone = [first_step(nn.Parameter(torch.zeros(6, 10)), gradient) for gradient in gradients]
    together = [nn.Parameter(torch.zeros(6, 10)) for _ in gradients]
    for parameter, gradient in zip(together, gradients, strict=True):
        parameter.grad = gradient
    Muon(together, lr=0.01).step()
    for parameter, expected in zip(together, alone, strict=True):
        torch.testing.assert_close(parameter.detach(), expected, rtol=0.02, atol=1e-5)


def test_a_skipped_step_changes_neither_weights_nor_momentum() -> None:
    parameter = nn.Parameter(torch.ones(4, 6))
    optimiser = Muon([parameter], lr=0.1)
    parameter.grad = torch.randn(4, 6, generator=torch.Generator().manual_seed(4))
    step_unless(torch.zeros(()), optimiser)
    weights, momentum = parameter.detach().clone(), optimiser.state[parameter]["momentum"].clone()
    assert not torch.equal(weights, torch.ones(4, 6))
    for spoiled in (torch.nan, torch.inf):
        parameter.grad = torch.full((4, 6), spoiled)
        step_unless(torch.ones(()), optimiser)
    assert torch.equal(parameter.detach(), weights)
    assert torch.equal(optimiser.state[parameter]["momentum"], momentum)


def test_it_learns_a_linear_map() -> None:
    generator = torch.Generator().manual_seed(5)
    inputs = torch.randn(256, 12, generator=generator)
    wanted = torch.randn(8, 12, generator=generator)
    weights = nn.Parameter(torch.zeros(8, 12))
    optimiser = Muon([weights], lr=0.1)
    for step in range(200):
        optimiser.zero_grad()
        (inputs @ (weights - wanted).T).square().mean().backward()
        optimiser.param_groups[0]["lr"] = 0.1 * (1 - step / 200)
        optimiser.step()
    assert (weights.detach() - wanted).abs().max() < 0.05
