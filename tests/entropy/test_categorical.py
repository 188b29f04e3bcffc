from __future__ import annotations

import constriction
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glc.entropy.categorical import TOTAL, Categorical
from glc.errors import WeightsError


def random_frequencies(size: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    picks = rng.integers(0, max(1, size // rng.integers(1, 9)), TOTAL - size)
    return 1 + np.bincount(picks, minlength=size)


def assert_exact(frequencies: np.ndarray, symbols: range) -> None:
    """The coder's state after one symbol shows the interval that the library gave to it."""
    model = Categorical(frequencies)
    cumulative = np.concatenate([[0], np.cumsum(frequencies)])
    scale = (2**64 - 1) >> 24
    for symbol in symbols:
        coder = constriction.stream.queue.RangeEncoder()
        coder.encode(np.array([symbol], dtype=np.int32), model.model)
        lower = scale * 256 * int(cumulative[symbol])
        width = scale * 256 * int(frequencies[symbol])
        if width < 2**32:
            lower, width = (lower << 32) % 2**64, width << 32
        assert coder.pos()[1] == (lower, width)


@settings(max_examples=30)
@given(size=st.integers(2, 600), seed=st.integers(0, 2**32 - 1))
def test_library_holds_the_frequencies_exactly(size: int, seed: int) -> None:
    assert_exact(random_frequencies(size, seed), range(size))


@pytest.mark.parametrize("size", [2, 4096, 65535, 65536])
def test_library_holds_large_alphabets_exactly(size: int) -> None:
    assert_exact(random_frequencies(size, 1), range(0, size, max(1, size // 50)))


@pytest.mark.parametrize("frequencies", [[1, 65535], [65535, 1], [1, 65534, 1]])
def test_library_holds_near_certainty_exactly(frequencies: list[int]) -> None:
    assert_exact(np.array(frequencies), range(len(frequencies)))


@pytest.mark.parametrize(
    ("frequencies", "message"),
    [
        ([], "found none"),
        ([65536, 0], "found 0"),
        ([65537, -1], "found -1"),
        ([65535], "found 65535"),
        ([32768, 32769], "found 65537"),
        ([2**31 - 1, 2**31 - 1, 65538], "found 4295032832"),
        ([0.5, 0.5], "integer"),
    ],
)
def test_broken_rules_are_refused(frequencies: list[float], message: str) -> None:
    array = np.array(frequencies, dtype=np.int64 if frequencies != [0.5, 0.5] else np.float64)
    with pytest.raises(WeightsError, match=message):
        Categorical(array, "row 7")
