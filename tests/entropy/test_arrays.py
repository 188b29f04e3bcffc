from __future__ import annotations

import numpy as np
import pytest

from glc.entropy.arrays import checksum, entries, frozen_int32, message_integers
from glc.errors import WeightsError


@pytest.mark.parametrize(
    "bad",
    [[1, 2], np.ones(3), np.ones(3, bool), np.ones((1, 3), int), np.array([2**31])],
    ids=["list", "float", "bool", "rank", "beyond 32 bits"],
)
def test_malformed_array_is_refused(bad: object) -> None:
    with pytest.raises(WeightsError, match="table"):
        frozen_int32(bad, "table", ndim=1)


def test_copy_is_read_only_and_apart_from_its_source() -> None:
    source = np.array([1, 2, 3], dtype=np.int64)
    copy = frozen_int32(source, "table", ndim=1)
    source[0] = 9
    assert copy.tolist() == [1, 2, 3]
    assert copy.dtype == np.int32
    with pytest.raises(ValueError, match="read-only"):
        copy[0] = 9


@pytest.mark.parametrize("names", [("a",), ("a", "b", "c")])
def test_missing_and_unknown_entries_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(WeightsError, match="expected the arrays"):
        entries({"a": np.ones(1), "b": np.ones(1)}, names)


def test_message_must_be_a_vector_of_integers() -> None:
    with pytest.raises(TypeError, match="symbols: expected an integer"):
        message_integers(np.ones(2), "symbols")
    with pytest.raises(TypeError, match="found list"):
        message_integers([1], "symbols")
    with pytest.raises(ValueError, match="one dimension"):
        message_integers(np.ones((1, 2), int), "symbols")


def test_checksum_is_stable_and_sees_values_shapes_and_order() -> None:
    one = np.array([[1, -2], [3, 70000]], dtype=np.int32)
    assert checksum(one) == 0xC0468C47
    seen = {checksum(one), checksum(one.reshape(4)), checksum(one, one), checksum(one + 1)}
    assert len(seen) == 4
    assert checksum(np.asfortranarray(one)) == checksum(one)
