"""The coding steps: each element once, and nothing depends on what comes later."""

from __future__ import annotations

import pytest
import torch

from glc.networks.context import STEP_CORNERS, STEPS, step_mask


@pytest.mark.parametrize("size", [(4, 1, 1), (4, 4, 4), (8, 5, 7), (16, 12, 4)])
def test_the_steps_code_every_element_once(size):
    masks = torch.cat([step_mask(step, *size) for step in range(STEPS)])
    assert masks.shape == (STEPS, *size)
    assert torch.equal(masks.sum(dim=0), torch.ones(size, dtype=torch.long))


def test_every_step_codes_a_corner_per_quarter_and_each_position_a_quarter():
    for corners in STEP_CORNERS:
        assert sorted(corners) == [0, 1, 2, 3]
    for step in range(STEPS):
        mask = step_mask(step, 16, 6, 6)[0]
        assert torch.equal(mask.sum(dim=0), torch.full((6, 6), 4))


def test_the_first_step_in_full():
    mask = step_mask(0, 4, 2, 2)[0].long().tolist()
    assert mask == [
        [[1, 0], [0, 0]],
        [[0, 0], [0, 1]],
        [[0, 0], [1, 0]],
        [[0, 1], [0, 0]],
    ]


def run(model, digits, quality, all_symbols, exact=True):
    """Code given symbols; returns rows and mean of every step, and y_hat."""
    seen = []

    def exchange(step, mean, quant_step, rows, mask):
        assert bool(((quant_step >= 0.5) & (quant_step <= 2.0)).all())
        seen.append((rows.clone(), mean.clone(), quant_step.clone()))
        return all_symbols * (mask & (rows > 0))

    with torch.no_grad():
        y_hat = model.code_symbols(digits, quality, exchange, exact)
    return seen, y_hat


@pytest.fixture(scope="module")
def inputs(make_model, micro_config):
    model = make_model(3)
    generator = torch.Generator().manual_seed(0)
    digits = 2 * torch.randint(0, 4, (2, 3, 1, 2), generator=generator).float() - 3
    size = (2, micro_config.y_channels, 4, 8)
    symbols = torch.randint(-3, 4, size, generator=generator).float()
    return model, digits, torch.tensor([10, 90]), symbols


@pytest.mark.parametrize("changed", range(STEPS))
def test_later_symbols_change_nothing_earlier(inputs, changed):
    model, digits, quality, symbols = inputs
    before, y_hat = run(model, digits, quality, symbols)
    mask = step_mask(changed, *symbols.shape[1:])
    after, other = run(model, digits, quality, torch.where(mask, 4.0 - symbols, symbols))
    for step in range(changed + 1):
        for a, b in zip(before[step], after[step], strict=True):
            assert torch.equal(a, b)
    assert not torch.equal(y_hat, other)
    if changed + 1 < STEPS:
        # And they do change what follows: this is what the steps are for.
        assert not torch.equal(before[changed + 1][0], after[changed + 1][0])
        assert not torch.equal(before[changed + 1][1], after[changed + 1][1])


def test_training_selects_the_rows_of_files(inputs):
    model, digits, quality, symbols = inputs
    exact, _ = run(model, digits, quality, symbols)
    quick, _ = run(model, digits, quality, symbols, exact=False)
    for (rows, *_), (others, *_) in zip(exact, quick, strict=True):
        assert torch.equal(rows, others)


def test_y_hat_is_mean_plus_symbols_times_step(inputs):
    model, digits, quality, symbols = inputs
    seen, y_hat = run(model, digits, quality, symbols)
    expected = torch.zeros_like(y_hat)
    for step, (rows, mean, quant_step) in enumerate(seen):
        mask = step_mask(step, *symbols.shape[1:])
        values = mean + symbols * (rows > 0) * quant_step
        expected = torch.where(mask, values, expected)
    torch.testing.assert_close(y_hat, expected)
