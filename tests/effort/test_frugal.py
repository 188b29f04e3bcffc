"""Rounding that counts bits."""

from __future__ import annotations

import numpy as np
import pytest

from glc.effort.frugal import Frugal
from glc.entropy import ROWS, ScaleTables
from glc.pipeline import to_symbols


@pytest.fixture(scope="module")
def scales():
    return ScaleTables.build()


@pytest.fixture(scope="module")
def latents():
    rng = np.random.default_rng(3)
    rows = rng.integers(0, ROWS, (2, 8, 6, 5)).astype(np.uint8)
    return (rng.normal(0.0, 2.0, rows.shape)).astype(np.float32), rows


def test_bits_that_weigh_nothing_leave_the_nearest_integers(scales, latents):
    residual, rows = latents
    found = Frugal(scales, np.zeros(2))(residual, rows)
    assert np.array_equal(found, to_symbols(residual, 0.5))


def test_no_symbol_is_dearer_than_what_it_was_chosen_over(scales, latents):
    residual, rows = latents
    weight = 0.1
    found = Frugal(scales, np.full(2, weight))(residual, rows)
    nearest = to_symbols(residual, 0.5)
    where = rows > 0
    assert (found[where] != nearest[where]).any()

    def cost(symbols):
        bits = scales.bits(symbols[where].astype(np.int32), rows[where])
        return (residual[where].astype(float) - symbols[where]) ** 2 + weight * bits

    smaller = nearest - np.sign(nearest)
    assert np.allclose(cost(found), np.minimum(cost(nearest), cost(smaller)))


def test_each_picture_has_its_own_weight_and_more_weight_takes_fewer_bits(scales, latents):
    residual, rows = latents
    both = Frugal(scales, np.array([0.0, 0.2]))(residual, rows)
    assert np.array_equal(both[0], Frugal(scales, np.zeros(2))(residual, rows)[0])
    assert np.array_equal(both[1], Frugal(scales, np.full(2, 0.2))(residual, rows)[1])
    where = rows > 0
    spent = [
        scales.bits(Frugal(scales, np.full(2, w))(residual, rows)[where].astype(int), rows[where])
        for w in (0.0, 0.02, 0.1, 0.5)
    ]
    totals = [bits.sum() for bits in spent]
    assert totals == sorted(totals, reverse=True)
    assert totals[-1] < totals[0]
