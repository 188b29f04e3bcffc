"""Two pictures mixed: the ends are the pictures, and halves go to even."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from glc.runtime.mixture import mix

FAITHFUL, REALISTIC = (a.astype(np.uint8) for a in np.mgrid[:256, :256])


def test_the_ends_are_the_pictures():
    assert np.array_equal(mix(FAITHFUL, REALISTIC, 0.0), FAITHFUL)
    assert np.array_equal(mix(FAITHFUL, REALISTIC, 1.0), REALISTIC)


def test_halves_go_to_even():
    low, high = np.arange(255, dtype=np.uint8), np.arange(1, 256, dtype=np.uint8)
    found = mix(low, high, 0.5)
    assert found.dtype == np.uint8
    assert (found % 2 == 0).all()
    assert np.array_equal(mix(high, low, 0.5), found)


@pytest.mark.parametrize("percent", range(1, 100, 7))
def test_what_lies_between_is_nearest_to_the_exact_mixture(percent):
    share = Fraction(percent, 100)
    found = mix(FAITHFUL, REALISTIC, percent / 100)
    for low, high in ((0, 255), (255, 0), (17, 200), (3, 4), (99, 99)):
        exact = (1 - share) * low + share * high
        assert abs(int(found[low, high]) - exact) <= Fraction(1, 2) + Fraction(1, 10**4)
    exact = (100 - percent) * FAITHFUL.astype(int) + percent * REALISTIC.astype(int)
    assert np.abs(100 * found.astype(int) - exact).max() <= 50
