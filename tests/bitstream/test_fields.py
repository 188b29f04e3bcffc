"""Varints and the cursor: one value has one spelling, and no claim outruns the data."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glc.bitstream.fields import VARINT_MAX, Cursor, encode_varint
from glc.errors import CorruptError, TruncatedError


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (0, "00"),
        (1, "01"),
        (127, "7f"),
        (128, "8001"),
        (511, "ff03"),
        (767, "ff05"),
        (16_383, "ff7f"),
        (16_384, "808001"),
        (2_097_151, "ffff7f"),
        (2_097_152, "80808001"),
        (268_435_455, "ffffff7f"),
    ],
)
def test_varint_golden(value: int, encoded: str) -> None:
    assert encode_varint(value).hex() == encoded
    assert Cursor(bytes.fromhex(encoded)).varint("n") == value


@given(st.integers(0, VARINT_MAX))
def test_varint_round_trip(value: int) -> None:
    encoded = encode_varint(value)
    cursor = Cursor(encoded)
    assert cursor.varint("n") == value
    assert cursor.offset == len(encoded)
    cursor.finish()


@pytest.mark.parametrize("value", [-1, VARINT_MAX + 1])
def test_varint_out_of_range_is_a_wrong_call(value: int) -> None:
    with pytest.raises(ValueError, match="varint"):
        encode_varint(value)


@pytest.mark.parametrize("encoded", ["8000", "ff00", "808000", "80808000"])
def test_varint_not_in_its_shortest_form(encoded: str) -> None:
    with pytest.raises(CorruptError, match="shortest form"):
        Cursor(bytes.fromhex(encoded)).varint("n")


@pytest.mark.parametrize("encoded", ["80808080", "8080808001", "ffffffffffffffffff"])
def test_varint_too_long(encoded: str) -> None:
    with pytest.raises(CorruptError, match="at most 4 bytes"):
        Cursor(bytes.fromhex(encoded)).varint("n")


@pytest.mark.parametrize("encoded", ["", "80", "ffff", "ffffff"])
def test_varint_cut_short(encoded: str) -> None:
    with pytest.raises(TruncatedError, match="n: expected 1 bytes"):
        Cursor(bytes.fromhex(encoded)).varint("n")


def test_take_reads_in_order_and_names_the_field_that_is_missing() -> None:
    cursor = Cursor(b"abcdef")
    assert cursor.take(2, "first") == b"ab"
    assert cursor.byte("second") == ord("c")
    assert cursor.take(0, "nothing") == b""
    with pytest.raises(TruncatedError, match="third: expected 4 bytes at offset 3, found 3"):
        cursor.take(4, "third")
    assert cursor.take(3, "fourth") == b"def"


def test_finish_refuses_what_is_left() -> None:
    cursor = Cursor(b"ab")
    cursor.byte("first")
    with pytest.raises(CorruptError, match="end of file: expected at offset 1, found 1 more"):
        cursor.finish()
