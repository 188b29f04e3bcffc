"""``compress``: a whole dataset in one call. See docs/datasets.md."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from glc.bitstream import QUALITY_MAX
from glc.dataset.encoding import Coded, Encoder
from glc.dataset.failures import Failure
from glc.dataset.inputs import Item, Source, list_items
from glc.dataset.keys import text_of
from glc.dataset.model_choice import ModelChoice
from glc.dataset.notices import Notices
from glc.dataset.outputs import Destination, open_destination
from glc.effort.levels import check_effort, check_torch
from glc.errors import GlcError

if TYPE_CHECKING:
    from glc.codec import Codec

__all__ = ["Result", "compress"]

_MAX_WORKERS = 4
_GPU_BATCH = 8


@dataclass
class Result:
    """How compressing went, or goes: what a progress callback gets, too."""

    destination: str
    """The name that was written; with shards that of this one."""
    pictures: int = 0
    """Coded by this call."""
    skipped: int = 0
    """Dealt with by an earlier one, failures included."""
    failures: list[Failure] = field(default_factory=list)
    """Of this call."""
    notices: Notices = field(default_factory=Notices)
    """What was lost or left out though nothing failed, of this call."""
    is_written: bool = True
    """False if every picture of an archive failed: then there is none."""
    bytes_in: int = 0
    """Read, for the pictures coded by this call."""
    bytes_out: int = 0
    """Of their .glc files."""
    seconds: float = 0.0
    """Since the model was ready."""

    @property
    def pictures_per_second(self) -> float:
        """Coded by this call, per second."""
        return self.pictures / self.seconds if self.seconds else 0.0


def compress(  # noqa: PLR0913 - the one call that has to say everything about a dataset
    source: Source,
    destination: str | os.PathLike[str],
    quality: int = 50,
    device: str = "auto",
    *,
    batch_size: int | None = None,
    workers: int | None = None,
    on_error: Literal["skip", "raise"] = "skip",
    resume: bool = True,
    shard: tuple[int, int] | None = None,
    model: str | os.PathLike[str] | Codec | None = None,
    keep_metadata: bool = False,
    effort: int = 0,
    staging: str | os.PathLike[str] | None = None,
    progress: Callable[[Result], None] | None = None,
) -> Result:
    """Compress every picture of a dataset.

    The order of the destination is that of the source, and its bytes depend on neither workers nor
    interruptions: called again after one, with the same arguments, it goes on where it was. On a
    CPU every file is the one that ``Codec.encode`` gives for its picture alone.

    Args:
        source: a folder (with all below it), a pattern, a WebDataset tar, a Parquet file, an
            archive, or several of them; ``{000..011}`` in names stands for each number. Or an
            iterable of (key, picture), where a picture is a path, bytes, a PIL image or an array.
            Pictures that are .glc files are taken as they are. Names may be URLs, by fsspec.
        destination: ``.glca`` is an archive, ``.parquet`` a table, all else a folder of .glc files;
            may be a URL.
        quality: 0 to 100.
        device: auto, cpu, cuda, cuda:1, mps.
        batch_size: pictures of one padded size that run through the networks together; by default
            1 on a CPU and 8 elsewhere. Batches may round differently from single pictures.
        workers: threads that read and threads that code; by default one per core, at most 4.
        on_error: ``skip`` notes a picture that fails in the list of failures beside the
            destination and goes on; ``raise`` ends at the first.
        resume: keep what earlier calls have done; False does all of it again. An archive or table
            that holds files of an earlier format version is gone on with in that version.
        shard: (i, n) takes pictures i, i + n, i + 2 n of the source, and an archive or table gets
            the number into its name. The folder of several shards is shared.
        model: name or path of a model, or a codec; by default the default model of the
            quality, or that of the first picture if it is a .glc file.
        keep_metadata: store EXIF and XMP.
        effort: as in ``Codec.encode``. What earlier calls made stays, whatever theirs was.
        staging: a local folder for unfinished archives and tables. By default that of the
            destination, or, for a URL, a temporary one that does not outlive an interruption.
        progress: called after every picture, in the caller's thread.

    Raises:
        ValueError: an argument out of range, nothing in the source, a name in it that does not
            exist, or a destination that was begun with other arguments.
        WeightsError: no such model.
        ModuleNotFoundError: Parquet without pyarrow, a URL without fsspec, or an effort without
            torch.
        BlockingIOError: another process is writing the destination.
        OSError: the destination cannot be written.
        Exception: with ``on_error="raise"``, whatever was wrong with a picture.

    Example:
        >>> from glc.dataset import compress
        >>> result = compress("pictures", "pictures.glca", quality=50)
        >>> result.pictures, result.failures
        (2, [])
    """
    _check(quality, batch_size, workers, on_error, shard)
    effort = check_effort(effort)
    check_torch(effort)
    notices = Notices()
    items, first = _peek(list_items(source, destination, notices))
    choice = ModelChoice(model, device, first, quality)
    # Loaded here, unless no picture may need it: a failure to load is none of a picture.
    device = "cpu" if choice.is_coded else choice.codec.device
    batch_size = batch_size or (1 if device == "cpu" else _GPU_BATCH)
    workers = workers or _default_workers()
    place = open_destination(destination, choice, quality, resume, shard, staging, notices)
    how = batch_size, workers, place.version, effort
    encoder = Encoder(choice, quality, keep_metadata, *how)
    result = Result(place.name, notices=notices)
    started = time.perf_counter()
    try:
        index, count = shard or (0, 1)
        chosen = (item for item in items if item.number % count == index)
        for coded in encoder.run(_missing(chosen, place, result)):
            error = _keep(coded, place, result)
            if error is not None and on_error == "raise":
                raise error
            if error is not None:
                _note(coded.item, error, place, result)
            result.seconds = time.perf_counter() - started
            if progress is not None:
                progress(result)
        result.is_written = place.finish()
    finally:
        place.release()
    result.seconds = time.perf_counter() - started
    return result


def _keep(coded: Coded, place: Destination, result: Result) -> Exception | None:
    """Write a picture; returns why not if it cannot be coded or not be stored under its key."""
    if coded.data is None:
        return coded.error
    try:
        place.add(coded.item, coded.data)
    except (GlcError, ValueError) as error:
        return error
    for notice in coded.notices:
        result.notices.add(notice, coded.item.key)
    result.pictures += 1
    result.bytes_in += coded.bytes_in
    result.bytes_out += len(coded.data)
    return None


def _note(item: Item, error: Exception, place: Destination, result: Result) -> None:
    text = " ".join(str(error).split()).removeprefix(f"{item.key}: ")
    if not isinstance(error, (GlcError, OSError, ValueError)):
        text = f"{type(error).__name__}: {text}"
    failure = Failure(item.number, item.key, text_of(text or type(error).__name__))
    place.fail(failure)
    result.failures.append(failure)


def _missing(items: Iterable[Item], place: Destination, result: Result) -> Iterator[Item]:
    for item in items:
        if place.has(item):
            result.skipped += 1
        else:
            yield item


def _peek(items: Iterator[Item]) -> tuple[Iterator[Item], bytes | None]:
    """Return all items again, and the bytes of the first one if it is a file.

    Raises:
        ValueError: there are none.
    """
    head = list(itertools.islice(items, 1))
    if not head:
        raise ValueError("source: it holds no picture")
    try:
        content = head[0].read()
    except Exception:
        # Reported when its turn comes.
        content = None
    return itertools.chain(head, items), content if isinstance(content, bytes) else None


def _check(
    quality: int,
    batch_size: int | None,
    workers: int | None,
    on_error: str,
    shard: tuple[int, int] | None,
) -> None:
    if not isinstance(quality, int) or not 0 <= quality <= QUALITY_MAX:
        raise ValueError(f"quality: expected an integer from 0 to {QUALITY_MAX}, found {quality!r}")
    for name, value in (("batch_size", batch_size), ("workers", workers)):
        if value is not None and value < 1:
            raise ValueError(f"{name}: expected 1 or more, found {value}")
    if on_error not in ("skip", "raise"):
        raise ValueError(f"on_error: expected skip or raise, found {on_error!r}")
    if shard is not None and not 0 <= shard[0] < shard[1]:
        raise ValueError(f"shard: expected (i, n) with 0 <= i < n, found {shard}")


def _default_workers() -> int:
    return min(os.cpu_count() or 1, _MAX_WORKERS)
