from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glc.entropy.apportion import apportion


@given(
    st.lists(
        st.one_of(st.just(0.0), st.floats(0, 1e12), st.floats(0, 1e-12)), min_size=1, max_size=300
    ).filter(any)
)
def test_sums_to_the_total_with_none_below_one(weights: list[float]) -> None:
    frequencies = apportion(weights)
    assert sum(frequencies) == 65536
    assert min(frequencies) >= 1


@given(st.lists(st.floats(0, 1), min_size=2, max_size=200).filter(any))
def test_copies_share_a_frequency(weights: list[float]) -> None:
    copies = [1] + [2] * (len(weights) - 2) + [1]
    frequencies = apportion(weights, copies)
    assert sum(f * n for f, n in zip(frequencies, copies, strict=True)) == 65536
    assert min(frequencies) >= 1


def test_shares_are_proportional_with_the_largest_remainders_rounded_up() -> None:
    assert apportion([1, 1, 2]) == [16384, 16384, 32768]
    assert apportion([1, 1, 1]) == [21846, 21845, 21845]
    assert apportion([5]) == [65536]
    assert apportion([1, 0, 0]) == [65534, 1, 1]
    assert apportion([1e300, 1e-300]) == [65535, 1]
    assert apportion([1.0] * 65536) == [1] * 65536


@pytest.mark.parametrize(
    "weights", [[], [0.0, 0.0], [-1.0, 2.0], [float("nan")], [float("inf"), 1.0], [1.0] * 65537]
)
def test_impossible_weights_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weights"):
        apportion(weights)


def test_first_of_several_copies_is_refused() -> None:
    with pytest.raises(ValueError, match="copies"):
        apportion([1.0, 1.0], [2, 1])
