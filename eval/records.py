"""What was measured of one picture with one codec at one quality, and the CSV that holds it.

The CSV grows by a line as soon as a picture is finished, which is what makes a run resumable.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

FIXED = (
    "codec",
    "version",
    "quality",
    "picture",
    "digest",
    "width",
    "height",
    "size_bytes",
    "bpp",
    "encode_s",
    "decode_s",
)


@dataclass(frozen=True)
class Record:
    """One line: a picture, a codec, a quality. `values` has one figure per metric column.

    A column that is absent from `values` was not measured; a NaN does not apply to this picture.
    """

    codec: str
    version: str
    quality: float
    picture: str
    digest: str
    width: int
    height: int
    size_bytes: int
    encode_s: float
    decode_s: float
    values: dict[str, float] = field(default_factory=dict)

    @property
    def bpp(self) -> float:
        """Bits of the file per pixel of the original picture."""
        return 8 * self.size_bytes / (self.width * self.height)

    @property
    def key(self) -> tuple[str, str, float, str, str]:
        """What makes a result the same one: codec, version, quality, picture, digest."""
        return self.codec, self.version, self.quality, self.picture, self.digest

    def to_row(self, columns: Sequence[str]) -> list[str]:
        """Return the CSV fields: FIXED, then `columns`, blank where one was not measured."""
        fixed = {name: getattr(self, name) for name in FIXED}
        fixed |= {
            "quality": f"{self.quality:g}",
            "bpp": f"{self.bpp:.6f}",
            "encode_s": f"{self.encode_s:.4f}",
            "decode_s": f"{self.decode_s:.4f}",
        }
        measured = [f"{self.values[c]:.6g}" if c in self.values else "" for c in columns]
        return [str(fixed[name]) for name in FIXED] + measured

    @classmethod
    def from_row(cls, row: dict[str, str]) -> Record:
        """Read `row`, one line of the CSV by column; blank fields were not measured.

        Raises:
            KeyError, ValueError: the line is damaged.
        """
        return cls(
            codec=row["codec"],
            version=row["version"],
            quality=float(row["quality"]),
            picture=row["picture"],
            digest=row["digest"],
            width=int(row["width"]),
            height=int(row["height"]),
            size_bytes=int(row["size_bytes"]),
            encode_s=float(row["encode_s"]),
            decode_s=float(row["decode_s"]),
            values={k: float(v) for k, v in row.items() if k and k not in FIXED and v},
        )


def read(path: Path) -> list[Record]:
    """Return the records of the CSV at `path`, none when it does not exist.

    Lines that were torn, as the last one is when a run was killed, are left out.
    """
    if not path.exists():
        return []
    found: list[Record] = []
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            try:
                found.append(Record.from_row(row))
            except (KeyError, TypeError, ValueError):
                continue  # the run was ended while it wrote this line
    return found


class Journal:
    """The CSV of a run, opened for appending."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        """Write the file at `path` anew with its records, so that the header fits `columns`."""
        earlier = read(path)
        known = [c for r in earlier for c in r.values]
        self.columns = tuple(dict.fromkeys([*columns, *known]))
        fresh = path.with_suffix(".csv.part")
        with fresh.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([*FIXED, *self.columns])
            writer.writerows(r.to_row(self.columns) for r in earlier)
        fresh.replace(path)
        self._path = path

    def append(self, records: Iterable[Record]) -> None:
        """Add a line for each of `records` and hand them to the operating system."""
        with self._path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(r.to_row(self.columns) for r in records)


def mean(values: Iterable[float]) -> float:
    """Return the mean of the values that are numbers; NaN when there are none."""
    numbers = [v for v in values if not math.isnan(v)]
    return sum(numbers) / len(numbers) if numbers else math.nan
