"""``glc train`` and ``python -m glc.training``: arguments, and the order of the phases."""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from glc.errors import GlcError
from glc.networks.codebook import GaussianBottleneck
from glc.runtime.torch import pick_device
from glc.training.data.crops import Pictures
from glc.training.data.in_memory import InMemoryImages
from glc.training.data.streaming import StreamingImages
from glc.training.engine import resume
from glc.training.engine.loop import Trainer
from glc.training.engine.nonfinite_guard import TrainingError
from glc.training.engine.phases import Ensemble
from glc.training.engine.start import settle
from glc.training.engine.step_budget import steps_within
from glc.training.export.model_card import write_card
from glc.training.export.weights_file import export
from glc.training.losses.feature_files import FeatureFiles
from glc.training.losses.features import PerceptualLoss
from glc.training.settings import TrainingSettings
from glc.weights import manifest

_EPILOG = """\
examples:
  glc train --data photos --out runs/mine                   all three phases of the tiny preset
  glc train --data 'shards/*.tar' --out runs/base --preset base --time-budget 9m
                                                            nine minutes; the same again goes on
  glc train --data photos --out runs/mine --export-only --export mine.safetensors
  torchrun --nproc-per-node 8 -m glc.training --data ...    eight GPUs; --batch is per GPU

docs/training.md says more.
"""


def parse_duration(text: str) -> float:
    """Return the seconds of ``90``, ``90s``, ``9m`` or ``1.5h``.

    Raises:
        argparse.ArgumentTypeError: anything else.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"expected a duration such as 90s, 9m or 2h, got {text!r}")
    return float(match[1]) * {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}[match[2]]


def parse_qualities(text: str) -> tuple[float, ...]:
    """Return the qualities of ``40,100``.

    Raises:
        argparse.ArgumentTypeError: anything else.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        message = f"expected qualities such as 40,100, got {text!r}"
        raise argparse.ArgumentTypeError(message) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="glc train",
        description="Train a codec in three phases: 1 autoencoder, 2 transform coding, 3 jointly.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    group = parser.add_argument_group("what to train, and on what")
    group.add_argument(
        "--data", required=True, metavar="SOURCE", help="folder of pictures, tar, or glob of tars"
    )
    group.add_argument("--out", type=Path, required=True, metavar="DIR", help="run folder")
    group.add_argument(
        "--preset", help="tiny, base, or a TOML file of settings (default: that of --init, or tiny)"
    )
    group.add_argument("--phase", choices=["1", "2", "3", "all"], default="all")
    group.add_argument(
        "--init", type=Path, metavar="PATH",
        help="start from another run (its folder, checkpoint or compact folder) or .safetensors",
    )  # fmt: skip
    group.add_argument(
        "--donor", type=Path, metavar="FILE",
        help="with architecture 3: begin the realistic decoder as the decoder of these weights",
    )  # fmt: skip
    group.add_argument(
        "--init-qualities", type=parse_qualities, metavar="A,B",
        help="make these qualities of --init all of them, 0 to 100: a model for some rates alone. "
        "Two are the ends; or as many as the model has anchors",
    )  # fmt: skip
    group.add_argument("--limit", type=int, metavar="N", help="use this many pictures only")
    group.add_argument(
        "--stream", action="store_true",
        help="decode pictures when needed, for sets that do not fit into memory",
    )  # fmt: skip

    group = parser.add_argument_group("settings (every phase that runs gets the same value)")
    for name, text in (
        ("steps", "steps, of the phases that have any"),
        ("batch", "crops per step"),
        ("crop", "pixels a side"),
    ):
        group.add_argument(f"--{name}", type=int, metavar="N", help=text)
    group.add_argument("--seed", type=int, metavar="N")
    group.add_argument("--regulariser", choices=["vq", "fsq", "kl"], help="bottleneck of phase 1")
    group.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE",
        help="any field of glc.training.settings, e.g. steps_1=2000; may be repeated; "
        "--export-only heeds settle_steps alone",
    )  # fmt: skip

    group = parser.add_argument_group("stop and go on")
    group.add_argument(
        "--time-budget", type=parse_duration, metavar="TIME",
        help="stop with a checkpoint after, e.g., 9m, loading included",
    )  # fmt: skip
    group.add_argument(
        "--fit-steps", action="store_true",
        help="choose the steps of the phase so that it ends with --time-budget, and export even "
        "if it was cut short",
    )  # fmt: skip
    group.add_argument(
        "--resume", default="auto", metavar="auto|never|PATH",
        help="go on with what --out holds (default), begin anew, or go on with another place",
    )  # fmt: skip
    group.add_argument(
        "--compact-resume", type=Path, metavar="DIR",
        help="at the end also write a small file here, from which another machine can go on",
    )  # fmt: skip
    group.add_argument(
        "--compact-part-mb", type=float, metavar="MB", help="in parts of at most this size"
    )

    group = parser.add_argument_group("result")
    group.add_argument(
        "--export", type=Path, metavar="FILE", help="write weights and model card when all is done"
    )
    group.add_argument("--export-only", action="store_true", help="do not train, only --export")
    group.add_argument(
        "--blend", type=Path, metavar="PATH",
        help="export a mixture with another run of this shape, best one that this one began with",
    )  # fmt: skip
    group.add_argument(
        "--blend-share", type=float, default=0.5, metavar="S", help="of that run (default 0.5)"
    )
    group.add_argument("--summary", metavar="TEXT", help="one line about the model")

    group = parser.add_argument_group("machine")
    group.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    group.add_argument("--threads", type=int, metavar="N", help="CPU threads")
    group.add_argument(
        "--features", type=Path, metavar="DIR",
        help="folder with weights of the feature networks, any of alexnet_features.safetensors, "
        "mobilenet_v2.safetensors and squeezenet1_1-b8a52dc0.pth, instead of torchvision's",
    )  # fmt: skip
    group.add_argument(
        "--mobilenet", type=Path, metavar="FILE",
        help="MobileNetV2 weights (safetensors) instead of torchvision's",
    )  # fmt: skip
    return parser


