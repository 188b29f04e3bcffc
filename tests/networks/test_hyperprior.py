"""The codebook of z: a bijection, and digits that are always in range."""

from __future__ import annotations

import pytest
import torch

from glc.config import PRESETS
from glc.networks.hyperprior import HyperCodebook

LEVELS = [(2,), (3,), (4, 4, 4), (3, 5, 2), (7, 2, 3, 5), (4, 4, 4, 4, 4)]


@pytest.mark.parametrize("levels", LEVELS)
def test_indices_and_digits_are_a_bijection(levels):
    codebook = HyperCodebook(levels)
    size = int(torch.tensor(levels).prod())
    indices = torch.arange(size).view(1, 1, size)
    digits = codebook.to_digits(indices)
    assert torch.equal(codebook.to_indices(digits), indices)
    assert len(torch.unique(digits[0, :, 0].T, dim=0)) == size
    for digit, count in enumerate(levels):
        found = torch.unique(digits[0, digit])
        assert found.tolist() == list(range(1 - count, count, 2))


@pytest.mark.parametrize("levels", LEVELS)
def test_rounding_reaches_every_digit_and_no_other(levels):
    codebook = HyperCodebook(levels)
    line = torch.cat([torch.linspace(-4.0, 4.0, 2001), torch.tensor([-1e4, 1e4])])
    digits = codebook(line.view(1, 1, 1, -1).expand(1, len(levels), 1, -1))
    for digit, count in enumerate(levels):
        found = torch.unique(digits[0, digit])
        assert found.tolist() == list(range(1 - count, count, 2))
        assert bool((digits[0, digit, 0, :-2].diff() >= 0).all())
    indices = codebook.to_indices(digits)
    assert torch.equal(codebook.to_digits(indices), digits)


def test_the_first_digit_is_the_lowest():
    codebook = HyperCodebook((3, 4))
    digits = codebook.to_digits(torch.tensor([[[0, 1, 2, 3, 11]]]))
    assert digits[0, 0, 0].tolist() == [-2, 0, 2, -2, 2]
    assert digits[0, 1, 0].tolist() == [-3, -3, -3, -1, 3]


def test_gradient_passes_the_rounding():
    z = torch.zeros(1, 3, 2, 2, requires_grad=True)
    HyperCodebook((4, 4, 5))(z + 0.1).sum().backward()
    assert bool((z.grad > 0).all())


def test_indices_fit_what_the_checksum_holds():
    assert all(config.hyper_size <= 1 << 16 for config in PRESETS.values())
