"""The two field kinds of a .glc file, variable-length integers and runs of bytes.

Knows nothing of what the fields mean.
"""

from __future__ import annotations

from glc.errors import CorruptError, TruncatedError

__all__ = ["VARINT_MAX", "Cursor", "encode_varint"]

VARINT_MAX_BYTES = 4
VARINT_MAX = (1 << (7 * VARINT_MAX_BYTES)) - 1
"""The largest integer that a file can hold: 268,435,455."""


def encode_varint(value: int) -> bytes:
    """Return the shortest unsigned LEB128 form of an integer.

    Args:
        value: 0 to ``VARINT_MAX``.

    Returns:
        1 to 4 bytes, seven bits each, the lowest first; bit 7 is set on all but the last.

    Raises:
        ValueError: the value is out of range.
    """
    if not 0 <= value <= VARINT_MAX:
        raise ValueError(f"varint: expected 0 to {VARINT_MAX}, found {value}")
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


class Cursor:
    """Reads fields from the front of a file that is already in memory.

    A length is compared with what is left before anything is copied, so that no claim of the file
    can make a reader allocate more than the file itself.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._offset = 0

    def beginning(self, length: int) -> bytes:
        """Return the first bytes of the file, however far it has been read."""
        return self._data[:length]

    @property
    def offset(self) -> int:
        """The number of bytes read so far."""
        return self._offset

    def take(self, length: int, field: str) -> bytes:
        """Return the next ``length`` bytes; ``field`` names them in the error.

        Raises:
            TruncatedError: fewer bytes are left.
        """
        left = len(self._data) - self._offset
        if length > left:
            raise TruncatedError(
                f"{field}: expected {length} bytes at offset {self._offset}, found {left}; "
                "the file is incomplete, copy or download it again"
            )
        taken = self._data[self._offset : self._offset + length]
        self._offset += length
        return taken

    def byte(self, field: str) -> int:
        """Return the next byte as an integer, 0 to 255.

        Raises:
            TruncatedError: no byte is left.
        """
        return self.take(1, field)[0]

    def varint(self, field: str) -> int:
        """Return the next variable-length integer, 0 to ``VARINT_MAX``.

        Raises:
            TruncatedError: the file ends inside it.
            CorruptError: it is longer than 4 bytes or not in its shortest form.
        """
        value = 0
        for position in range(VARINT_MAX_BYTES):
            byte = self.byte(field)
            value |= (byte & 0x7F) << (7 * position)
            if byte < 0x80:
                # One value, one spelling: otherwise equal files could differ in their bytes.
                if byte == 0 and position > 0:
                    raise CorruptError(
                        f"{field}: expected the shortest form of {value}, found {position + 1} "
                        "bytes; the file is damaged"
                    )
                return value
        raise CorruptError(
            f"{field}: expected at most {VARINT_MAX_BYTES} bytes, found more; the file is damaged"
        )

    def finish(self) -> None:
        """Check that the file ends here.

        Raises:
            CorruptError: bytes are left over.
        """
        left = len(self._data) - self._offset
        if left:
            raise CorruptError(
                f"end of file: expected at offset {self._offset}, found {left} more bytes; "
                "the file is damaged or something was appended to it"
            )
