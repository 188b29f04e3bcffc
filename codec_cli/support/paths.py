"""Which files a command line means: inputs from files, folders and patterns, and their outputs.

Looks at names only; reads and writes nothing.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from codec_cli.support.exit_codes import UsageError
from codec_cli.support.walk import STDIO, Source, Walk, is_folder

__all__ = ["STDIO", "Expansion", "Job", "Source", "expand", "plan"]


@dataclass(frozen=True)
class Expansion:
    """The inputs of a command line."""

    sources: tuple[Source, ...]
    failures: tuple[tuple[str, str], ...]
    """(argument, reason) of every argument that stands for no file."""
    is_many: bool
    """The command line speaks of more than one file, even if only one was found."""
    notices: tuple[tuple[str, str], ...] = ()
    """(path, text) of what was left out of a folder."""


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
    taken, hidden ones left out. What exists is itself and no pattern, and so is each folder on the
    way: ``d[1]/*.png`` speaks of the folder ``d[1]`` if there is one. Links are followed.

    Args:
        arguments: files, folders, patterns, or ``-``.
        suffixes: in lower case, each with its dot.
        recursive: look into the folders of folders.
    """
    if arguments.count(STDIO) > 1:
        raise UsageError("standard input (-) can be read only once")
    sources: dict[Source, None] = {}
    failures: list[tuple[str, str]] = []
    notices: list[tuple[str, str]] = []
    is_many = len(arguments) > 1
    for argument in arguments:
        path = Path(argument)
        walk = Walk(suffixes, recursive)
        if argument == STDIO:
            found = [Source(None, Path("stdin"))]
        elif is_folder(path):
            is_many = True
            found = walk.folder(path, path)
        elif os.path.lexists(path) or not glob.has_magic(argument):
            # A missing file stays in the list: opening it says best what is wrong with it.
            found = [Source(path, Path(path.name))]
        else:
            is_many = True
            found = walk.pattern(argument)
        failures += walk.failures
        notices += walk.notices
        if not found and not walk.failures:
            failures.append((argument, _nothing(path, walk)))
        sources.update(dict.fromkeys(found))
    return Expansion(tuple(sources), tuple(failures), is_many, tuple(notices))


def _nothing(path: Path, walk: Walk) -> str:
    """Say why an argument stands for no file."""
    if not is_folder(path):
        return "no file matches this pattern"
    deeper = "" if walk.recursive else "; -r also looks into its folders"
    return f"no file to read in this folder{deeper}"


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
    if is_folder(path) or output.endswith(("/", os.sep)):
        return True
    if not expansion.is_many:
        return False
    if path.exists():
        raise UsageError(f"-o {output}: is a file, and there are several inputs; name a folder")
    if path.suffix:
        raise UsageError(f"-o {output}: there are several inputs; name a folder, with / at its end")
    return True


def _renamed(path: Path, suffix: str, replaced: frozenset[str]) -> Path:
    if path.suffix.lower() in replaced:
        return path.with_suffix(suffix)
    return path.with_name(path.name + suffix)
