"""Rate and distortion of glc and its rivals on a folder of pictures.

    python -m eval.rd --images DIR --out DIR [--codecs glc,jpeg,...] [--quick]

Writes into --out: `pictures.csv` (every picture), `summary.json`, `curves/` (CompressAI's schema),
`files/` (the encoded files) and `run.json` (what was run, on what). Prints the table on stdout,
messages on stderr. Started again, it does only what is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress

from eval import codecs, curves, metrics, pictures, records, runner, sets, summary
from eval.backbones import Unavailable
from eval.codecs import Codec
from eval.frechet import SET_METRICS
from eval.metrics import Settings
from eval.pictures import Source
from eval.records import Journal, Record
from eval.runner import Plan, Task

QUICK_PICTURES = 4
QUICK_QUALITIES = 3
_PACKAGES = ("torch", "torchvision", "lpips", "pytorch-msssim", "torchmetrics", "pillow", "numpy")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the evaluation; 0 when all went well, 1 when something failed, 2 on wrong usage."""
    arguments = _parser().parse_args(argv)
    try:
        return _run(arguments)
    except ValueError as error:
        _say(f"eval.rd: {error}")
        return 2
    except KeyboardInterrupt:
        _say("eval.rd: stopped; the same command goes on from here")
        return 130


def _run(arguments: argparse.Namespace) -> int:
    quick: bool = arguments.quick
    sources = pictures.find(arguments.images, QUICK_PICTURES if quick else arguments.limit)
    device = _device(arguments.device)
    built, absent = _build_codecs(arguments, device)
    qualities = {codec.name: _qualities(codec, arguments) for codec in built}
    settings = Settings(device=device, judge=arguments.judge)
    wanted = arguments.metrics or (metrics.QUICK if quick else metrics.ALL)
    names, reasons = metrics.usable(wanted, settings)
    for name, reason in reasons.items():
        _say(f"metric {name} skipped: {reason}")
    if not built:
        raise ValueError("--codecs: none of them can be used here")

    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    of_pictures = tuple(name for name in names if name not in SET_METRICS)
    of_sets = [name for name in names if name in SET_METRICS]
    columns = [column for name in of_pictures for column in metrics.PICTURE_METRICS[name]]
    journal = Journal(out / "pictures.csv", columns)
    plan = Plan(of_pictures, settings, out)
    tasks = _missing(sources, built, qualities, columns, out)
    failures = _work(tasks, plan, arguments.jobs, built, journal)
    found = _wanted_records(sources, built, qualities, columns, out)
    complete = {key: q for key, q in qualities.items() if _is_complete(key, q, found, sources)}
    figures, set_settings = sets.measure(
        of_sets, sources, [c for c in built if c.name in complete], complete, out, device, _say
    )
    all_points = summary.points(found, figures)
    _write(out, arguments, all_points, set_settings, len(sources), reasons)
    print(summary.table(all_points))
    for failure in failures:
        _say(f"failed: {failure}")
    return 1 if failures or (arguments.codecs and absent) else 0


def _build_codecs(arguments: argparse.Namespace, device: str) -> tuple[list[Codec], dict[str, str]]:
    default = codecs.QUICK if arguments.quick else codecs.DEFAULT
    built: list[Codec] = []
    absent: dict[str, str] = {}
    for name in arguments.codecs or default:
        try:
            built.append(codecs.build(name, device))
        except Unavailable as error:
            absent[name] = str(error)
            _say(f"codec {name} skipped: {error}")
    return built, absent


def _qualities(codec: Codec, arguments: argparse.Namespace) -> tuple[float, ...]:
    if arguments.qualities:
        return tuple(arguments.qualities)
    if arguments.quick:
        return codec.qualities[:QUICK_QUALITIES]
    return codec.qualities


def _missing(
    sources: Sequence[Source],
    built: Sequence[Codec],
    qualities: dict[str, tuple[float, ...]],
    columns: Sequence[str],
    out: Path,
) -> list[Task]:
    done = {r.key for r in _wanted_records(sources, built, qualities, columns, out)}
    tasks = []
    for source in sources:
        for codec in built:
            left = tuple(
                quality
                for quality in qualities[codec.name]
                if (codec.name, codec.version, quality, source.name, source.digest) not in done
            )
            if left:
                tasks.append(Task(source, codec.name, left))
    return tasks


