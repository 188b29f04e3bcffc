"""Where a compressed dataset goes: a folder of .glc files, an archive, Parquet; told by the name.

Archives and tables are gathered in an archive named ``.part`` first, which survives an
interruption. A destination has its name only once it is whole.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Protocol

from glc.archive.entry import version_of
from glc.archive.lock import Lock
from glc.archive.reader import Archive, ArchiveWriter
from glc.bitstream import FORMAT_VERSION
from glc.dataset.failures import Failure, Journal, format_failures, parse_failures
from glc.dataset.filesystem import Files, LocalFiles, open_place
from glc.dataset.inputs import Item
from glc.dataset.keys import relative_path
from glc.dataset.model_choice import ModelChoice
from glc.dataset.notices import Notices
from glc.dataset.parquet import Row, load_pyarrow, read_rows, write_rows
from glc.errors import CorruptError

__all__ = ["Destination", "FolderDestination", "StagedDestination", "open_destination"]

ARCHIVE_SUFFIX, PARQUET_SUFFIX = ".glca", ".parquet"
_QUALITY_MASK = 0x7F
_QUALITY_BYTE = 5


class Destination(Protocol):
    """What ``compress`` needs of a destination. Pictures come in the order of the source.

    Attributes:
        name: path or URL.
        version: of the format, for the files that are made.
    """

    name: str
    version: int

    def has(self, item: Item) -> bool:
        """Tell whether an earlier run dealt with this picture."""

    def add(self, item: Item, data: bytes) -> None:
        """Keep a coded picture."""

    def fail(self, failure: Failure) -> None:
        """Keep the reason of a failure."""

    def finish(self) -> bool:
        """Give the destination, and the list of failures, their names; False: there is nothing."""

    def release(self) -> None:
        """Close what is open, finished or not."""


def open_destination(
    destination: str | os.PathLike[str],
    choice: ModelChoice,
    quality: int,
    resume: bool,
    shard: tuple[int, int] | None,
    staging: str | os.PathLike[str] | None,
    notices: Notices | None = None,
) -> Destination:
    """Return the destination of a name; the arguments are those of the classes below."""
    said = Notices() if notices is None else notices
    name = os.fspath(destination)
    number = "" if shard is None else f"-{shard[0]:05d}-of-{shard[1]:05d}"
    stem, suffix = _split_suffix(name)
    if suffix.lower() not in (ARCHIVE_SUFFIX, PARQUET_SUFFIX):
        return FolderDestination(name, resume, number)
    name = f"{stem}{number}{suffix}"
    return StagedDestination(name, choice, quality, resume, shard or (0, 1), staging, said)


class FolderDestination:
    """A folder with one .glc file per picture, on disk or behind a URL.

    What is there is kept, so pictures that failed are tried again by the next run.

    Args:
        name: of the folder.
        resume: keep the files that are there.
        shard: names the list of failures, since several shards share the folder.

    Raises:
        BlockingIOError: another process is at this folder, or at this shard of it.
        ValueError: what has the name of the list of failures is none.
    """

    def __init__(self, name: str, resume: bool, shard: str) -> None:
        self.name, self.version = name, FORMAT_VERSION
        self._files, root = open_place(name)
        self._root = root.rstrip("/" + os.sep) or root
        self._list = f"failed{shard}.csv"
        self._failures: list[Failure] = []
        self._there: set[str] = set()
        self._keys: dict[str, str] = {}
        self._exit = contextlib.ExitStack()
        if isinstance(self._files, LocalFiles):
            lock = Lock(Path(self._root) / f".glc{shard}.lock")
            self._exit.callback(lock.release)
        try:
            if resume and self._files.isdir(self._root):
                skipped = len(self._root.rstrip("/")) + 1
                found = self._files.find(self._root)
                self._there = {path[skipped:].replace(os.sep, "/") for path in found}
            if self._list in self._there:
                _check_list(self._files, self._path(self._list))
        except BaseException:
            self.release()
            raise

    def has(self, item: Item) -> bool:
        below = self._below(item.key)
        return below is not None and below in self._there

    def add(self, item: Item, data: bytes) -> None:
        below = f"{relative_path(item.key)}.glc"
        if self._below(item.key) is None:
            raise ValueError(f"its file {below} is also that of {self._keys[below]}")
        self._files.pipe_file(self._path(below), data)

    def fail(self, failure: Failure) -> None:
        self._failures.append(failure)

    def finish(self) -> bool:
        if self._failures or self._list in self._there:
            text = format_failures(self._failures)
            self._files.pipe_file(self._path(self._list), text.encode())
        return True

    def release(self) -> None:
        self._exit.close()

    def _below(self, key: str) -> str | None:
        """Return the file of a key below the folder; None if it has none, or another key has it."""
        try:
            below = f"{relative_path(key)}.glc"
        except CorruptError:
            # Said when the picture is to be written.
            return None
        return below if self._keys.setdefault(below, key) == key else None

    def _path(self, below: str) -> str:
        return f"{self._root}/{below}"


class StagedDestination:
    """An archive or a Parquet file, gathered in a ``.part`` archive on the local disk.

    Args:
        name: of the file, path or URL.
        choice: the model, and the format version of an archive that is begun; one that an earlier
            release left is gone on with in its own.
        quality: that a begun file must have.
        resume: go on with what an earlier run left, finished or not.
        shard: which pictures of the source come here.
        staging: folder of the ``.part`` files; beside the destination when omitted, and for a URL a
            temporary folder, from which an interrupted run cannot go on.
        notices: told of an earlier list of failures that is replaced.

    Raises:
        BlockingIOError: another process is writing the file.
        ValueError: what an earlier run left was made with another model or quality; or what has the
            name of the list of failures is none.
        BitstreamError: what it left is damaged.
    """

    def __init__(
        self,
        name: str,
        choice: ModelChoice,
        quality: int,
        resume: bool,
        shard: tuple[int, int],
        staging: str | os.PathLike[str] | None,
        notices: Notices,
    ) -> None:
        self.name = name
        self._files, self._path = open_place(name)
        self._identity, self._shard, self.version = choice.identity, shard, choice.version
        self._exit = contextlib.ExitStack()
        folder = self._staging(staging)
        folder.mkdir(parents=True, exist_ok=True)
        base = PurePosixPath(self._path.replace(os.sep, "/")).name
        self._is_parquet = base.lower().endswith(PARQUET_SUFFIX)
        if self._is_parquet:
            # Better known now than when everything is coded.
            load_pyarrow(name)
        self._part = folder / f"{base}.part"
        journal = folder / f"{base}.part.csv"
        self._list = f"{self._path}.failed.csv"
        self._writer: ArchiveWriter | None = None
        try:
            self._lock(folder, base)
            self._begin(journal, resume, notices)
            self._check_quality(quality)
        except BaseException:
            self.release()
            raise

    def _lock(self, folder: Path, base: str) -> None:
        """Keep other processes from this destination, and from its unfinished file."""
        places = [folder]
        if isinstance(self._files, LocalFiles):
            places.append(Path(self._path).parent)
        for place in dict.fromkeys(place.resolve() for place in places):
            lock = Lock(place / f"{base}.part.lock")
            self._exit.callback(lock.release)

    def _begin(self, journal: Path, resume: bool, notices: Notices) -> None:
        has_list = resume and self._files.exists(self._list)
        if has_list:
            _check_list(self._files, self._list)
        if not resume:
            self._part.unlink(missing_ok=True)
            journal.unlink(missing_ok=True)
        elif not self._part.exists() and self._files.exists(self._path):
            self._take_back(journal)
        elif has_list and not self._part.exists():
            notices.add("an earlier list of failures is replaced", self._list)
        self._journal = Journal(journal)
        writer = ArchiveWriter(self._part, self._identity, append=True, version=self.version)
        self._writer = writer
        self.version = writer.version
        self._failed = {failure.number for failure in self._journal.failures}
        self._expected = len(writer) + len(self._failed)

    @property
    def _archive(self) -> ArchiveWriter:
        if self._writer is None:
            raise ValueError("the destination is closed")
        return self._writer

    def has(self, item: Item) -> bool:
        is_there = item.key in self._archive or item.number in self._failed
        if is_there:
            self._expected -= 1
        elif self._expected > 0:
            raise ValueError(
                f"source: {item.key!r} is new and comes before pictures that are done, so "
                f"it or {self._list} has changed; -f (resume=False) begins again"
            )
        return is_there

    def add(self, item: Item, data: bytes) -> None:
        if not self._is_parquet:
            # What nobody could unpack is refused now.
            relative_path(item.key)
        self._archive.add(item.key, data)

    def fail(self, failure: Failure) -> None:
        self._journal.add(failure)

    def finish(self) -> bool:
        writer, failures = self._archive, self._journal.failures
        writer.close()
        # A table has rows of its failures.
        is_empty = bool(failures) and not len(writer) and not self._is_parquet
        if failures or self._files.exists(self._list):
            self._files.pipe_file(self._list, format_failures(failures).encode())
        if self._is_parquet:
            table = self._part.with_name(self._part.name + ".table")
            write_rows(str(table), self._rows(), self._identity)
            self._publish(table)
            self._part.unlink()
        elif is_empty:
            self._part.unlink()
        else:
            self._publish(self._part)
        self._journal.path.unlink()
        return not is_empty

    def release(self) -> None:
        if self._writer is not None:
            self._writer.abandon()
        self._exit.close()

    def _check_quality(self, quality: int) -> None:
        if not len(self._archive):
            return
        with Archive(self._part) as begun:
            found = begun.read(-1)[_QUALITY_BYTE] & _QUALITY_MASK
        if found != quality:
            raise ValueError(
                f"quality: {self._part} was begun at {found}, not {quality}; finish it so; "
                "-f (resume=False) begins again"
            )

    def _staging(self, folder: str | os.PathLike[str] | None) -> Path:
        if folder is not None:
            return Path(folder)
        if isinstance(self._files, LocalFiles):
            return Path(self._path).parent
        return Path(self._exit.enter_context(tempfile.TemporaryDirectory(prefix="glc-")))

    def _take_back(self, journal: Path) -> None:
        """Make a ``.part`` of what an earlier run finished; it comes to be whole or not at all."""
        text = b""
        if self._files.exists(self._list):
            text = self._files.cat_file(self._list)
        LocalFiles().pipe_file(str(journal), text)
        copy = self._part.with_name(self._part.name + ".copy")
        self._files.get_file(self._path, str(copy))
        if self._is_parquet:
            table = copy.rename(self._part.with_name(self._part.name + ".table"))
            version = next(filter(None, map(version_of, _files_in(table))), self.version)
            with ArchiveWriter(copy, self._identity, version=version) as writer:
                for row in read_rows(str(table)):
                    if row.data is not None:
                        writer.add(row.key, row.data)
            table.unlink()
        copy.replace(self._part)

    def _rows(self) -> Iterator[Row]:
        """Yield what was gathered, the failures in their places."""
        index, count = self._shard
        failures = {failure.number: failure for failure in self._journal.failures}
        with Archive(self._part) as archive:
            pictures = iter(archive)
            for place in range(len(archive) + len(failures)):
                failure = failures.get(place * count + index)
                if failure is not None:
                    yield Row(failure.key, None, failure.reason)
                else:
                    yield Row(*next(pictures), None)

    def _publish(self, path: Path) -> None:
        """Move a file to the destination."""
        if isinstance(self._files, LocalFiles) and path.parent == Path(self._path).parent:
            path.replace(self._path)
            return
        self._files.put_file(str(path), self._path)
        path.unlink()


def _check_list(files: Files, path: str) -> None:
    """Refuse to replace what has the name of a list of failures and is none."""
    try:
        parse_failures(files.cat_file(path).decode("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} would be replaced: {error}; move it away, or -f") from error


def _files_in(table: Path) -> Iterator[bytes]:
    return (row.data for row in read_rows(str(table)) if row.data is not None)


def _split_suffix(name: str) -> tuple[str, str]:
    """Return a path or URL before its suffix, and the suffix."""
    slashed = name.replace(os.sep, "/")
    suffix = "" if slashed.endswith("/") else PurePosixPath(slashed).suffix
    return name[: len(name) - len(suffix)], suffix
