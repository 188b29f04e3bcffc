"""Reads the records of an archive one after the other, with or without an index behind them.

Knows nothing of how an archive is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from glc.archive.entry import Picture
from glc.archive.format import (
    HEADER_BYTES,
    INDEX_MARK,
    TRAILER_BYTES,
    Group,
    decode_index,
    index_offset,
)
from glc.archive.random_access import RandomAccess
from glc.archive.records import Sequence, picture_of
from glc.errors import BitstreamError, CorruptError, TruncatedError

__all__ = ["add_key", "decode_key", "read_index", "recover", "resume", "scan"]

_SCAN_BYTES = 1 << 20


def scan(
    read: Callable[[int, int], bytes], end: int, sequence: Sequence, keys: dict[str, int]
) -> Iterator[Picture]:
    """Read records from the first one on, checking every rule that concerns them.

    Args:
        read: returns the bytes at an offset of the archive, given how many.
        end: where the records end, or the file.
        sequence: empty; advanced with every record.
        keys: empty; gets the number of every key.

    Raises:
        TruncatedError: the last record is incomplete.
        CorruptError: a rule is broken; the records before still hold.
    """
    data, start, at = b"", HEADER_BYTES, HEADER_BYTES
    while at < end:
        try:
            record = sequence.parse(data, at - start)
        except TruncatedError:
            if start + len(data) >= end:
                raise
            # Twice what was not enough, so that a false length costs no more than the file has.
            wanted = min(max(_SCAN_BYTES, 2 * (start + len(data) - at)), end - at)
            data, start = read(at, wanted), at
            if len(data) < wanted:
                raise
            continue
        size = record.new_size or sequence.size_of(record.size_number)
        add_key(record.key, keys)
        sequence.advance(data[at - start : record.end], record.flags, len(record.key), size)
        at = start + record.end
        yield picture_of(data, record, size)


def decode_key(data: bytes) -> str:
    """Return the key that these bytes spell.

    Raises:
        CorruptError: they are no UTF-8.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CorruptError(f"key: {data[:40]!r} is not UTF-8; damaged archive") from error


def add_key(data: bytes, numbers: dict[str, int]) -> None:
    """Give a key the next number.

    Raises:
        CorruptError: it is not UTF-8, or has a number already.
    """
    key = decode_key(data)
    if key in numbers:
        raise CorruptError(f"key: {key[:40]!r} occurs twice; damaged archive")
    numbers[key] = len(numbers)


def read_index(file: RandomAccess) -> list[Group] | None:
    """Return the groups of an archive; None if it has no valid index."""
    offset = _index_offset(file)
    if offset is None:
        return None
    try:
        return decode_index(file.read(offset, file.size - offset), offset)
    except CorruptError:
        return None


def recover(file: RandomAccess) -> tuple[Sequence, dict[str, int], BitstreamError | None]:
    """Scan an archive up to where it ends or makes no sense, whatever its index says.

    Returns:
        Its records, their keys, and what is wrong with what follows; None if nothing follows.
    """
    sequence = Sequence()
    keys: dict[str, int] = {}
    try:
        for _ in scan(file.read, file.size, sequence, keys):
            pass
    except BitstreamError as error:
        return sequence, keys, error
    return sequence, keys, None


def resume(file: RandomAccess) -> tuple[Sequence, dict[str, int]]:
    """Return the records and keys of an archive that is about to be appended to.

    Raises:
        BitstreamError: it is damaged somewhere before its end, so that appending would destroy
            what lies behind.
    """
    groups = read_index(file)
    sequence, keys, error = recover(file)
    if groups is not None:
        if groups != sequence.groups:
            raise error or CorruptError("index: it does not fit the records; damaged archive")
        return sequence, keys
    # What may be left over is a record that was interrupted, or an index that was.
    end = HEADER_BYTES + sequence.length
    is_cut = isinstance(error, TruncatedError) or file.read(end, 1) == INDEX_MARK
    if error is not None and not (is_cut and _index_offset(file) in (None, end)):
        raise error
    return sequence, keys


def _index_offset(file: RandomAccess) -> int | None:
    trailer = file.read(max(file.size - TRAILER_BYTES, 0), TRAILER_BYTES)
    return index_offset(trailer, file.size)
