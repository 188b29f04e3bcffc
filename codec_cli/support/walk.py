"""Finds files below folders and by patterns. Looks at names only, follows links, and never stops.

What may not be looked at is a failure among others; a link that leads back is noticed.
"""

from __future__ import annotations

import fnmatch
import glob
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

__all__ = ["STDIO", "Source", "Walk", "is_folder"]

STDIO = "-"

_DEEPEST = 200
"""Folders within folders; more than anybody has, and fewer than the calls that Python allows."""

_Identity: TypeAlias = tuple[int, int]
"""Device and inode: all names of one folder have the same."""


@dataclass(frozen=True)
class Source:
    """One input."""

    path: Path | None
    """None is standard input."""
    relative: Path
    """Where it lies below the folder or pattern that named it; a bare name for a file."""

    @property
    def name(self) -> str:
        """What messages call it."""
        return STDIO if self.path is None else str(self.path)


@dataclass(frozen=True)
class Walk:
    """One search; ``failures`` and ``notices`` grow with what it meets."""

    suffixes: frozenset[str]
    """Of the files that are wanted, in lower case, each with its dot."""
    recursive: bool
    """Look into the folders of folders."""
    failures: list[tuple[str, str]] = field(default_factory=list)
    """(path, reason) of what cannot be looked at."""
    notices: list[tuple[str, str]] = field(default_factory=list)
    """(path, text) of what was left out, and is no failure."""

    def folder(self, folder: Path, root: Path, above: tuple[_Identity, ...] = ()) -> list[Source]:
        """Return the files of a folder in the order of their names, then those of its folders.

        Args:
            folder: where to look.
            root: the folder that the user named.
            above: the folders on the way down to this one.
        """
        here = self._enter(folder, above)
        if here is None:
            return []
        found: list[Source] = []
        deeper: list[Path] = []
        for entry in self._entries(folder):
            try:
                kind = _kind(entry)
            except OSError as error:
                self._cannot(folder, error)
                return found
            if stat.S_ISDIR(kind):
                if self.recursive:
                    deeper.append(entry)
            elif entry.suffix.lower() not in self.suffixes:
                continue
            elif kind and not stat.S_ISREG(kind):
                # To open a pipe would wait for ever.
                self.notices.append((str(entry), "left out: it is a device or a pipe"))
            else:
                found.append(Source(entry, entry.relative_to(root)))
        for entry in deeper:
            found += self.folder(entry, root, (*above, here))
        return found

    def pattern(self, pattern: str) -> list[Source]:
        """Return the files that a pattern matches; with ``recursive`` those of folders too.

        A part of it that exists under this very name is that and no pattern. ``**`` stands for any
        number of folders, none included. Hidden names match only what begins with a dot.
        """
        parts = Path(pattern).parts
        root, matches = Path(), [Path()]
        for number, part in enumerate(parts):
            is_last = number + 1 == len(parts)
            matches = [p for base in matches for p in self._step(base, part, is_last)]
            if matches == [root / part] and number == len(root.parts):
                root = root / part
        found: list[Source] = []
        for match in sorted(dict.fromkeys(matches)):
            if not is_folder(match):
                found.append(Source(match, match.relative_to(root)))
            elif self.recursive:
                found += self.folder(match, root)
        return found

    def _step(self, base: Path, part: str, is_last: bool) -> list[Path]:
        """Return what one part of a pattern means below a folder."""
        if part == "**":
            return list(self._below(base, with_files=is_last))
        try:
            (base / part).lstat()
        except PermissionError as error:
            self._cannot(base, error)
            return []
        except (OSError, ValueError):
            return self._named(base, part) if glob.has_magic(part) else []
        return [base / part]

    def _named(self, base: Path, part: str) -> list[Path]:
        """Return what lies in a folder under names that one part of a pattern matches."""
        names = [entry.name for entry in self._entries(base, hidden=part.startswith("."))]
        return [base / name for name in fnmatch.filter(names, part)]

    def _below(
        self, base: Path, with_files: bool, above: tuple[_Identity, ...] = ()
    ) -> Iterator[Path]:
        """Yield a folder and all folders below it, and their files too if those are wanted."""
        here = self._enter(base, above)
        if here is None:
            return
        if not with_files:
            yield base
        for entry in self._entries(base):
            if is_folder(entry):
                yield from self._below(entry, with_files, (*above, here))
            elif with_files:
                yield entry

    def _enter(self, folder: Path, above: tuple[_Identity, ...]) -> _Identity | None:
        """Return what tells a folder from others; None if it may not be entered, or leads back."""
        try:
            status = folder.stat()
        except OSError as error:
            self._cannot(folder, error)
            return None
        identity = status.st_dev, status.st_ino
        if not stat.S_ISDIR(status.st_mode):
            return None
        if len(above) == _DEEPEST:
            self.failures.append((str(folder), f"more than {_DEEPEST} folders deep"))
            return None
        if identity in above:
            self.notices.append((str(folder), "left out: it leads back to a folder above it"))
            return None
        return identity

    def _entries(self, folder: Path, hidden: bool = False) -> list[Path]:
        """Return what is in a folder, in the order of names."""
        try:
            names = sorted(entry.name for entry in folder.iterdir())
        except NotADirectoryError:
            return []
        except OSError as error:
            self._cannot(folder, error)
            return []
        return [folder / name for name in names if hidden or not name.startswith(".")]

    def _cannot(self, folder: Path, error: OSError) -> None:
        failure = str(folder), f"this folder cannot be read: {error.strerror or error}"
        if failure not in self.failures:
            self.failures.append(failure)


def is_folder(path: Path) -> bool:
    """Tell whether a name leads to a folder; what may not be looked at does not."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _kind(entry: Path) -> int:
    """Return the mode of what a name leads to; 0 for a link that leads nowhere.

    Raises:
        OSError: the folder does not let anybody look.
    """
    try:
        return entry.stat().st_mode
    except OSError:
        # If even the name itself can be looked at, only the link is wrong.
        entry.lstat()
        return 0