def settings_from(args: argparse.Namespace) -> TrainingSettings:
    """Merge preset file, named options and ``--set`` pairs.

    Without a preset the settings are those of ``--init``.

    Raises:
        ValueError: an unknown field or a value of the wrong type.
        TrainingError: nothing to start from.
    """
    overrides: dict[str, Any] = {"seed": args.seed, "regulariser": args.regulariser}
    for name in ("batch", "crop", "steps"):
        overrides |= {f"{name}_{phase}": getattr(args, name) for phase in (1, 2, 3)}
    overrides |= _set_pairs(args)
    if args.preset is None and args.init is not None:
        before = resume.settings_of(args.init)
    else:
        before = TrainingSettings.load(args.preset or "tiny", {})
    if args.phase == "all" and args.steps is not None:
        # A phase that the preset leaves out stays out, unless it is asked for by name.
        given = {pair.partition("=")[0] for pair in args.set}
        for phase in (1, 2, 3):
            if before.steps(phase) == 0 and f"steps_{phase}" not in given:
                overrides[f"steps_{phase}"] = 0
    return before.replace(overrides)


def _set_pairs(args: argparse.Namespace) -> dict[str, Any]:
    """Return what ``--set`` says.

    Raises:
        ValueError: an unknown field or a value of the wrong type.
    """
    kinds = {f.name: type(f.default) for f in dataclasses.fields(TrainingSettings)}
    found = {}
    for pair in args.set:
        name, _, text = pair.partition("=")
        if name not in kinds or name == "codec":
            raise ValueError(f"unknown training setting {name!r}")
        found[name] = _parse_value(kinds[name], text)
    return found


def _names_steps(args: argparse.Namespace, phase: int) -> bool:
    """Say whether the command line itself says how many steps a phase has."""
    named = any(pair.startswith(f"steps_{phase}=") for pair in args.set)
    return named or args.steps is not None or args.fit_steps


