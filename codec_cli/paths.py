"""Which files a command line means: inputs from files, folders and patterns, and their outputs.

Looks at names only; reads and writes nothing.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from codec_cli.exits import UsageError

__all__ = ["STDIO", "Expansion", "Job", "Source", "expand", "plan"]

STDIO = "-"


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
class Expansion:
    """The inputs of a command line."""

    sources: tuple[Source, ...]
    failures: tuple[tuple[str, str], ...]
    """(argument, reason) of every argument that stands for no file."""
    is_many: bool
    """The command line speaks of more than one file, even if only one was found."""


@dataclass(frozen=True)
class Job:
    """One input and where its result goes."""

    source: Source
    target: Path | None
    """None is standard output."""
    replaces: bool = False
    """What is there is the rest of a crash, and may be replaced."""

    @property
    def target_name(self) -> str:
        """What messages call the output."""
        return STDIO if self.target is None else str(self.target)


def expand(arguments: Sequence[str], suffixes: frozenset[str], recursive: bool) -> Expansion:
    """Find the files that the arguments mean.

    A file that exists is taken whatever its name is. Of a folder those with one of the suffixes are
    taken, hidden ones left out. A pattern is one only if no file of that very name exists.

    Args:
        arguments: files, folders, patterns, or ``-``.
        suffixes: in lower case, each with its dot.
        recursive: look into the folders of folders.
    """
    if arguments.count(STDIO) > 1:
        raise UsageError("standard input (-) can be read only once")
    sources: dict[Source, None] = {}
    failures: list[tuple[str, str]] = []
    is_many = len(arguments) > 1
    for argument in arguments:
        path = Path(argument)
        walk = _Walk(suffixes, recursive, [])
        if argument == STDIO:
            found = [Source(None, Path("stdin"))]
        elif path.is_dir():
            is_many = True
            found = walk.folder(path, path)
        elif path.exists() or not glob.has_magic(argument):
            # A missing file stays in the list: opening it says best what is wrong with it.
            found = [Source(path, Path(path.name))]
        else:
            is_many = True
            found = walk.pattern(argument)
        failures += walk.failures
        if not found and not walk.failures:
            deeper = "" if recursive else "; -r also looks into its folders"
            is_folder = path.is_dir()
            failures.append((argument, f"no file to read here{deeper if is_folder else ''}"))
        sources.update(dict.fromkeys(found))
    return Expansion(tuple(sources), tuple(failures), is_many)


def plan(
    expansion: Expansion, output: str | None, suffix: str, replaced: frozenset[str]
) -> list[Job]:
    """Give every input its output.

    Args:
        expansion: the inputs.
        output: the argument of ``-o``: a file, a folder, ``-``, or None for beside the input.
        suffix: of the outputs, with its dot.
        replaced: suffixes of inputs that it takes the place of; it is added to any other name.

    Raises:
        UsageError: several inputs cannot share this output.
    """
    sources = expansion.sources
    if output is None:
        beside = [None if s.path is None else _renamed(s.path, suffix, replaced) for s in sources]
        return [Job(*pair) for pair in zip(sources, beside, strict=True)]
    if output == STDIO:
        if expansion.is_many:
            raise UsageError("-o - takes a single input file")
        return [Job(source, None) for source in sources]
    if _is_folder(output, expansion):
        folder = Path(output)
        return [Job(s, folder / _renamed(s.relative, suffix, replaced)) for s in sources]
    return [Job(source, Path(output)) for source in sources]


def _is_folder(output: str, expansion: Expansion) -> bool:
    """Tell whether ``-o`` means a folder, existing or to be made."""
    path = Path(output)
    if path.is_dir() or output.endswith(("/", os.sep)):
        return True
    if not expansion.is_many:
        return False
    if path.exists():
        raise UsageError(f"-o {output}: is a file, and there are several inputs; name a folder")
    if path.suffix:
        raise UsageError(f"-o {output}: there are several inputs; name a folder, with / at its end")
    return True


@dataclass(frozen=True)
class _Walk:
    """Finds files below folders and by patterns."""

    suffixes: frozenset[str]
    recursive: bool
    failures: list[tuple[str, str]]
    """(folder, reason) of folders that cannot be listed; grows."""

    def folder(self, folder: Path, root: Path) -> list[Source]:
        """Return the files of a folder in the order of their names, then those of its folders."""
        try:
            entries = sorted(folder.iterdir())
        except OSError as error:
            self.failures.append((str(folder), error.strerror or "cannot be listed"))
            return []
        found: list[Source] = []
        deeper: list[Path] = []
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                # A link back to a parent would never end.
                if self.recursive and not entry.is_symlink():
                    deeper.append(entry)
            elif entry.suffix.lower() in self.suffixes:
                found.append(Source(entry, entry.relative_to(root)))
        for entry in deeper:
            found += self.folder(entry, root)
        return found

    def pattern(self, pattern: str) -> list[Source]:
        """Return the files that a pattern matches; with ``recursive`` those of folders too."""
        fixed: list[str] = []
        for part in Path(pattern).parts:
            if glob.has_magic(part):
                break
            fixed.append(part)
        root = Path(*fixed)
        found: list[Source] = []
        for match in sorted(map(Path, glob.glob(pattern, recursive=True))):
            if not match.is_dir():
                found.append(Source(match, match.relative_to(root)))
            elif self.recursive:
                found += self.folder(match, root)
        return found


def _renamed(path: Path, suffix: str, replaced: frozenset[str]) -> Path:
    if path.suffix.lower() in replaced:
        return path.with_suffix(suffix)
    return path.with_name(path.name + suffix)
