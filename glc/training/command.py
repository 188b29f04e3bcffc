"""``python -m glc.training`` and ``glc train``: arguments, and the order of the phases."""

from __future__ import annotations

import argparse
import dataclasses
import re
import sys
import time
from pathlib import Path
from typing import Any

import torch

from glc.training.data import PictureStore
from glc.training.loop import Trainer, TrainingError
from glc.training.settings import TrainingSettings


def parse_duration(text: str) -> float:
    """Return the seconds of ``90``, ``90s``, ``9m`` or ``1.5h``.

    Raises:
        argparse.ArgumentTypeError: anything else.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"expected a duration such as 90s, 9m or 2h, got {text!r}")
    return float(match[1]) * {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}[match[2]]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="glc train", description="Train a codec in three phases.")
    parser.add_argument("--phase", choices=["1", "2", "3", "all"], default="all")
    parser.add_argument("--preset", default="tiny", help="tiny, base, or a TOML file")
    parser.add_argument("--data", required=True, help="folder of pictures, tar, or glob of tars")
    parser.add_argument("--limit", type=int, help="use this many pictures only")
    parser.add_argument("--out", type=Path, required=True, help="run folder")
    parser.add_argument("--resume", choices=["auto", "never"], default="auto")
    parser.add_argument("--time-budget", type=parse_duration, help="stop cleanly after, e.g., 9m")
    parser.add_argument("--steps", type=int, help="steps of every phase that runs")
    parser.add_argument("--init", type=Path, help="checkpoint.pt of another run to start from")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("--mobilenet", type=Path, help="MobileNetV2 weights (safetensors)")
    parser.add_argument("--export", type=Path, help="write the weights here at the end")
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="override any setting"
    )
    for name in ("batch", "crop", "seed"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--regulariser", choices=["vq", "fsq", "kl"])
    return parser


def settings_from(args: argparse.Namespace) -> TrainingSettings:
    """Merge preset file, named options and ``--set`` pairs.

    Raises:
        ValueError: an unknown field or a value of the wrong type.
    """
    overrides: dict[str, Any] = {"seed": args.seed, "regulariser": args.regulariser}
    for name in ("batch", "crop", "steps"):
        overrides |= {f"{name}_{phase}": getattr(args, name) for phase in (1, 2, 3)}
    kinds = {f.name: type(f.default) for f in dataclasses.fields(TrainingSettings)}
    for pair in args.set:
        name, _, text = pair.partition("=")
        if name not in kinds:
            raise ValueError(f"unknown training setting {name!r}")
        overrides[name] = text.lower() in ("1", "true") if kinds[name] is bool else kinds[name](text)
    return TrainingSettings.load(args.preset, overrides)


def main(argv: list[str] | None = None) -> int:
    """Run training; returns the exit code (0 done or out of time, 1 failed, 2 wrong usage)."""
    args = _parser().parse_args(argv)
    started = time.monotonic()
    deadline = None if args.time_budget is None else started + args.time_budget
    if args.threads:
        torch.set_num_threads(args.threads)
    device = torch.device(_pick_device(args.device))
    try:
        settings = settings_from(args)
        store = PictureStore(args.data, settings.crop_3, device=device, limit=args.limit)
        try:
            held_out = PictureStore(args.data, 256, held_out=True, device=device, limit=args.limit)
        except ValueError:
            held_out = None
        _say(f"{store.count} pictures, {store.pixels / 1e6:.0f} Mpixel, {store.skipped} skipped")
        trainer = Trainer(settings, store, held_out, args.out, device, args.mobilenet)
        phases = [1, 2, 3] if args.phase == "all" else [int(args.phase)]
        resumed = args.resume == "auto" and trainer.resume()
        if resumed:
            _say(f"resumed phase {trainer.phase} at step {trainer.step}")
        elif args.init is not None:
            trainer.initialise(args.init)
        for phase in phases:
            if resumed and phase < trainer.phase:
                continue
            if not (resumed and phase == trainer.phase):
                trainer.begin_phase(phase)
            if not trainer.run_phase(deadline):
                _say(f"phase {phase}: out of time at step {trainer.step}; resume to go on")
                return 0
            _say(f"phase {phase} finished after {trainer.seconds:.0f} s")
    except (TrainingError, ValueError, OSError) as error:
        _say(f"error: {error}")
        return 2 if isinstance(error, ValueError) else 1
    return 0


def _pick_device(name: str) -> str:
    if name != "auto":
        return name
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
