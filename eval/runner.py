"""The work of a run: every picture through every codec, in this process or in several.

A task is one picture with one codec at all the qualities that are still missing. Encoded files are
kept under `files/`, so that everything later (set metrics, the report) starts from real files.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from eval.codecs import adapters
from eval.codecs.adapters import Codec
from eval.metrics import registry
from eval.metrics.registry import Metric
from eval.metrics.settings import Settings
from eval.pictures import RGB, Source, load, pixels
from eval.records import Record
from eval.report.curves import file_name


@dataclass(frozen=True)
class Task:
    """One picture, one codec, some qualities."""

    source: Source
    codec: str
    qualities: tuple[float, ...]


@dataclass(frozen=True)
class Outcome:
    """What came of a task: records, and a message when it failed on the way."""

    task: Task
    records: tuple[Record, ...]
    failure: str | None = None


@dataclass(frozen=True)
class Plan:
    """What every worker is told: the metrics, their settings and where files go."""

    metrics: tuple[str, ...]
    settings: Settings
    out: Path
    codecs: Mapping[str, str]
    """How to build each codec, by the name it then has: `glc:tiny` from `glc:weights/tiny`."""


class Worker:
    """Does tasks one after another and keeps codecs, metrics and the last picture loaded."""

    def __init__(self, plan: Plan, ready: Sequence[Codec] = ()) -> None:
        """Build the metrics; `ready` codecs need not be built from their names."""
        self._plan = plan
        self._metrics: list[Metric] = [registry.build(m, plan.settings) for m in plan.metrics]
        self._codecs = {codec.name: codec for codec in ready}
        self._picture: tuple[Source, RGB] | None = None

    def run(self, task: Task) -> Outcome:
        """Do one task; a codec's failure ends the task, not the run."""
        done: list[Record] = []
        try:
            if task.codec not in self._codecs:
                self._codecs[task.codec] = adapters.build(
                    self._plan.codecs[task.codec], self._plan.settings.device
                )
            codec = self._codecs[task.codec]
            done.extend(self._measure(task.source, codec, quality) for quality in task.qualities)
        except Exception as error:  # codecs are foreign code and may raise anything
            where = f"{task.source.name}, {task.codec}"
            return Outcome(task, tuple(done), f"{where}: {type(error).__name__}: {error}")
        return Outcome(task, tuple(done))

    def _measure(self, source: Source, codec: Codec, quality: float) -> Record:
        if self._picture is None or self._picture[0] != source:
            # The same array goes to every comparison: metrics keep what they saw of it.
            self._picture = (source, pixels(load(source.path)))
        x = self._picture[1]
        image = load(source.path)
        start = time.perf_counter()
        data = codec.encode(image, quality)
        encoded = time.perf_counter()
        decoded = codec.decode(data)
        end = time.perf_counter()
        x_hat = pixels(decoded)
        if x_hat.shape != x.shape:
            raise ValueError(f"decoded shape {x_hat.shape}, expected {x.shape}")
        path = stored_file(self._plan.out, codec.name, quality, source.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        values: dict[str, float] = {}
        for metric in self._metrics:
            values |= zip(metric.columns, metric.measure(x, x_hat), strict=True)
        return Record(
            codec=codec.name,
            version=codec.version,
            quality=quality,
            picture=source.name,
            digest=source.digest,
            width=image.width,
            height=image.height,
            size_bytes=len(data),
            encode_s=encoded - start,
            decode_s=end - encoded,
            values=values,
        )


def stored_file(out: Path, codec: str, quality: float, picture: str) -> Path:
    """Return where a run keeps the encoded file of a picture."""
    return out / "files" / file_name(codec) / f"{quality:g}" / (file_name(picture) + ".bin")


def run(
    tasks: Sequence[Task], plan: Plan, jobs: int, ready: Sequence[Codec] = ()
) -> Iterator[Outcome]:
    """Do the tasks and yield each outcome as it comes.

    Args:
        tasks: best grouped by picture.
        plan: the metrics and where files go.
        jobs: processes; with 1 everything happens in this one.
        ready: codecs already built, used in this process only.
    """
    if jobs <= 1:
        worker = Worker(plan, ready)
        for task in tasks:
            yield worker.run(task)
        return
    # spawn, because a forked torch can hang in its thread pool
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, initializer=_begin, initargs=(plan,)) as pool:
        try:
            for future in as_completed([pool.submit(_work, task) for task in tasks]):
                yield future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_worker: list[Worker] = []


def _begin(plan: Plan) -> None:
    import torch

    torch.set_num_threads(1)
    _worker.append(Worker(plan))


def _work(task: Task) -> Outcome:
    return _worker[0].run(task)
