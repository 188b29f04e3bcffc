"""Parquet: pictures out of a column, and .glc files into one. Needs pyarrow.

Knows nothing of how a picture is coded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from glc.archive.entry import ANY_SIZE
from glc.bitstream import unpack
from glc.dataset.filesystem import Files, needs_extra
from glc.dataset.keys import key_of

if TYPE_CHECKING:
    import pyarrow

__all__ = ["Row", "load_pyarrow", "read_pictures", "read_rows", "write_rows"]

_READ_ROWS = 64
_WRITE_ROWS = 1024
_KEYS = ("key", "__key__")


class Row(NamedTuple):
    """One picture of a dataset, coded or failed."""

    key: str
    data: bytes | None
    """The .glc file."""
    error: str | None


def read_pictures(files: Files, path: str) -> Iterator[tuple[str, bytes | None]]:
    """Yield key and bytes of every picture in a Parquet file.

    The column is the one named ``image``, else the first that can hold pictures: binary, or as
    Hugging Face has it a struct of ``bytes`` and ``path``. The key is that of a column ``key`` or
    ``__key__``, else the path without its suffix, else the number of the row in eight digits.

    Raises:
        ValueError: not a Parquet file, or none of its columns holds pictures.
        ModuleNotFoundError: pyarrow is not installed.
    """
    arrow, parquet = load_pyarrow(path)
    with files.open(path, "rb") as stream:
        try:
            table = parquet.ParquetFile(stream)
        except arrow.ArrowException as error:
            raise ValueError(f"not a Parquet file: {error}") from error
        schema = table.schema_arrow
        column = _picture_column(arrow, schema)
        names = [name for name in _KEYS if name in schema.names][:1]
        number = 0
        for batch in table.iter_batches(_READ_ROWS, columns=[*names, column]):
            keys = batch.column(names[0]).to_pylist() if names else [None] * len(batch)
            for key, value in zip(keys, batch.column(column).to_pylist(), strict=True):
                data, inside = value, None
                if isinstance(value, dict):
                    data, inside = value.get("bytes"), value.get("path")
                path_key = key_of(str(inside).replace("\\", "/")) if inside else f"{number:08d}"
                yield str(path_key if key is None else key), data
                number += 1


def read_rows(path: str) -> Iterator[Row]:
    """Yield what ``write_rows`` wrote."""
    _, parquet = load_pyarrow(path)
    with parquet.ParquetFile(path) as table:
        for batch in table.iter_batches(_WRITE_ROWS, columns=["key", "glc", "error"]):
            columns = (batch.column(name).to_pylist() for name in ("key", "glc", "error"))
            yield from map(Row, *columns)


def write_rows(path: str, rows: Iterable[Row], identity: bytes) -> None:
    """Write a Parquet file; equal rows give equal bytes with one version of pyarrow.

    Columns: ``glc`` binary, ``width`` and ``height`` int32, ``bpp`` float, ``key`` and ``error``
    string. A failed picture has an error and nothing else but its key. The file's metadata
    holds the identity of the model, ``glc.identity``, in hexadecimal.
    """
    arrow, parquet = load_pyarrow(path)
    schema = arrow.schema(
        [
            ("glc", arrow.binary()),
            ("width", arrow.int32()),
            ("height", arrow.int32()),
            ("bpp", arrow.float32()),
            ("key", arrow.string()),
            ("error", arrow.string()),
        ],
        metadata={"glc.identity": identity.hex()},
    )
    # What is coded does not get smaller; the other columns do.
    options = {"use_dictionary": ["error"], "compression": {"glc": "NONE"}}
    with parquet.ParquetWriter(path, schema, **options) as writer:
        pending: list[dict[str, Any]] = []
        for row in rows:
            pending.append(_columns(row))
            if len(pending) == _WRITE_ROWS:
                writer.write_table(arrow.Table.from_pylist(pending, schema))
                pending = []
        if pending:
            writer.write_table(arrow.Table.from_pylist(pending, schema))


def _columns(row: Row) -> dict[str, Any]:
    columns: dict[str, Any] = {"key": row.key, "glc": row.data, "error": row.error}
    if row.data is not None:
        container = unpack(row.data, ANY_SIZE)
        columns["width"], columns["height"] = container.width, container.height
        columns["bpp"] = 8 * len(row.data) / (container.width * container.height)
    return columns


def _picture_column(arrow: Any, schema: pyarrow.Schema) -> str:
    def holds_pictures(kind: pyarrow.DataType) -> bool:
        if arrow.types.is_struct(kind):
            return any(field.name == "bytes" and holds_pictures(field.type) for field in kind)
        return bool(arrow.types.is_binary(kind) or arrow.types.is_large_binary(kind))

    fitting = [field.name for field in schema if holds_pictures(field.type)]
    if not fitting:
        raise ValueError("no column of binary, or of struct with a field bytes, holds pictures")
    return "image" if "image" in fitting else fitting[0]


def load_pyarrow(path: str) -> tuple[Any, Any]:
    """Return the modules pyarrow and pyarrow.parquet.

    Raises:
        ModuleNotFoundError: they are not installed; ``path`` is what they are needed for.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise needs_extra(error, path) from error
    return pyarrow, pyarrow.parquet
