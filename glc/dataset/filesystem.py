"""Where sources and destinations lie: the local disk, or anything that fsspec can reach by URL.

The local disk needs no package; a URL (``s3://``, ``gs://``, ``memory://``) needs fsspec.
"""

from __future__ import annotations

import glob
import os
import secrets
import shutil
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

from glc.install_hint import install_command

__all__ = ["Files", "Found", "LocalFiles", "is_url", "needs_extra", "open_place"]


class Files(Protocol):
    """What is needed of a file system; the names are those of fsspec."""

    def isdir(self, path: str) -> bool:
        """Tell whether a folder is there."""

    def exists(self, path: str) -> bool:
        """Tell whether anything is there."""

    def find(self, path: str) -> list[str]:
        """Return every file below a folder, in any order."""

    def glob(self, path: str) -> list[str]:
        """Return what a pattern matches, in any order."""

    def open(self, path: str, mode: str = "rb") -> Any:
        """Open a file."""

    def cat_file(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        """Return a file, or a stretch of it."""

    def pipe_file(self, path: str, value: bytes) -> None:
        """Write a whole file; it has its name only once it is whole."""

    def put_file(self, lpath: str, rpath: str) -> None:
        """Bring a file from the local disk here, under its name only once it is whole."""

    def get_file(self, rpath: str, lpath: str) -> None:
        """Bring a file from here to the local disk."""


class Found(NamedTuple):
    """What is below a folder."""

    files: list[str]
    links: list[str]
    """To folders; not followed."""
    failures: list[OSError]
    """Of folders that cannot be listed."""


class LocalFiles:
    """The local disk."""

    def isdir(self, path: str) -> bool:
        return Path(path).is_dir()

    def exists(self, path: str) -> bool:
        return Path(path).exists()

    def find(self, path: str) -> list[str]:
        found = self.look(path)
        if found.failures:
            raise found.failures[0]
        return found.files

    def look(self, path: str) -> Found:
        """Return every file below a folder, and what of it could not be looked into."""
        found = Found([], [], [])
        # A link to a folder is not followed: one to a parent would never end.
        for folder, folders, names in os.walk(path, onerror=found.failures.append):
            found.files.extend(os.path.join(folder, name) for name in names)  # noqa: PTH118
            inner = (os.path.join(folder, name) for name in folders)  # noqa: PTH118
            found.links.extend(name for name in inner if Path(name).is_symlink())
        return found

    def glob(self, path: str) -> list[str]:
        return glob.glob(path, recursive=True)

    def open(self, path: str, mode: str = "rb") -> BinaryIO:
        return open(path, mode)  # type: ignore[return-value]  # noqa: PTH123

    def cat_file(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        with Path(path).open("rb") as stream:
            stream.seek(start or 0)
            return stream.read(-1 if end is None else end - (start or 0))

    def pipe_file(self, path: str, value: bytes) -> None:
        self._place(path, lambda temporary: temporary.write_bytes(value))

    def put_file(self, lpath: str, rpath: str) -> None:
        self._place(rpath, lambda temporary: shutil.copyfile(lpath, temporary))

    def get_file(self, rpath: str, lpath: str) -> None:
        self.put_file(rpath, lpath)

    @staticmethod
    def _place(path: str, write: Any) -> None:
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".glc-{secrets.token_hex(8)}.part")
        try:
            write(temporary)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


def is_url(name: str | os.PathLike[str]) -> bool:
    """Tell whether a name is a URL rather than a path."""
    return "://" in os.fspath(name)


def open_place(name: str | os.PathLike[str]) -> tuple[Files, str]:
    """Return the file system of a path or URL, and the path within it.

    Raises:
        ModuleNotFoundError: a URL, and fsspec is not installed.
        ValueError: a URL of a kind that fsspec does not know.
    """
    text = os.fspath(name)
    if not is_url(text):
        return LocalFiles(), text
    try:
        import fsspec
    except ModuleNotFoundError as error:
        raise needs_extra(error, text) from error
    try:
        files, path = fsspec.core.url_to_fs(text)
    except ImportError as error:
        raise ModuleNotFoundError(f"{text}: {error}", name=error.name) from error
    return files, path


def needs_extra(error: ModuleNotFoundError, what: str) -> ModuleNotFoundError:
    """Return the error that says which packages are missing for something."""
    return ModuleNotFoundError(
        f"{what}: no module {error.name}; {install_command('dataset')} brings what it needs",
        name=error.name,
    )
