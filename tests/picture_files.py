"""Picture files that Pillow cannot write, byte by byte: TIFF of every layout, PNG of any chunks."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Mapping

import numpy as np

__all__ = ["icc", "jpeg_with", "png", "tiff"]


def _lzw(data: bytes) -> bytes:
    """LZW without a dictionary: a clear code before codes could grow beyond nine bits."""
    bits, count, out = 0, 0, bytearray()
    codes: list[int] = []
    for at in range(0, len(data), 250):
        codes += [256, *data[at : at + 250]]
    for code in [*codes, 257]:
        bits, count = bits << 9 | code, count + 9
        while count >= 8:
            out.append(bits >> (count - 8) & 255)
            count -= 8
    return bytes(out) + (bytes((bits << (8 - count) & 255,)) if count else b"")


def _packbits(data: bytes) -> bytes:
    pieces = (data[at : at + 128] for at in range(0, len(data), 128))
    return b"".join(bytes((len(piece) - 1,)) + piece for piece in pieces)


COMPRESSIONS = {
    "none": (1, bytes),
    "lzw": (5, _lzw),
    "deflate": (8, zlib.compress),
    "packbits": (32773, _packbits),
}


def tiff(
    values: np.ndarray,
    *,
    order: str = "<",
    planar: bool = False,
    photometric: int = 2,
    compression: str = "none",
    predictor: bool = False,
    rows: int | None = None,
    tile: tuple[int, int] | None = None,
    extra: tuple[int, ...] = (),
    big: bool = False,
    sample_format: int | None = None,
    tags: Mapping[int, tuple[int, bytes]] | None = None,
    first: bool = False,
) -> bytes:
    """Return a TIFF of (H, W, C) samples.

    Args:
        values: of an integer or float type, whose width is that of a sample.
        order: of bytes, < or >.
        planar: every sample has planes of its own.
        photometric: 0 white is zero, 1 black is zero, 2 RGB, 5 inks.
        compression: one of ``COMPRESSIONS``.
        predictor: differences along the rows.
        rows: of a strip; all by default.
        tile: height and width of tiles, instead of strips.
        extra: what samples beyond the colours are: 0 unknown, 1 premultiplied, 2 alpha.
        big: BigTIFF.
        sample_format: 1 unsigned, 2 signed, 3 float; by default what the type is.
        tags: more of them: type and content.
        first: the directory lies before the samples.
    """
    height, width, channels = values.shape
    kind = values.dtype.newbyteorder(order)
    step_y, step_x = tile or (rows or height, width)
    number, compress = COMPRESSIONS[compression]
    planes = [values[..., k : k + 1] for k in range(channels)] if planar else [values]
    pieces: list[bytes] = []
    for plane in planes:
        for top in range(0, height, step_y):
            for left in range(0, width, step_x):
                piece = plane[top : top + step_y, left : left + step_x]
                if tile:
                    missing = step_y - piece.shape[0], step_x - piece.shape[1]
                    piece = np.pad(piece, [(0, missing[0]), (0, missing[1]), (0, 0)], mode="edge")
                if predictor:
                    piece = np.diff(piece, axis=1, prepend=piece[:, :1] * 0)
                pieces.append(compress(piece.astype(kind).tobytes()))
    format_of = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    long = (16, "Q") if big else (4, "I")

    def numbers(kind: tuple[int, str], *found: int) -> tuple[int, bytes]:
        return kind[0], struct.pack(f"{order}{len(found)}{kind[1]}", *found)

    short = (3, "H")
    entries: dict[int, tuple[int, bytes]] = {
        256: numbers(short, width),
        257: numbers(short, height),
        258: numbers(short, *[8 * values.dtype.itemsize] * channels),
        259: numbers(short, number),
        262: numbers(short, photometric),
        277: numbers(short, channels),
        284: numbers(short, 2 if planar else 1),
        317: numbers(short, 2 if predictor else 1),
        339: numbers(short, *[sample_format or format_of] * channels),
        **({338: numbers(short, *extra)} if extra else {}),
        **(tags or {}),
    }
    lengths = [len(piece) for piece in pieces]
    sides = {322: numbers(short, step_x), 323: numbers(short, step_y)}
    entries |= sides if tile else {278: numbers(short, step_y)}
    places = (324, 325) if tile else (273, 279)
    entries |= {places[0]: numbers(long, *lengths), places[1]: numbers(long, *lengths)}
    body = b"".join(piece + bytes(len(piece) % 2) for piece in pieces)
    directory_at = 16 if first else 16 + len(body)
    at = 16 + len(_directory(entries, 0, order, big)) if first else 16
    offsets = [at + sum(n + n % 2 for n in lengths[:k]) for k in range(len(lengths))]
    directory = _directory(
        {**entries, places[0]: numbers(long, *offsets)}, directory_at, order, big
    )
    mark = b"II" if order == "<" else b"MM"
    header = mark + struct.pack(f"{order}HHHQ", 43, 8, 0, directory_at) if big else b""
    header = header or mark + struct.pack(f"{order}HI", 42, directory_at) + bytes(8)
    return header + (directory + body if first else body + directory)


SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 11: 4, 12: 8, 16: 8}


def _directory(entries: Mapping[int, tuple[int, bytes]], at: int, order: str, big: bool) -> bytes:
    entry, room, pointer = (20, 8, "Q") if big else (12, 4, "I")
    beyond = at + (8 if big else 2) + entry * len(entries) + room
    table, rest = b"", b""
    for tag, (kind, content) in sorted(entries.items()):
        count = len(content) // SIZES[kind]
        field = content.ljust(room, b"\0")
        if len(content) > room:
            field = struct.pack(order + pointer, beyond + len(rest))
            rest += content + bytes(len(content) % 2)
        table += struct.pack(f"{order}HH{pointer}", tag, kind, count) + field
    count = struct.pack(order + ("Q" if big else "H"), len(entries))
    return count + table + bytes(room) + rest


def png(
    values: np.ndarray,
    bits: int | None = None,
    chunks: Iterable[tuple[bytes, bytes]] = (),
    colour_type: int | None = None,
    end: bool = True,
) -> bytes:
    """Return a PNG.

    Args:
        values: (H, W, C), uint8 or uint16; values of less than eight bits fill uint8.
        bits: of a sample; by default those of the type.
        chunks: put between header and data, in this order.
        colour_type: by default the one of so many channels.
        end: with the chunk that says that nothing follows.
    """
    height, width, channels = values.shape
    bits = bits or 8 * values.dtype.itemsize
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels] if colour_type is None else colour_type
    rows = values.reshape(height, -1)
    if bits < 8:
        single = np.unpackbits(rows[..., None].astype(np.uint8), axis=2)[..., -bits:]
        packed = np.packbits(single.reshape(height, -1), axis=1)
    else:
        packed = rows.astype(">u2" if bits == 16 else np.uint8)
    lines = b"".join(b"\0" + row.tobytes() for row in packed)
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    found = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(lines))]
    found += [(b"IEND", b"")] if end else []
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))
        for tag, data in found
    )


def jpeg_with(jpeg: bytes, *segments: tuple[int, bytes], tail: bytes = b"") -> bytes:
    """Return a JPEG with segments (number of the APP marker, content) after its first two bytes."""
    inserted = b"".join(
        bytes((0xFF, 0xE0 + number)) + struct.pack(">H", len(content) + 2) + content
        for number, content in segments
    )
    return jpeg[:2] + inserted + jpeg[2:] + tail


def icc(
    name: str,
    primaries: Mapping[bytes, tuple[float, float, float]],
    curve: float | np.ndarray,
    space: bytes = b"RGB ",
) -> bytes:
    """Return a profile of curves and primaries.

    Args:
        name: its description.
        primaries: XYZ under D50 of rXYZ, gXYZ, bXYZ.
        curve: a power, or a table in 0 .. 1.
        space: of the pixels, "RGB " or "GRAY".
    """

    def xyz(values: Iterable[float]) -> bytes:
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(65536 * value) for value in values))

    text = b"desc\0\0\0\0" + struct.pack(">I", len(name) + 1) + name.encode() + b"\0" + bytes(78)
    if isinstance(curve, np.ndarray):
        table = np.rint(curve * 65535).astype(">u2").tobytes()
        trc = b"curv\0\0\0\0" + struct.pack(">I", len(curve)) + table
    else:
        trc = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(256 * curve))
    white = 0.9642, 1.0, 0.8249
    tags = {b"desc": text, b"wtpt": xyz(white)}
    if space == b"GRAY":
        tags[b"kTRC"] = trc
    else:
        tags |= {tag: xyz(found) for tag, found in primaries.items()}
        tags |= {b"rTRC": trc, b"gTRC": trc, b"bTRC": trc}
    table, body, at = b"", b"", 128 + 4 + 12 * len(tags)
    for tag, data in tags.items():
        table += tag + struct.pack(">II", at + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(">II", at + len(body), 0) + b"\x02\x40\0\0mntr" + space + b"XYZ "
    header += bytes(12) + b"acsp" + bytes(28) + xyz(white)[8:]
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body
