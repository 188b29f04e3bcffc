"""Where the pictures of a dataset come from: folders, patterns, tars, Parquet, archives, iterables.

Lists what there is, in a fixed order; reads a picture only when it is asked for.
"""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any, TypeAlias

from glc.archive.reader import Archive
from glc.dataset.filesystem import Files, LocalFiles, open_place
from glc.dataset.keys import PICTURE_SUFFIXES, UniqueKeys, is_hidden, key_of, text_of
from glc.dataset.notices import Notices
from glc.errors import GlcError, ImageError

__all__ = ["Item", "Source", "list_items"]

Source: TypeAlias = (
    str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | Iterable[tuple[str, Any]]
)

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_MAX_EXPANSION = 1_000_000
_TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_MAGIC = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Item:
    """One picture of a source."""

    number: int
    """Its place in the source, from 0."""
    key: str
    """Unlike that of all others of the source."""
    read: Callable[[], Any]
    """Returns bytes of a file, or a picture in memory. What it raises is this picture's failure."""


def list_items(
    source: Source,
    destination: str | os.PathLike[str] = "",
    notices: Notices | None = None,
) -> Iterator[Item]:
    """Yield the pictures of a source in its order.

    Args:
        source: see ``glc.dataset.compress``.
        destination: what is left out of folders: earlier output is no input.
        notices: told of what is left out, and of keys that occur again.

    Raises:
        ValueError: nothing is there, or a folder is the destination itself.
    """
    unique = UniqueKeys()
    said = Notices() if notices is None else notices
    for number, (name, read) in enumerate(_pictures(source, _Output(destination), said)):
        # What a name is made of need not be text.
        plain = text_of(name)
        key = unique(plain)
        if key != plain:
            said.add("several pictures have one key; the later ones get ~2, ~3", plain)
        yield Item(number, key, read)


_Pair: TypeAlias = "tuple[str, Callable[[], Any]]"


def _pictures(source: Source, output: _Output, notices: Notices) -> Iterator[_Pair]:
    if isinstance(source, (str, os.PathLike)):
        yield from _files(list(_expand(source, output, notices)), notices)
        return
    places: list[_File] = []
    for entry in source:
        if isinstance(entry, (str, os.PathLike)):
            places.extend(_expand(entry, output, notices))
        else:
            key, picture = entry
            yield key, partial(_return, picture)
    yield from _files(places, notices)


class _Output:
    """Tells which files of a folder an earlier run has written."""

    def __init__(self, destination: str | os.PathLike[str]) -> None:
        name = os.fspath(destination)
        self._files: Files = LocalFiles()
        self._path = ""
        if name:
            self._files, path = open_place(name)
            self._path = _absolute(self._files, path)
        stem, dot, suffix = self._path.rpartition(".")
        self._shard = re.compile(rf"{re.escape(stem)}-\d{{5,}}-of-\d{{5,}}\.{re.escape(suffix)}")
        self._has_suffix = bool(dot)

    def is_folder(self, files: Files, root: str) -> bool:
        return type(files) is type(self._files) and _absolute(files, root) == self._path

    def has(self, files: Files, path: str) -> bool:
        if not self._path or type(files) is not type(self._files):
            return False
        found = _absolute(files, path)
        is_it = found == self._path or found.startswith(self._path + "/")
        return is_it or (self._has_suffix and self._shard.fullmatch(found) is not None)


def _absolute(files: Files, path: str) -> str:
    if isinstance(files, LocalFiles):
        path = os.path.realpath(path)
    return path.replace(os.sep, "/").rstrip("/")


@dataclass(frozen=True)
class _File:
    """A file that is a picture or holds pictures."""

    files: Files
    path: str
    relative: str
    """Below the folder or pattern that named it; always with slashes."""
    problem: str = ""
    """Why it cannot even be looked at; empty for a file that may be read."""

    @property
    def holder(self) -> Callable[[_File, Notices], Iterator[_Pair]] | None:
        """What lists the pictures inside; None for a picture."""
        name = self.relative.lower()
        if name.endswith(_TARS):
            return _tar
        return {".parquet": _parquet, ".glca": _archive}.get(PurePosixPath(name).suffix)


def _expand(entry: str | os.PathLike[str], output: _Output, notices: Notices) -> Iterator[_File]:
    """Yield the files that a name stands for: itself, those of a folder, those of a pattern."""
    for name in _expand_braces(os.fspath(entry)):
        files, path = open_place(name)
        if files.isdir(path):
            yield from _folder(files, path, output, notices)
        elif not (_exists(files, path) or _MAGIC.search(path)):
            raise ValueError(f"source: no such file or folder: {name}")
        elif _exists(files, path):
            yield _File(files, path, PurePosixPath(path.replace(os.sep, "/")).name)
        else:
            matches = sorted(files.glob(path))
            if not matches:
                raise ValueError(f"source: nothing matches {name}")
            root = _MAGIC.split(path)[0].replace(os.sep, "/").rpartition("/")[0]
            for match in matches:
                if files.isdir(match):
                    yield from _folder(files, match, output, notices)
                else:
                    yield _File(files, match, _relative(match, root))


def _expand_braces(name: str) -> list[str]:
    """Return the names that ``{a,b}`` and ``{000..011}`` stand for, in the order of the text."""
    found = _BRACES.search(name)
    if not found:
        return [name]
    if span := _RANGE.fullmatch(found[1]):
        first, last = int(span[1]), int(span[2])
        if last - first >= _MAX_EXPANSION:
            raise ValueError(f"source: {found[0]} stands for too many files")
        choices = [str(n).zfill(len(span[1])) for n in range(first, last + 1)]
    elif "," in found[1]:
        choices = found[1].split(",")
    else:
        return [name]
    names = (name[: found.start()] + choice + name[found.end() :] for choice in choices)
    return [expanded for each in names for expanded in _expand_braces(each)]


