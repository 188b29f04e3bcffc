"""Where coded pictures are kept: an archive, a folder of .glc files, Parquet; all read alike.

A store gives complete .glc files by number and does not decode them. It opens its files when they
are first read, so that it can be sent to another process.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from glc.dataset.filesystem import needs_extra

if TYPE_CHECKING:
    import pyarrow

__all__ = ["FolderStore", "JoinedStore", "ParquetStore", "Source", "Store", "open_store"]

_ARCHIVE = ".glca"
_FILE = ".glc"
_PARQUET = ".parquet"


class Store(Protocol):
    """What a reader needs; ``glc.dataset.Archive`` has it, too."""

    def __len__(self) -> int: ...

    def key(self, index: int) -> str:
        """Return the name of a file, 0 being the first."""

    def read(self, index: int) -> bytes:
        """Return a complete .glc file."""


Source: TypeAlias = Store | str | os.PathLike[str] | Sequence[Store | str | os.PathLike[str]]


def open_store(source: Source) -> Store:
    """Open what holds coded pictures.

    Args:
        source: a ``.glca`` archive, a ``.parquet`` file, a folder of either ``.glc`` or
            ``.parquet`` files (searched to the bottom), a store, or several of these.

    Raises:
        FileNotFoundError: no such file, or a folder that holds nothing of this kind.
        ValueError: a file of another kind, or an empty list.
    """
    if isinstance(source, (list, tuple)):
        return JoinedStore([open_store(part) for part in source])
    if not isinstance(source, (str, os.PathLike)):
        # A store, or a wrong call that fails where it is first used.
        return source  # type: ignore[return-value]
    path = Path(source)
    if path.is_dir():
        return _open_folder(path)
    if not path.exists():
        raise FileNotFoundError(f"no such file or folder: {path}")
    if path.suffix == _ARCHIVE:
        from glc.archive.reader import Archive

        return Archive(path)
    if path.suffix == _PARQUET:
        return ParquetStore(path)
    raise ValueError(f"{path}: expected a folder, or a file {_ARCHIVE} or {_PARQUET}")


def _open_folder(path: Path) -> Store:
    if any(path.rglob(f"*{_FILE}")):
        return FolderStore(path)
    if any(path.rglob(f"*{_PARQUET}")):
        return ParquetStore(path)
    raise FileNotFoundError(f"{path}: holds neither {_FILE} nor {_PARQUET} files")


class FolderStore:
    """All .glc files of a folder and of those below it; keys are paths without the suffix."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        found = (path.relative_to(self.folder) for path in self.folder.rglob(f"*{_FILE}"))
        self._keys = sorted(path.with_suffix("").as_posix() for path in found)

    def __len__(self) -> int:
        return len(self._keys)

    def key(self, index: int) -> str:
        return self._keys[index]

    def read(self, index: int) -> bytes:
        return (self.folder / f"{self._keys[index]}{_FILE}").read_bytes()


class ParquetStore:
    """Rows of a Parquet file, or of all below a folder; held in memory once they are read.

    Rows without a picture (an empty ``glc``, as a failed encoding leaves it) are left out.

    Args:
        path: file or folder.
        column: holds the .glc files.
        key_column: names them; absent, they are numbered.
    """

    def __init__(
        self, path: str | os.PathLike[str], column: str = "glc", key_column: str = "key"
    ) -> None:
        self.path, self.column, self.key_column = Path(path), column, key_column
        self._table: pyarrow.Table | None = None

    def __len__(self) -> int:
        return int(self._rows().num_rows)

    def key(self, index: int) -> str:
        rows = self._rows()
        if self.key_column not in rows.column_names:
            return str(index)
        return str(rows.column(self.key_column)[index].as_py())

    def read(self, index: int) -> bytes:
        value: bytes = self._rows().column(self.column)[index].as_py()
        return value

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_table": None}

    def _rows(self) -> pyarrow.Table:
        if self._table is None:
            self._table = self._load()
        return self._table

    def _load(self) -> pyarrow.Table:
        try:
            import pyarrow.compute
            import pyarrow.parquet
        except ModuleNotFoundError as error:
            raise needs_extra(error, str(self.path)) from error
        names = pyarrow.parquet.ParquetDataset(self.path).schema.names
        if self.column not in names:
            raise ValueError(f"{self.path}: expected a column {self.column!r}, found {names}")
        wanted = [name for name in (self.column, self.key_column) if name in names]
        table = pyarrow.parquet.read_table(self.path, columns=wanted)
        lengths = pyarrow.compute.binary_length(table.column(self.column))
        return table.filter(pyarrow.compute.greater(lengths, 0))


class JoinedStore:
    """Several stores, one after the other; keys may repeat.

    Raises:
        ValueError: not even one store.
    """

    def __init__(self, parts: Sequence[Store]) -> None:
        if not parts:
            raise ValueError("source: expected at least one archive or folder, found none")
        self.parts = list(parts)
        self._ends = list(accumulate(len(part) for part in self.parts))

    def __len__(self) -> int:
        return self._ends[-1]

    def key(self, index: int) -> str:
        part, inside = self._find(index)
        return part.key(inside)

    def read(self, index: int) -> bytes:
        part, inside = self._find(index)
        return part.read(inside)

    def _find(self, index: int) -> tuple[Store, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"index: expected 0 to {len(self) - 1}, found {index}")
        number = bisect_right(self._ends, index)
        part = self.parts[number]
        return part, index - (self._ends[number] - len(part))
