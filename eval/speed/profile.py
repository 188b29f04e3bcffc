"""Where the time of encoding and decoding goes: whole processes, and part by part inside of one.

    python -m eval.speed.profile --image FILE [--preset base | --model NAME] [--threads 1,2]

*Whole process*: interpreter, imports, weights, the work itself for one picture, writing; what
``glc encode`` and ``glc decode`` do. *In process*: the networks and the coder, warm. Every figure
is a median, in milliseconds, of wall-clock and, in brackets, of processor time, which a busy
machine disturbs less. ``torch`` and ``fast``, which is ONNX Runtime, are runtimes of ``glc.Codec``;
``int8`` is the second that decodes in 8 bits.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eval import provenance
from eval.report.summary import markdown
from eval.speed import random_weights
from glc import Codec, GlcError
from glc.config import PRESETS
from glc.weights import registry


def whole_process(
    runtime: str, work: str, model: Path, files: dict[str, Path], threads: int, repeat: int
) -> dict[str, tuple[float, float]]:
    """Return the median of every stage over several processes, after one that is not counted.

    Args:
        runtime: torch, fast or int8.
        work: encode or decode.
        model: weights file.
        files: ``encode`` and ``decode`` name what each reads, ``target`` what is written.
        threads: of the networks.
        repeat: how many processes.
    """
    target = files["target"].with_suffix(".glc" if work == "encode" else ".png")
    question = {"kind": "whole", "runtime": runtime, "work": work, "model": str(model)}
    question |= {"source": str(files[work]), "target": str(target)}
    answers = [_ask(question, threads)["stages"] for _ in range(repeat + 1)][1:]
    stages = {
        stage: (_middle(a[stage][0] for a in answers), _middle(a[stage][1] for a in answers))
        for stage in answers[0]
    }
    stages["all"] = (
        _middle(sum(wall for wall, _ in a.values()) for a in answers),
        _middle(sum(cpu for _, cpu in a.values()) for a in answers),
    )
    return stages


def in_process(
    runtime: str, model: Path, image: Path, threads: int, repeat: int, size: list[int] | None
) -> dict[str, dict[str, tuple[float, float]]]:
    """Return the median of every part of ``encode`` and ``decode`` in one warm process."""
    question = {"kind": "inside", "runtime": runtime, "model": str(model)}
    question |= {"source": str(image), "repeat": repeat, "size": size}
    parts: dict[str, dict[str, tuple[float, float]]] = _ask(question, threads)["parts"]
    return parts


def rows(found: dict[str, dict[str, tuple[float, float]]]) -> list[list[str]]:
    """Return a table of milliseconds, header first: a column per run, a row per stage."""
    names = list(dict.fromkeys(stage for run in found.values() for stage in run))
    for last in ("rest", "all"):
        if last in names:
            names.append(names.pop(names.index(last)))
    table = [["", *found]]
    for name in names:
        cells = [run.get(name) for run in found.values()]
        table.append([name, *(_cell(*cell) if cell else "" for cell in cells)])
    return table


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 0 when all went well, 2 on wrong usage."""
    arguments = _parser().parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        try:
            if arguments.preset:
                model = random_weights.write(folder, arguments.preset)
            else:
                model = registry.locate(arguments.model)
            coded = folder / "picture.glc"
            coded.write_bytes(Codec.from_pretrained(model, device="cpu").encode(arguments.image))
        except (GlcError, OSError) as error:
            print(f"eval.speed.profile: {error}", file=sys.stderr)
            return 2
        files = {"encode": arguments.image, "decode": coded, "target": folder / "out"}
        print(f"{provenance.hardware('cpu')}, {model.stem}, {arguments.image.name}")
        result: dict[str, Any] = dict(provenance.describe("cpu"))
        for threads in arguments.threads:
            for work in ("encode", "decode"):
                title = f"{work}, whole process, {threads} threads"
                result[title] = {
                    runtime: whole_process(runtime, work, model, files, threads, arguments.repeat)
                    for runtime in arguments.runtimes
                }
                print(f"\n## {title}\n\n{markdown(rows(result[title]))}", flush=True)
            warm = {
                runtime: in_process(
                    runtime, model, arguments.image, threads, arguments.repeat, arguments.size
                )
                for runtime in arguments.runtimes
            }
            for work in ("encode", "decode"):
                title = f"{work}, in process, {threads} threads"
                result[title] = {runtime: parts[work] for runtime, parts in warm.items()}
                print(f"\n## {title}\n\n{markdown(rows(result[title]))}", flush=True)
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


def _ask(question: dict[str, Any], threads: int) -> dict[str, Any]:
    """Run ``eval.speed.profile_worker`` in a process of its own and return what it says."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    text = json.dumps(question | {"began": time.time()})
    done = subprocess.run(  # noqa: S603 - this interpreter and a module of this package
        [sys.executable, "-m", "eval.speed.profile_worker", text],
        env=environment,
        capture_output=True,
        check=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _middle(values: Any) -> float:
    return statistics.median(values)


def _cell(wall: float, cpu: float) -> str:
    return f"{1000 * wall:.1f} ({1000 * cpu:.1f})"


def _list(text: str) -> list[str]:
    return text.split(",")


def _size(text: str) -> list[int]:
    width, _, height = text.partition("x")
    return [int(width), int(height)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m eval.speed.profile", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("--image", type=Path, required=True, metavar="FILE", help="the picture that is coded")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--model", metavar="NAME", help="name or path (default: the shipped one)")
    what.add_argument("--preset", choices=sorted(PRESETS), help="random weights of this shape")
    add("--size", type=_size, metavar="WxH", help="scale the picture, in process only")
    add("--threads", type=lambda t: [int(n) for n in _list(t)], default=[1, 2], metavar="1,2")
    add("--runtimes", type=_list, default=["torch", "fast"], metavar="A,B", help="also int8")
    add("--repeat", type=int, default=5, metavar="N", help="runs of each (default 5)")
    add("--out", type=Path, metavar="FILE", help="write the figures as JSON too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
