"""The hyper-latent must be used: its start, its reward, and what both count."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from glc.networks.hyperprior import HyperAnalysis, HyperCodebook
from glc.training.hyper import information, missing_information, soft_indices, spread
from glc.training.settings import TrainingSettings

MICRO = Path(__file__).parent / "micro.toml"

LEVELS = (4, 3)


@pytest.fixture
def codebook() -> HyperCodebook:
    return HyperCodebook(LEVELS)


def test_soft_indices_agree_with_the_indices_that_are_coded(codebook: HyperCodebook) -> None:
    z = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(1)) * 2
    share = soft_indices(z, codebook)
    coded = codebook.to_indices(codebook(z)).flatten()
    assert share.shape == (48, 12)
    torch.testing.assert_close(share.sum(dim=1), torch.ones(48))
    assert torch.equal(share.argmax(dim=1), coded)


def test_a_constant_says_nothing_and_a_spread_says_nearly_all(codebook: HyperCodebook) -> None:
    constant = torch.full((2, 2, 4, 4), 0.3)
    assert float(information(constant, codebook)) == pytest.approx(0.0, abs=1e-5)
    # Twelve positions at the twelve indices: atanh of the levels.
    every = codebook.to_digits(torch.arange(12).view(1, 3, 4)) / 2.0
    half = (torch.tensor(LEVELS).view(1, 2, 1, 1) - 1) / 2.0 * 1.05
    z = torch.atanh(every / half)
    assert float(information(z, codebook)) > 0.75 * math.log(12)
    assert float(missing_information(z, codebook)) < 0.25 * math.log(12)


def test_the_reward_pulls_a_dead_latent_apart(codebook: HyperCodebook) -> None:
    noise = torch.randn(4, 2, 4, 4, generator=torch.Generator().manual_seed(2))
    z = (0.01 * noise).requires_grad_()
    before = len(codebook.to_indices(codebook(z)).unique())
    optimiser = torch.optim.Adam([z], lr=0.1)
    for _ in range(40):
        optimiser.zero_grad()
        missing_information(z, codebook).backward()
        optimiser.step()
    assert before <= 4
    assert len(codebook.to_indices(codebook(z)).unique()) >= 8


def test_a_start_from_data_spreads_even_a_dead_head() -> None:
    torch.manual_seed(3)
    config = TrainingSettings.load(str(MICRO), {}).shape
    analysis, codebook = HyperAnalysis(config), HyperCodebook(config.hyper_levels)
    with torch.no_grad():
        analysis.head.weight.zero_()
        assert analysis.head.bias is not None
        analysis.head.bias.fill_(5.0)
    y, quality = torch.randn(16, config.y_channels, 16, 16), torch.full((16,), 50)
    assert len(codebook.to_indices(codebook(analysis(y, quality))).unique()) == 1
    spread(analysis, y)
    z = analysis(y, quality)
    assert len(codebook.to_indices(codebook(z)).unique()) > 0.5 * math.prod(config.hyper_levels)
    columns = z.detach().movedim(1, 0).flatten(1)
    torch.testing.assert_close(
        columns.std(dim=1), torch.full((len(columns),), 0.8), atol=0.01, rtol=0
    )
    correlation = torch.corrcoef(columns) - torch.eye(len(columns))
    assert float(correlation.abs().max()) < 0.01
