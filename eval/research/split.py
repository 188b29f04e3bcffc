"""Splits a set of pictures, a folder or uncompressed tars in it, into two folders by their names.

Which part a picture falls into hangs on its name alone, so that every split of a set is the same.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator
from pathlib import Path

from eval.pictures import SUFFIXES


def split(source: Path, kept: Path, held_out: Path, share: float) -> tuple[int, int]:
    """Copy the pictures of `source` into two folders and return how many went into each.

    Args:
        source: a folder with pictures, tars, or both; or one tar.
        kept: gets the rest.
        held_out: gets about `share` of the pictures.
        share: 0..1.

    Raises:
        ValueError: no picture was found.
    """
    counts = [0, 0]
    for folder in (kept, held_out):
        folder.mkdir(parents=True, exist_ok=True)
    for name, data in read_all(source):
        chosen = is_held_out(name, share)
        ((held_out if chosen else kept) / name).write_bytes(data)
        counts[chosen] += 1
    if not any(counts):
        raise ValueError(f"no picture in {source}")
    return counts[0], counts[1]


def is_held_out(name: str, share: float) -> bool:
    """Say into which part a picture falls.

    The hash is not that by which `glc train` holds pictures out, so that both can be used at once.
    """
    digest = hashlib.sha256(b"eval.research.split:" + name.encode()).digest()
    return int.from_bytes(digest[:4], "big") < share * 2**32


def read_all(source: Path) -> Iterator[tuple[str, bytes]]:
    """Yield a flat name and the bytes of every picture."""
    paths = sorted(source.rglob("*")) if source.is_dir() else [source]
    for path in paths:
        if path.suffix.lower() in SUFFIXES:
            yield path.name, path.read_bytes()
        elif path.suffix.lower() == ".tar":
            with tarfile.open(path, "r:") as archive:
                for member in archive:
                    file = archive.extractfile(member)
                    if file is not None and Path(member.name).suffix.lower() in SUFFIXES:
                        yield Path(member.name).name, file.read()