def _wanted_records(
    sources: Sequence[Source],
    built: Sequence[Codec],
    qualities: dict[str, tuple[float, ...]],
    columns: Sequence[str],
    out: Path,
) -> list[Record]:
    """Return this run's finished records; of several for the same thing the last one counts."""
    wanted = {
        (codec.name, codec.version, quality, source.name, source.digest): None
        for codec in built
        for quality in qualities[codec.name]
        for source in sources
    }
    kept: dict[Any, Record] = {}
    for record in records.read(out / "pictures.csv"):
        stored = runner.stored_file(out, record.codec, record.quality, record.picture)
        if record.key in wanted and set(columns) <= record.values.keys() and stored.exists():
            kept[record.key] = record
    return [kept[key] for key in wanted if key in kept]


def _is_complete(
    codec: str, qualities: Sequence[float], found: Sequence[Record], sources: Sequence[Source]
) -> bool:
    return sum(r.codec == codec for r in found) == len(qualities) * len(sources)


def _work(
    tasks: Sequence[Task], plan: Plan, jobs: int, built: Sequence[Codec], journal: Journal
) -> list[str]:
    failures = []
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("measuring", total=sum(len(task.qualities) for task in tasks))
        for outcome in runner.run(tasks, plan, jobs, built):
            journal.append(outcome.records)
            progress.advance(bar, len(outcome.task.qualities))
            if outcome.failure:
                failures.append(outcome.failure)
    return failures


def _write(
    out: Path,
    arguments: argparse.Namespace,
    all_points: Sequence[summary.Point],
    set_settings: dict[str, Any],
    count: int,
    reasons: dict[str, str],
) -> None:
    run = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "images": str(arguments.images),
        "pictures": count,
        "hardware": hardware(_device(arguments.device)),
        "jobs": arguments.jobs,
        "packages": {name: _version(name) for name in _PACKAGES},
        "set_metrics": set_settings,
        "skipped": reasons,
    }
    _dump(out / "run.json", run)
    _dump(out / "summary.json", [asdict(point) for point in all_points])
    curves.write(out / "curves", all_points, f"{count} pictures of {arguments.images.name}")


def hardware(device: str) -> str:
    """Return the machine in words: processor, cores and, when used, the accelerator."""
    cores = f"{os.cpu_count()} cores, {platform.machine()}"
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(errors="replace").splitlines()
        model = next((s.split(":")[1].strip() for s in lines if s.startswith("model name")), model)
    words = f"{model} ({cores})"
    return words if device == "cpu" else f"{words}, {torch.cuda.get_device_name()}"


def _device(name: str) -> str:
    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"


def _dump(path: Path, value: Any) -> None:
    text = json.dumps(value, indent=2, default=str)
    path.write_text(text + "\n", encoding="utf-8")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def _say(message: str) -> None:
    print(message, file=sys.stderr)


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _numbers(text: str) -> list[float]:
    return [float(part) for part in _names(text)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m eval.rd", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("--images", type=Path, required=True, metavar="DIR", help="folder of pictures")
    add("--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    add("--codecs", type=_names, metavar="A,B", help=f"default: {','.join(codecs.DEFAULT)}")
    add("--qualities", type=_numbers, metavar="N,N", help="for all codecs; default: their own")
    add("--metrics", type=_names, metavar="A,B", help=f"default: {','.join(metrics.ALL)}")
    add("--judge", type=Path, metavar="PATH", help="weights of the judge network (safetensors)")
    add("--limit", type=int, metavar="N", help="only the first N pictures")
    add("--quick", action="store_true", help="four pictures, few codecs, points and metrics")
    add("--device", default="cpu", help="cpu (default), cuda or auto")
    add("-j", "--jobs", type=int, default=1, metavar="N", help="processes (default 1)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