def _exists(files: Files, path: str) -> bool:
    """Tell whether something has this name, be it a link to what is no more."""
    return files.exists(path) or (isinstance(files, LocalFiles) and os.path.lexists(path))


def _folder(files: Files, root: str, output: _Output, notices: Notices) -> Iterator[_File]:
    if output.is_folder(files, root):
        raise ValueError(f"destination: {root} is the source, too; name another folder")
    found = []
    for file in _below(files, root, notices):
        is_picture = PurePosixPath(file.relative).suffix.lower() in PICTURE_SUFFIXES
        is_input = not (is_hidden(file.relative) or output.has(files, file.path))
        if is_input and (is_picture or file.problem or file.holder):
            found.append(file)
    if not found:
        raise ValueError(f"source: {root} holds no picture, tar, Parquet file or archive")
    # Folder by folder, as a person would list them.
    found.sort(key=lambda file: file.relative.split("/"))
    pictures = {key_of(file.relative) for file in found if not file.relative.endswith(".glc")}
    for file in found:
        if file.relative.endswith(".glc") and key_of(file.relative) in pictures:
            notices.add(
                "a .glc file lies beside a picture of its name, and both are taken", file.path
            )
    yield from found


def _below(files: Files, root: str, notices: Notices) -> Iterator[_File]:
    """Yield what is below a folder; one that cannot be listed is a file that cannot be read."""
    if not isinstance(files, LocalFiles):
        for path in files.find(root):
            yield _File(files, path, _relative(path, root))
        return
    found = files.look(root)
    for path in found.files:
        yield _File(files, path, _relative(path, root))
    for link in found.links:
        if not is_hidden(_relative(link, root)):
            notices.add("a link to a folder is not followed", link)
    for error in found.failures:
        path = os.fspath(error.filename or root)
        # The folder itself has no name below itself, and is not hidden, since it was named.
        relative = _relative(path, root) or PurePosixPath(path).name.lstrip(".") or "folder"
        yield _File(files, path, relative, f"{path}: cannot be listed: {error.strerror or error}")


def _relative(path: str, root: str) -> str:
    below = path.replace(os.sep, "/")[len(root.replace(os.sep, "/").rstrip("/")) :]
    return below.lstrip("/") if root else path.replace(os.sep, "/")


def _files(places: list[_File], notices: Notices) -> Iterator[_Pair]:
    """Yield the pictures of files; keys from one of several holders begin with its name."""
    holders = sum(place.holder is not None and not place.problem for place in places)
    for place in places:
        if place.problem:
            yield place.relative, partial(_fail, place.problem)
            continue
        list_inside = place.holder
        if list_inside is None:
            yield key_of(place.relative), partial(place.files.cat_file, place.path)
            continue
        prefix = _stem(place.relative) + "/" if holders > 1 else ""
        try:
            for key, read in list_inside(place, notices):
                yield prefix + key, read
        except (GlcError, OSError, ValueError, tarfile.TarError, EOFError) as error:
            # What could be listed stands; the rest is one failure under the name of the file.
            reason = " ".join(str(error).split())
            yield place.relative, partial(_fail, f"{place.path}: cannot be read on: {reason}")


def _stem(relative: str) -> str:
    for suffix in (*_TARS, ".parquet", ".glca"):
        if relative.lower().endswith(suffix):
            return relative[: -len(suffix)]
    return relative


def _tar(place: _File, notices: Notices) -> Iterator[_Pair]:
    """Yield the pictures of a tar; those of a compressed one are read while it is listed."""
    is_plain = place.relative.lower().endswith(".tar")
    with (
        place.files.open(place.path, "rb") as stream,
        tarfile.open(fileobj=stream, mode="r:" if is_plain else "r|*") as tar,
    ):
        for member in tar:
            name = member.name.removeprefix("./")
            is_picture = PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES
            # The same as in a folder.
            if not is_picture or is_hidden(name) or member.isdir():
                continue
            if not member.isfile() or member.issparse():
                kind = "link" if member.issym() or member.islnk() else "file of a special kind"
                notices.add(f"a {kind} inside a tar is left out", f"{place.path}: {name}")
                continue
            if is_plain:
                begin, end = member.offset_data, member.offset_data + member.size
                yield key_of(name), partial(_stretch, place.files, place.path, begin, end)
                # Otherwise the list of members grows with the tar.
                tar.members = []  # type: ignore[attr-defined]
                continue
            inside = tar.extractfile(member)
            yield key_of(name), partial(_return, inside.read() if inside else b"")


def _stretch(files: Files, path: str, begin: int, end: int) -> bytes:
    data = files.cat_file(path, begin, end)
    if len(data) != end - begin:
        raise ImageError(f"{path}: the tar ends inside this picture")
    return data


def _archive(place: _File, _: Notices) -> Iterator[_Pair]:
    is_local = isinstance(place.files, LocalFiles)
    with Archive(place.path if is_local else place.files.open(place.path, "rb")) as archive:
        for key, data in archive:
            yield key, partial(_return, data)


def _parquet(place: _File, _: Notices) -> Iterator[_Pair]:
    from glc.dataset.parquet import read_pictures

    for key, data in read_pictures(place.files, place.path):
        yield key, partial(_return, data)


def _return(value: Any) -> Any:
    return value


def _fail(reason: str) -> Any:
    raise ImageError(reason)
