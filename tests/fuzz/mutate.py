"""Changes to bytes, to the fields of a .glc file, and to JSON; every choice comes from ``rng``.

The writer here writes what ``glc.bitstream.pack`` refuses: wrong lengths, tags twice, long varints.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

from glc.bitstream import Limits, unpack
from glc.errors import GlcError

SIDES = (1, 2, 15, 16, 17, 63, 64, 65, 127, 128, 129, 300, 511, 2048)
GIANT_SIDES = (16_383, 16_384, 16_385, 60_000, 65_535, 65_536, 1 << 21, 1 << 28)
_BYTES = (0, 1, 2, 0x2F, 0x41, 0x67, 0x7F, 0x80, 0xC1, 0xC2, 0xFE, 0xFF)
_NUMBERS = (-1, 0, 1, 2, 3, 4, 5, 16, 127, 128, 1000, 65_535, 65_536, 1 << 24, 1 << 31, 1 << 53,
            1 << 63, 1 << 64, 0.5, 1e308)  # fmt: skip
_WORDS = ("", "F16", "F32", "F64", "BF16", "F8_E4M3", "I8", "I32", "I64", "U8", "U64", "BOOL",
          "\x1b[2J", "../../etc/passwd", "http://127.0.0.1/x", "é" * 40)  # fmt: skip
_WIDE = Limits(max_pixels=1 << 56, max_side=1 << 28, max_chunk_bytes=1 << 28)


def mutate_bytes(data: bytes, rng: Random) -> bytes:
    """Flip, set, insert, remove, repeat or cut, one to four times."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(changed) + 1)
        length = min(rng.choice((1, 1, 1, 2, 4, 16)), len(changed) - at)
        kind = rng.randrange(7)
        if kind == 0 and at < len(changed):
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and at < len(changed):
            changed[at] = rng.choice(_BYTES)
        elif kind == 2:
            changed[at:at] = bytes([rng.choice(_BYTES)]) * rng.choice((1, 1, 2, 4, 60))
        elif kind == 3:
            del changed[at : at + length]
        elif kind == 4:
            changed[at:at] = changed[at : at + length]
        elif kind == 5:
            changed[at : at + length] = rng.randbytes(length)
        elif rng.random() < 0.3:
            del changed[at:]
    return bytes(changed)


@dataclass
class Fields:
    """A .glc file taken apart; None for a length or count means the right one."""

    model: bytes
    flags: int
    width: int
    height: int
    payload: bytes
    chunks: list[tuple[int, int | None, bytes]] = field(default_factory=list)
    checksum: bytes = bytes(4)
    payload_length: int | None = None
    count: int | None = None
    long_varints: bool = False
    version: int = 2

    def spell(self) -> bytes:
        """Return the file."""
        parts = [bytes((0x67, 0xC0 | self.version)), self.model, bytes([self.flags])]
        lengths = (self.width - 1, self.height - 1)
        parts += [self._varint(length) for length in lengths]
        given = self.payload_length
        parts += [self._varint(len(self.payload) if given is None else given), self.payload]
        if self.flags & 0x80:
            parts.append(self._varint(len(self.chunks) if self.count is None else self.count))
            for tag, length, data in self.chunks:
                parts += [bytes([tag]), self._varint(len(data) if length is None else length), data]
        return b"".join([*parts, self.checksum])

    def _varint(self, value: int) -> bytes:
        value = max(value, 0)
        spelled = bytearray()
        while value > 0x7F:
            spelled.append(value & 0x7F | 0x80)
            value >>= 7
        spelled.append(value)
        if self.long_varints:
            spelled[-1] |= 0x80
            spelled.append(0)
        return bytes(spelled)


def take_apart(data: bytes) -> Fields | None:
    """Return the fields of a file; None if it is none."""
    try:
        container = unpack(data, _WIDE)
    except GlcError:
        return None
    chunks = [(ord(chunk.tag), None, chunk.data) for chunk in container.chunks]
    flags = container.quality | (0x80 if chunks else 0)
    checksum = container.checksum.to_bytes(4, "little")
    return Fields(
        container.model, flags, container.width, container.height, container.payload, [*chunks],
        checksum, version=container.version,
    )  # fmt: skip


def mutate_file(data: bytes, rng: Random) -> bytes:
    """Change bytes, or fields of a .glc file whose lengths are then right again, or nearly."""
    fields = take_apart(data)
    if fields is None or rng.random() < 0.25:
        return mutate_bytes(data, rng)
    for _ in range(rng.randint(1, 3)):
        _change(fields, rng)
    spelled = fields.spell()
    return mutate_bytes(spelled, rng) if rng.random() < 0.1 else spelled


