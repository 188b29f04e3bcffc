"""What several commands do with .glca archives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from codec_cli.support import codecs
from codec_cli.support.report import one_line
from glc.archive.reader import Archive
from glc.bitstream import MODEL_BYTES
from glc.errors import NotGlcError
from glc.image.sniff import HEAD_BYTES, kind_of

__all__ = ["ARCHIVE_SUFFIX", "describe", "is_archive", "line_of", "opened"]

ARCHIVE_SUFFIX = ".glca"
_MAGIC = b"glca"


def is_archive(path: Path | None) -> bool:
    """Tell whether a file begins as an archive does."""
    if path is None or not path.is_file():
        return False
    try:
        with path.open("rb") as stream:
            return stream.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


@contextmanager
def opened(path: str | Path) -> Iterator[Archive]:
    """Open an archive; errors leave its name to whoever reports them."""
    try:
        archive = Archive(path)
    except NotGlcError as error:
        raise NotGlcError(_not_an_archive(path)) from error
    except OSError as error:
        raise OSError(error.errno, f"cannot be read: {error.strerror or error}") from error
    with archive:
        yield archive


def _not_an_archive(path: str | Path) -> str:
    with Path(path).open("rb") as stream:
        kind = kind_of(stream.read(HEAD_BYTES))
    return f"this is {kind}, not a .glca archive" if kind else "not a .glca archive"


def describe(path: Path) -> dict[str, object]:
    """Return what an archive says about itself."""
    with opened(path) as archive:
        model = archive.identity[:MODEL_BYTES]
        return {
            "input": str(path),
            "file_version": archive.version,
            "pictures": len(archive),
            "bytes": path.stat().st_size,
            "complete": archive.is_complete,
            "leftover_bytes": archive.leftover_bytes,
            "model": model.hex(),
            "model_name": codecs.installed_name(model),
            "identity": archive.identity.hex(),
        }


def line_of(fields: dict[str, object], as_json: bool) -> str:
    """Return one line about an archive."""
    if as_json:
        return json.dumps(fields)
    text = (
        f"{fields['input']}: GLC archive 1, {fields['pictures']:,} pictures, "
        f"{fields['bytes']:,} bytes, model {fields['model']} "
        f"({fields['model_name'] or 'not installed'})"
    )
    if not fields["complete"]:
        text += (
            f"; no index, its writing was interrupted: {fields['leftover_bytes']:,} bytes at the "
            "end are no whole picture"
        )
    return one_line(text)
