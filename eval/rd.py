"""Rate and distortion of glc and its rivals on a folder of pictures.

    python -m eval.rd --images DIR --out DIR [--codecs glc,jpeg,...] [--quick]

Writes into --out: `report.html` (look at this one), `tables.md`, `pictures.csv` (every picture),
`summary.json`, `curves/` (CompressAI's schema), `plots/`, `files/` (the encoded files) and
`run.json` (what was run, on what). Prints the table on stdout, messages on stderr. Started again,
it does only what is missing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress

from eval import pictures, provenance, records, runner
from eval.codecs import adapters
from eval.codecs.adapters import Codec
from eval.metrics import registry, set_metrics
from eval.metrics.backbones import Unavailable
from eval.metrics.frechet import SET_METRICS
from eval.metrics.settings import Settings
from eval.pictures import Source
from eval.records import Journal, Record
from eval.report import at_rate, live, results, summary
from eval.report.curves import is_ours
from eval.report.results import Results
from eval.runner import Plan, Task

QUICK_PICTURES = 4
QUICK_QUALITIES = 3


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
    sources = pictures.find(arguments.images)[:: arguments.every]
    sources = sources[: QUICK_PICTURES if quick else arguments.limit]
    device = _device(arguments.device)
    built, recipes, absent = _build_codecs(arguments, device)
    qualities = {codec.name: _qualities(codec, arguments) for codec in built}
    settings = Settings(device, arguments.judge, arguments.classifier, arguments.features)
    wanted = arguments.metrics or (registry.QUICK if quick else registry.ALL)
    names, reasons = registry.usable(wanted, settings)
    for name, reason in reasons.items():
        _say(f"metric {name} skipped: {reason}")
    if not built:
        raise ValueError("--codecs: none of them can be used here")
    decoder = live.prepare(_tested(built, recipes)) if arguments.live else None

    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    of_pictures = tuple(name for name in names if name not in SET_METRICS)
    of_sets = [name for name in names if name in SET_METRICS]
    columns = [column for name in of_pictures for column in registry.PICTURE_METRICS[name]]
    journal = Journal(out / "pictures.csv", columns)
    plan = Plan(of_pictures, settings, out, recipes)
    tasks = _missing(sources, built, qualities, columns, out)
    failures = _work(tasks, plan, arguments.jobs, built, journal)
    found = _wanted_records(sources, built, qualities, columns, out)
    complete = {key: q for key, q in qualities.items() if _is_complete(key, q, found, sources)}
    figures, set_settings = set_metrics.measure(
        of_sets, sources, [c for c in built if c.name in complete], complete, out, settings, _say
    )
    for failure in failures:
        _say(f"failed: {failure}")
    if not found:
        _say("eval.rd: nothing was measured")
        return 1
    run = {
        **provenance.describe(device),
        "images": str(arguments.images),
        "pictures": len(sources),
        "names": [source.name for source in sources],
        "codecs": recipes,
        "jobs": arguments.jobs,
        "rates": arguments.at,
        "classifier": arguments.classifier if "agree" in names else None,
        "set_metrics": set_settings,
        "skipped": {**absent, **reasons},
    }
    done = Results(sources, found, summary.points(found, figures), run)
    results.write(out, done, built, _say, decoder)
    table = summary.rows(done.points)
    print(summary.markdown(table) + summary.footnotes(table))
    same = at_rate.rows(done.points, arguments.at)
    if len(same) > 1:
        print(f"\n{results.AT_RATE}:\n\n{summary.markdown(same)}")
    return 1 if failures or (arguments.codecs and absent) else 0


def _build_codecs(
    arguments: argparse.Namespace, device: str
) -> tuple[list[Codec], dict[str, str], dict[str, str]]:
    """Return the codecs, what each was built from, and why the others are absent."""
    default = adapters.QUICK if arguments.quick else adapters.DEFAULT
    built: list[Codec] = []
    recipes: dict[str, str] = {}
    absent: dict[str, str] = {}
    for recipe in dict.fromkeys(arguments.codecs or default):
        try:
            codec = adapters.build(recipe, device)
        except Unavailable as error:
            absent[recipe] = str(error)
            _say(f"codec {recipe} skipped: {error}")
            continue
        if codec.name in recipes:
            raise ValueError(f"--codecs: {recipe} and {recipes[codec.name]} have the same name")
        built.append(codec)
        recipes[codec.name] = recipe
    return built, recipes, absent


def _tested(built: Sequence[Codec], recipes: dict[str, str]) -> str:
    """Return the recipe of the codec that the report will be about."""
    ours = [recipes[codec.name] for codec in built if is_ours(codec.name)]
    return ours[0] if ours else recipes[built[0].name]


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
            kept[record.key] = replace(record, values={c: record.values[c] for c in columns})
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


def _device(name: str) -> str:
    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"


def _say(message: str) -> None:
    print(message, file=sys.stderr)


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _numbers(text: str) -> list[float]:
    return [float(part) for part in _names(text)]


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="glc eval", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("--images", type=Path, required=True, metavar="DIR", help="folder of pictures")
    add("--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    add("--codecs", type=_names, metavar="A,B", help=f"default: {','.join(adapters.DEFAULT)}")
    add("--qualities", type=_numbers, metavar="N,N", help="for all codecs; default: their own")
    add("--metrics", type=_names, metavar="A,B", help=f"default: {','.join(registry.ALL)}")
    add("--features", type=Path, metavar="DIR", help="safetensors of AlexNet, VGG16, DISTS, judge")
    add("--judge", type=Path, metavar="PATH", help="weights of the judge network (safetensors)")
    add("--classifier", default="resnet50", metavar="NAME", help="of torchvision, for `agree`")
    add("--every", type=_count, default=1, metavar="N", help="only every Nth picture")
    add(
        "--at",
        type=_numbers,
        default=list(at_rate.RATES),
        metavar="B,B",
        help="rates at which curves are compared, in bits per pixel",
    )
    add("--limit", type=int, metavar="N", help="only the first N pictures")
    add("--quick", action="store_true", help="four pictures, few codecs, points and metrics")
    add(
        "--live",
        action="store_true",
        help="the report decodes its .glc files: the codec for browsers beside it, in live/",
    )
    add("--device", default="cpu", help="cpu (default), cuda or auto")
    add("-j", "--jobs", type=int, default=1, metavar="N", help="processes (default 1)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