def _parse_value(kind: type, text: str) -> str | int | float | bool:
    if kind is bool:
        if text.lower() not in ("0", "1", "false", "true"):
            raise ValueError(f"expected true or false, got {text!r}")
        return text.lower() in ("1", "true")
    if kind is int:
        return int(text)
    return float(text) if kind is float else text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run training; returns the exit code (0 done or out of time, 1 failed, 2 wrong usage)."""
    parser = _parser()
    args = parser.parse_args(arguments)
    _check(parser, args)
    if args.threads:
        torch.set_num_threads(args.threads)
    try:
        if args.export_only:
            return _export(args, _read_run(args.out), torch.device(_pick_device(args.device)))
        return _train(args)
    except ValueError as error:
        _say(f"error: {error}")
        return 2
    except (GlcError, OSError) as error:
        _say(f"error: {error}")
        return 1


def _check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """End the program where options contradict each other."""
    starts = args.donor is not None or args.init_qualities is not None
    if args.export_only and args.export is None:
        parser.error("--export-only needs --export FILE")
    if starts and args.export_only:
        parser.error("--donor and --init-qualities are for the start of a run, not --export-only")
    if args.donor is not None and not args.donor.is_file():
        parser.error(f"--donor: {args.donor} is no weights file")
    if args.init_qualities is not None and args.init is None:
        parser.error("--init-qualities needs --init PATH")
    if args.blend is not None and args.export is None:
        parser.error("--blend needs --export FILE")
    if not 0.0 <= args.blend_share <= 1.0:
        parser.error("--blend-share must be between 0 and 1")
    if args.fit_steps and (args.time_budget is None or args.phase == "all"):
        parser.error("--fit-steps needs --time-budget and one --phase")
    if args.fit_steps and os.environ.get("WORLD_SIZE", "1") != "1":
        parser.error("--fit-steps is for one process: several would count different steps")
    if args.features is not None and not args.features.is_dir():
        parser.error(f"--features: {args.features} is no folder")


def _train(args: argparse.Namespace) -> int:
    deadline = None if args.time_budget is None else time.monotonic() + args.time_budget
    device = torch.device(_pick_device(args.device))
    if device.type == "cuda":
        torch.cuda.set_device(device)
        torch.backends.cudnn.benchmark = True
    settings = settings_from(args)
    phases = [1, 2, 3] if args.phase == "all" else [int(args.phase)]
    if len(phases) == 1 and settings.steps(phases[0]) == 0 and not _names_steps(args, phases[0]):
        raise ValueError(f"phase {phases[0]} has no steps in these settings; name some by --steps")
    pictures, held_out = _pictures(args, max(settings.crop(phase) for phase in phases), device)
    _say(
        f"{pictures.count} pictures, {pictures.pixels / 1e6:.0f} Mpixel, {pictures.skipped} skipped"
    )
    files = FeatureFiles(args.features, args.mobilenet)
    # A phase without steps asks for no network's weights.
    run = [phase for phase in phases if settings.steps(phase) or args.fit_steps]
    perceptual = PerceptualLoss(settings.networks(run), files)
    trainer = Trainer(settings, pictures, held_out, args.out, device, perceptual)
    try:
        resumed = _begin(args, trainer)
        if args.fit_steps and deadline is not None:
            _fit_steps(args, trainer, phases[0], deadline)
        done = _run_phases(trainer, phases, resumed, deadline)
        if args.compact_resume is not None and trainer.processes.rank == 0:
            size = None if args.compact_part_mb is None else int(args.compact_part_mb * 1e6)
            resume.write_compact(trainer.state(), args.compact_resume, size)
        done = done or args.fit_steps
        if done and args.export is not None and trainer.processes.rank == 0:
            return _export(args, trainer.state(), device, (pictures, held_out))
    finally:
        trainer.processes.leave()
    return 0


def _begin(args: argparse.Namespace, trainer: Trainer) -> bool:
    """Go on with a run, or begin one from other weights or as a transform codec.

    Returns:
        Whether the run goes on.
    """
    place = None if args.resume in ("auto", "never") else Path(args.resume)
    resumed = args.resume != "never" and trainer.resume(place)
    if place is not None and not resumed:
        raise TrainingError(f"nothing to go on with in {place}")
    if resumed:
        _say(f"resumed phase {trainer.phase} at step {trainer.step}")
    elif args.init is not None:
        trainer.initialise(args.init)
        if args.init_qualities is not None:
            trainer.take_qualities(args.init_qualities)
    else:
        if trainer.settings.shape.linear:
            _say("making a plain transform codec of the pictures, to start from")
        started = trainer.start()
        if started is not None:
            _say(f"step 0, a plain transform codec: {started}")
    if args.donor is not None and not resumed:
        _say(f"taking over the decoder of {args.donor}")
        _say(f"{trainer.graft(args.donor):.2f} of the variance of its first layer is new to it")
    return resumed


def _fit_steps(args: argparse.Namespace, trainer: Trainer, phase: int, deadline: float) -> None:
    """Have the phase end with the time that is left after the start."""
    # Of a run that goes on, the steps stay those it began with: its schedule hangs on them.
    known = None if args.resume == "never" else resume.read_state(args.out)
    steps = known and TrainingSettings.of_run(known["settings"]).steps(phase)
    if not steps:
        left = deadline - time.monotonic()
        steps = steps_within(
            left, trainer.settings, phase, trainer.pictures, trainer.device, trainer.perceptual
        )
    _say(f"{steps} steps")
    trainer.set_steps(phase, steps)


def _run_phases(trainer: Trainer, phases: list[int], resumed: bool, deadline: float | None) -> bool:
    """Run the phases; False when time ran out."""
    for phase in phases:
        if (resumed and phase < trainer.phase) or trainer.settings.steps(phase) == 0:
            continue
        if not (resumed and phase == trainer.phase):
            trainer.begin_phase(phase)
        if not trainer.run_phase(deadline):
            _say(f"phase {phase}: out of time at step {trainer.step}; the same command goes on")
            return False
        _say(f"phase {phase} finished; {trainer.seconds:.0f} s of training so far")
    return True


def _pictures(
    args: argparse.Namespace, smallest: int, device: torch.device
) -> tuple[Pictures, Pictures | None]:
    """Training and held-out pictures; small sets may have none to hold out."""
    kind = StreamingImages if args.stream else InMemoryImages
    pictures: Pictures = kind(args.data, smallest, device=device, limit=args.limit)
    try:
        return pictures, kind(args.data, smallest, held_out=True, device=device, limit=args.limit)
    except ValueError:
        return pictures, None


def _read_run(out: Path) -> resume.State:
    state = resume.read_state(out)
    if state is None:
        raise TrainingError(f"no run in {out}")
    return state


def _export(
    args: argparse.Namespace,
    state: resume.State,
    device: torch.device,
    loaded: tuple[Pictures, Pictures | None] | None = None,
) -> int:
    """Write weights and card of a run's averaged weights."""
    settings = TrainingSettings.of_run(state["settings"])
    pictures, held_out = loaded or _pictures(args, settings.crop_3, device)
    ensemble = Ensemble(settings)
    weights = resume.averaged_weights(state)
    if args.blend is not None:
        weights = resume.blended_weights(state, _read_run(args.blend), args.blend_share)
    ensemble.load_state_dict(weights)
    summary = (
        args.summary or f"{settings.preset}, {settings.bpp_low:g} to {settings.bpp_high:g} bpp"
    )
    model = ensemble.model.to(device).eval()
    if settings.shape.linear:
        # The one setting that an export has a use for; the card tells those of the run.
        named = _set_pairs(args) if args.export_only else {}
        settle(model, pictures, named.get("settle_steps", settings.settle_steps))
    codebook = ensemble.codebook
    bottleneck = codebook if isinstance(codebook, GaussianBottleneck) else None
    identity = export(
        model, pictures, args.export, args.export.stem, summary, bottleneck=bottleneck
    )
    _renew_manifest(args.export.parent)
    data = Path(args.data).name
    card = write_card(args.export, args.out, settings, pictures, held_out, data)
    _say(f"wrote {args.export} ({identity.hex()[:6]}) and {card}")
    return 0


def _renew_manifest(folder: Path) -> None:
    """List the new model where a manifest lists those of a folder; it could not be loaded else."""
    listed = folder / "manifest.json"
    default = manifest.default_name(folder)
    if listed.is_file() and default is not None:
        manifest.write_manifest(folder, default, manifest.from_quality(folder))


def _pick_device(name: str) -> str:
    name = pick_device(name)
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if name == "cuda" else name


def _say(text: str) -> None:
    if os.environ.get("RANK", "0") == "0":
        sys.stderr.write(text + "\n")
