"""What the names of files promise: an output must not bear the name of another kind of file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from codec_cli.support.exit_codes import UsageError
from codec_cli.support.paths import Job

__all__ = ["GLC_SUFFIXES", "PICTURE_SUFFIXES", "check_folder", "check_suffix", "named_output"]

GLC_SUFFIXES = frozenset((".glc",))

# What is taken from a folder. A file named by itself may have any name.
PICTURE_SUFFIXES = frozenset(
    (
        *(".avif", ".bmp", ".dib", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg"),
        *(".pbm", ".pgm", ".png", ".pnm", ".ppm", ".psd", ".tga", ".tif", ".tiff", ".webp"),
    )
)

_OTHERS = frozenset((".glca", ".heic", ".heif", ".jxl", ".parquet", ".pdf", ".svg", ".tar", ".zip"))
_KNOWN = GLC_SUFFIXES | PICTURE_SUFFIXES | _OTHERS


def named_output(jobs: Sequence[Job], output: str | None) -> Path | None:
    """Return the file that ``-o`` names; None if it names a folder, or nothing."""
    if output is None or not any(job.target == Path(output) for job in jobs):
        return None
    return Path(output)


def check_suffix(option: str, path: Path, what: str, suffix: str) -> None:
    """Refuse an output whose name says that it is something else.

    Args:
        option: that names it.
        path: the output.
        what: is written there.
        suffix: that such a file has.
    """
    found = path.suffix.lower()
    if found in _KNOWN and found != suffix:
        raise UsageError(
            f"{option} {path}: {what} is written, and {found} says something else; "
            f"name it {path.with_suffix(suffix)}"
        )


def check_folder(option: str, path: Path) -> None:
    """Refuse what is a file, or has the name of one, where a folder is meant."""
    if path.is_file():
        raise UsageError(f"{option} {path}: is a file; name a folder")
    if path.suffix.lower() in _KNOWN and not path.is_dir():
        raise UsageError(f"{option} {path}: has the name of a file; name a folder")
