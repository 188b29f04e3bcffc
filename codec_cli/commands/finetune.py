"""``glc finetune``: adapts a model to pictures of one kind; thin over ``glc train``.

The result is a model of its own: it has its own identity, and its files need it to decode.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from codec_cli.support import exit_codes
from codec_cli.support.extras import missing
from codec_cli.support.faults import reason_of
from codec_cli.support.options import Parser
from codec_cli.support.report import say
from glc.errors import GlcError

__all__ = ["run"]

_SUFFIX = ".safetensors"
_BUDGET = "30m"
_SETTINGS = {
    "learning_rate_3": "2e-4",
    "warmup_steps": "50",
    "perceptual_start": "0",
    "sample_every": "1000000",
}
"""Gentler than phase 3 of a model that is still learning, all losses from the start, and no
samples on the way."""
_PASSED_ON = (
    "batch",
    "crop",
    "steps",
    "limit",
    "seed",
    "threads",
    "features",
    "mobilenet",
    "summary",
)
"""Options that mean here what they mean to ``glc train``."""


def run(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        target = _target(options.out, options.install)
        start = _start(options.init)
        from glc import training

        code = training.main(training_arguments(options, start, target))
    except ModuleNotFoundError as error:
        say(f"glc finetune: {missing(error, 'train')}")
        return exit_codes.FAILED
    except (GlcError, OSError) as error:
        say(f"glc finetune: {reason_of(error)}")
        return exit_codes.FAILED
    if code != exit_codes.OK or not target.is_file():
        return int(code) or exit_codes.FAILED
    if options.install:
        say(f"installed: glc encode --model {target.stem} PICTURE")
    else:
        say(
            f"glc encode --model {target} PICTURE uses it; put it into a folder named by "
            f"GLC_MODELS, and --model {target.stem} finds it, and every file its model by itself"
        )
    return exit_codes.OK


def training_arguments(options: argparse.Namespace, start: Path, target: Path) -> list[str]:
    """Return what ``glc train`` is told: phase 3 from ``start``, exported to ``target``."""
    run_folder = options.run or Path(f"{target.stem}-run")
    told = ["--data", options.data, "--out", str(run_folder), "--phase", "3", "--init", str(start)]
    told += ["--export", str(target), "--device", options.device]
    if options.steps is None:
        told += ["--time-budget", options.time_budget or _BUDGET, "--fit-steps"]
    elif options.time_budget is not None:
        told += ["--time-budget", options.time_budget]
    for name in _PASSED_ON:
        value = getattr(options, name)
        told += [] if value is None else [f"--{name}", str(value)]
    told += ["--stream"] if options.stream else []
    settings = dict(_SETTINGS)
    if start.suffix == _SUFFIX:
        # Codebook and predictor would be random: their gradient only disturbs a short run.
        settings["code_weight_3"] = "0"
    for pair in (*(f"{name}={value}" for name, value in settings.items()), *options.set):
        told += ["--set", pair]
    return told


def _target(out: Path, install: bool) -> Path:
    """Return where the weights go; what is there is never replaced, its files would be lost."""
    name = out.name if out.suffix == _SUFFIX else out.name + _SUFFIX
    target = out.with_name(name)
    if install:
        from glc.weights import registry

        folder = os.environ.get(registry.MODELS_VARIABLE, "").split(os.pathsep)[0]
        if not folder:
            raise exit_codes.UsageError(
                f"--install needs a folder: set {registry.MODELS_VARIABLE} to one"
            )
        if out.parent != Path():
            raise exit_codes.UsageError(f"--install: expected a name, found {out}")
        if any(model.name == target.stem for model in registry.installed()):
            raise exit_codes.UsageError(f"--out: a model named {target.stem} is installed already")
        target = Path(folder) / name
    if target.exists():
        raise exit_codes.UsageError(
            f"--out: {target} exists; files made with it could no longer be read"
        )
    return target


def _start(init: str | None) -> Path:
    """Return the run or the weights to start from."""
    from glc.weights import registry

    if init is not None and Path(init).exists():
        return Path(init)
    return registry.locate(init)


def _parser() -> Parser:
    parser = Parser(
        prog="glc finetune",
        description="Adapt a model to pictures of one kind: phase 3 of glc train from shipped "
        "weights or from a run. The result is a model of its own, with a card beside it.",
        epilog="example: glc finetune --data pets --out pets --time-budget 1h",
    )
    add = parser.add_argument
    add("--data", required=True, metavar="SOURCE", help="folder of pictures, tar, or glob of tars")
    add(
        "--out",
        required=True,
        type=Path,
        metavar="NAME",
        help=f"name of the new model, or where its {_SUFFIX} file goes",
    )
    add(
        "--init",
        metavar="NAME|PATH",
        help="an installed model, a weight file, or a run of glc train (default: the default "
        "model); only a run has codebook, code predictor and the weights of the rate",
    )
    add(
        "--time-budget",
        metavar="TIME",
        help=f"e.g. 20m or 1h (default: {_BUDGET}); the steps are chosen to fill it",
    )
    add("--steps", type=int, metavar="N", help="so many steps instead")
    add(
        "--install",
        action="store_true",
        help="put the model into the first folder of GLC_MODELS, where --model NAME finds it",
    )
    add("--run", type=Path, metavar="DIR", help="run folder with the log (default: NAME-run)")
    add("--batch", type=int, metavar="N", help="crops per step")
    add("--crop", type=int, metavar="N", help="pixels a side of a crop")
    add("--limit", type=int, metavar="N", help="use this many pictures only")
    add("--stream", action="store_true", help="decode pictures when needed, for large sets")
    add("--set", action="append", default=[], metavar="FIELD=VALUE", help="as in glc train")
    add("--seed", type=int, metavar="N")
    add("--summary", metavar="TEXT", help="one line about the model, for glc models")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    add("--threads", type=int, metavar="N", help="CPU threads")
    add("--features", type=Path, metavar="DIR", help="as in glc train")
    add("--mobilenet", type=Path, metavar="FILE", help="as in glc train")
    return parser
