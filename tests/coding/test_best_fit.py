"""The search for the highest quality that fits, among the files of one model or of two."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glc.coding.assembly import best_fit

START = 78


def coded(quality: int, size: int) -> bytes:
    return bytes([quality]) * size


def searched(sizes: list[int], max_bytes: int, starts: tuple[int, ...]) -> tuple[int, list[int]]:
    """Return the quality that is found, and all that were tried."""
    tried: list[int] = []

    def code(quality: int) -> bytes:
        assert quality not in tried
        tried.append(quality)
        return coded(quality, sizes[quality])

    return best_fit(code, max_bytes, starts)[0], tried


@given(st.lists(st.integers(1, 40), min_size=101, max_size=101), st.integers(1, 4100))
def test_of_one_model_it_is_the_highest(steps, max_bytes):
    sizes = [sum(steps[: quality + 1]) for quality in range(101)]
    fitting = [quality for quality in range(101) if sizes[quality] <= max_bytes]
    if not fitting:
        with pytest.raises(ValueError, match=f"has {sizes[0]} bytes, more than {max_bytes}"):
            searched(sizes, max_bytes, (0,))
        return
    found, tried = searched(sizes, max_bytes, (0,))
    assert found == max(fitting)
    assert len(tried) <= 7


@given(
    st.lists(st.integers(1, 40), min_size=101, max_size=101),
    st.integers(0, START),
    st.integers(1, 5000),
)
def test_of_two_it_is_the_highest_even_where_their_files_overlap(steps, overlap, max_bytes):
    sizes = [sum(steps[: quality + 1]) for quality in range(101)]
    # The second model begins with files as small as those of some qualities before.
    excess = sizes[START] - sizes[START - overlap]
    sizes = [size - excess * (quality >= START) for quality, size in enumerate(sizes)]
    fitting = [quality for quality in range(101) if sizes[quality] <= max_bytes]
    if not fitting:
        with pytest.raises(ValueError, match="allow more"):
            searched(sizes, max_bytes, (0, START))
        return
    found, tried = searched(sizes, max_bytes, (0, START))
    assert found == max(fitting)
    assert len(tried) <= 8


def test_three_models():
    sizes = [10 * quality + 1 for quality in range(101)]
    for limit in range(1, 1002, 10):
        assert searched(sizes, limit, (0, 40, 80))[0] == (limit - 1) // 10