def mutate_content(data: bytes, rng: Random) -> bytes:
    """Change size, quality, payload or chunks of a .glc file that unpacks afterwards as well."""
    fields = take_apart(data)
    if fields is None:
        return mutate_bytes(data, rng)
    for _ in range(rng.randint(1, 3)):
        kind = rng.randrange(8)
        if kind == 0:
            fields.width = rng.choice(SIDES)
        elif kind == 1:
            fields.height = rng.choice(SIDES)
        elif kind == 2:
            fields.flags = fields.flags & 0x80 | rng.randint(0, 100)
        elif kind < 6 or not fields.chunks:
            fields.payload = _payload(fields.payload, rng)
        else:
            at = rng.randrange(len(fields.chunks))
            tag, _, content = fields.chunks[at]
            changed = mutate_bytes(content, rng) if rng.random() < 0.8 else _chunk_data(rng)
            fields.chunks[at] = (tag, None, b"" if tag == ord("g") else changed)
    return fields.spell()


def _change(fields: Fields, rng: Random) -> None:
    kind = rng.randrange(11)
    if kind == 0:
        fields.width = rng.choice(SIDES + GIANT_SIDES)
    elif kind == 1:
        fields.height = rng.choice(SIDES + GIANT_SIDES)
    elif kind == 2:
        fields.flags = fields.flags & 0x80 | rng.choice((0, 1, 24, 25, 49, 50, 99, 100, 101, 127))
    elif kind in (3, 4):
        fields.payload = _payload(fields.payload, rng)
    elif kind in (5, 6):
        _change_chunks(fields, rng)
    elif kind == 7:
        fields.checksum = rng.choice((rng.randbytes(4), bytes(4), fields.checksum[::-1]))
    elif kind == 8:
        length = len(fields.payload)
        fields.payload_length = rng.choice((None, 0, length - 1, length + 1, (1 << 28) - 1))
        fields.long_varints = rng.random() < 0.1
    elif kind == 9:
        fields.version = rng.choice((1, 2, 1, 2, 0, 3, 15))
    else:
        fields.model = rng.choice((fields.model, rng.randbytes(3)))


def _payload(payload: bytes, rng: Random) -> bytes:
    kind = rng.randrange(6)
    if kind == 0:
        return b""
    if kind == 1:
        return rng.randbytes(rng.choice((1, 3, 4, 7, 8, 9, 100, 1000)))
    if kind == 2:
        return rng.choice((b"\0", b"\xff", b"\x80")) * rng.randint(1, 300)
    if kind == 3:
        return payload + rng.randbytes(rng.randint(1, 16))
    return mutate_bytes(payload, rng)


def _change_chunks(fields: Fields, rng: Random) -> None:
    fields.flags |= 0x80
    chunks = fields.chunks
    kind = rng.randrange(7)
    if kind == 0 or not chunks:
        tag = ord(rng.choice("AgiexzqBZ@ "))
        chunks.insert(rng.randint(0, len(chunks)), (tag, None, _chunk_data(rng)))
    elif kind == 1:
        chunks.append(rng.choice(chunks))
    elif kind == 2:
        del chunks[rng.randrange(len(chunks))]
    elif kind == 3:
        rng.shuffle(chunks)
    elif kind == 4:
        fields.count = rng.choice((None, 0, 1, 52, 53, 1 << 20, (1 << 28) - 1))
    else:
        at = rng.randrange(len(chunks))
        tag, _, data = chunks[at]
        length = rng.choice((None, None, None, len(data) + 1, len(data) - 1, (1 << 28) - 1))
        chunks[at] = (tag, length, mutate_bytes(data, rng) if data else _chunk_data(rng))


def _chunk_data(rng: Random) -> bytes:
    return rng.choice(
        (
            b"",
            b"\x00\x80",
            b"\x01\x2f",
            b"\x02",
            b"II*\0\x08\0\0\0",
            b"<x:xmpmeta href='file:///etc/passwd'/>",
            b"../../../etc/passwd\0",
            rng.randbytes(rng.choice((1, 2, 40, 400))),
        )
    )


def mutate_json(value: Any, rng: Random) -> Any:
    """Return a JSON value with one entry changed, removed, added or moved, somewhere inside."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        changed = dict(value)
        key = rng.choice([*changed])
        kind = rng.randrange(8)
        if kind == 0:
            del changed[key]
        elif kind == 1:
            changed[rng.choice(_WORDS)] = changed[key]
        elif kind == 2:
            other = rng.choice([*changed])
            changed[key], changed[other] = changed[other], changed[key]
        else:
            changed[key] = mutate_json(changed[key], rng)
        return changed
    if isinstance(value, list) and value and rng.random() < 0.8:
        changed_list = list(value)
        at = rng.randrange(len(value))
        kind = rng.randrange(6)
        if kind == 0:
            del changed_list[at]
        elif kind == 1:
            changed_list[at:at] = changed_list * rng.choice((1, 1, 30))
        else:
            changed_list[at] = mutate_json(changed_list[at], rng)
        return changed_list
    if isinstance(value, int) and rng.random() < 0.4:
        return value + rng.choice((-4, -1, 1, 4, 64, 1 << 20))
    return rng.choice((None, True, [], {}, [[]], rng.choice(_NUMBERS), rng.choice(_WORDS)))
