"""A model of one kind of pictures against a general one: what it wins at home and loses abroad.

    python -m eval.research.domain --home DIR --general DIR --abroad DIR --init RUN --out DIR -- \
        --steps 350

Holds out a part of the pictures of `--home`, continues the same model twice by `glc finetune` with
the same options (those after `--`): once on the rest of them, once on `--general`. Both then encode
the held-out pictures and those of `--abroad`, which neither was trained on, and BD-rates say how
many percent fewer or more bits the one needs. Writes `domain.md` beside a run of `eval.rd` for each
set; started again, it does only what is missing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from codec_cli.main import main as glc_main
from eval import rd
from eval.metrics import bd
from eval.report import results, summary
from eval.research.split import split

QUALITIES = (0, 30, 60, 90)
METRICS = ("psnr", "ms-ssim", "lpips-squeeze")
SHARE = 0.05
"""Of the pictures of home, what is held out."""


def main(argv: Sequence[str] | None = None) -> int:
    """Split, train, measure, compare; 0 when all went well."""
    arguments = _parser().parse_args(argv)
    out: Path = arguments.out
    home, home_test = out / "home", out / "home-test"
    if not home_test.is_dir():
        partial = out / "home.partial"
        kept, held_out = split(arguments.home, partial, home_test, SHARE)
        partial.rename(home)
        _say(f"{kept} pictures to train on, {held_out} held out")
    for name, data in (("home", home), ("general", arguments.general)):
        if not (weights := out / f"{name}.safetensors").exists():
            told = ["--data", str(data), "--init", str(arguments.init), "--out", str(weights)]
            told += ["--run", str(out / f"{name}-run"), *arguments.finetune]
            if code := glc_main(["finetune", *told]):
                return code
    lines = ["| pictures | against | " + " | ".join(METRICS) + " |", "|---|---|" + "---:|" * 3]
    for name, images in (("home", home_test), ("abroad", arguments.abroad)):
        measured = out / f"rd-{name}"
        named = [f"glc:{out / f'{model}.safetensors'}" for model in ("home", "general")]
        named += [f"glc:{path}" for path in arguments.also]
        told = ["--images", str(images), "--out", str(measured), "--codecs", ",".join(named)]
        told += ["--qualities", ",".join(map(str, QUALITIES)), "--metrics", ",".join(METRICS)]
        if arguments.limit:
            told += ["--limit", str(arguments.limit)]
        if code := rd.main(told):
            return code
        lines += compare(name, results.read(measured).points)
    text = "\n".join(lines)
    (out / "domain.md").write_text(text + "\n", encoding="utf-8")
    print(text)
    return 0


def compare(name: str, points: Sequence[summary.Point]) -> list[str]:
    """Return the rows of the table for one set: the model of home against every other."""
    deltas = bd.deltas(points, "glc:home")
    return [f"| {name} | {' | '.join(row)} |" for row in bd.rows(deltas)[1:]]


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m eval.research.domain",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--home", type=Path, required=True, metavar="DIR", help="pictures of one kind, or tars")
    add("--general", type=Path, required=True, metavar="DIR", help="training pictures of all kinds")
    add("--abroad", type=Path, required=True, metavar="DIR", help="test pictures of other kinds")
    add("--init", type=Path, required=True, metavar="RUN", help="what both start from")
    add("--out", type=Path, required=True, metavar="DIR", help="folder for models and results")
    add("--also", type=Path, nargs="*", default=[], metavar="FILE", help="more models to measure")
    add("--limit", type=int, metavar="N", help="test on the first N pictures of each set only")
    add("finetune", nargs="*", metavar="-- OPTION", help="for glc finetune")
    return parser


if __name__ == "__main__":
    sys.exit(main())
