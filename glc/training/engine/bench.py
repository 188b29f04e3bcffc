"""Crops per second of each phase, and the share of the chip's measured peak that this is.

The peak is that of one large matrix product on the same device in the same number format, so that
the share says how much of the chip the networks leave unused. Random pictures and random loss
networks: neither changes the speed, and no file is needed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from glc.errors import GlcError
from glc.training.data.crops import Sizes, Windows, finish
from glc.training.engine.loop import Trainer
from glc.training.engine.processor import wants_bf16
from glc.training.losses.features import PerceptualLoss
from glc.training.settings import TrainingSettings

Clock = Callable[[], float]
"""Gives seconds; only differences count."""


class NoisePictures:
    """Random pixels in the place of photographs (``crops.Pictures``), cut on the device."""

    count, skipped, pixels = 1, 0, 1024 * 1024
    smallest_side = 1024

    def __init__(self, device: torch.device) -> None:
        side = torch.tensor([self.smallest_side])
        self.sizes = Sizes(side, side)
        self._picture = torch.randint(0, 256, (3, 1024, 1024), device=device, dtype=torch.uint8)

    def crops(
        self, batch: int, crop: int, rescale_max: float, generator: torch.Generator
    ) -> Tensor:
        """Draw random crops: see ``crops.Pictures``."""
        windows: Windows = self.sizes.draw(batch, crop, rescale_max, generator)
        side = windows.side
        corners = zip(windows.top.tolist(), windows.left.tolist(), strict=True)
        cut = [self._picture[:, top : top + side, left : left + side] for top, left in corners]
        return finish(torch.stack(cut), crop)


class OperationCount(TorchDispatchMode):
    """Counts the floating-point operations of convolutions, matrix products and attention.

    Unlike ``FlopCounterMode`` it attributes nothing to modules, whose hooks refuse the partial
    backward passes of a training step.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.total += formula(*args, **(kwargs or {}), out_val=result)
        return result


STAGES = ("squared error", "feature networks", "discriminators")
"""What joins one after the other in phases 1 and 3; each stage includes those before it."""

_NEVER, _AT_ONCE = 1.0, 0.0
_STARTS = {
    "squared error": {"perceptual_start": _NEVER, "adversarial_weight": 0.0},
    "feature networks": {"perceptual_start": _AT_ONCE, "adversarial_weight": 0.0},
    "discriminators": {
        "perceptual_start": _AT_ONCE,
        "adversarial_start_1": _AT_ONCE,
        "adversarial_start_3": _AT_ONCE,
    },
}


@dataclass(frozen=True)
class Speed:
    """One measured phase."""

    phase: int
    stage: str
    """One of ``STAGES``; empty in phase 2, which has none."""
    batch: int
    crop: int
    crops_per_second: float
    gflop_per_crop: float
    """Multiplications and additions, forwards and backwards, of all networks that take part."""
    share_of_peak: float


def matmul_peak(device: torch.device, bf16: bool, clock: Clock = time.perf_counter) -> float:
    """Return floating-point operations per second of a large square matrix product."""
    side = 1024 if device.type == "cpu" else 8192
    kind = torch.bfloat16 if bf16 else torch.float32
    a = torch.randn(side, side, device=device, dtype=kind)
    seconds = _seconds_per_call(lambda: a @ a, device, 3 if device.type == "cpu" else 20, clock)
    return 2.0 * side**3 / seconds


def measure(
    settings: TrainingSettings, device: torch.device, phase: int, stage: str, steps: int,
    clock: Clock = time.perf_counter,
) -> tuple[float, float]:  # fmt: skip
    """Return crops per second and floating-point operations per crop of one stage of a phase."""
    with _training(settings, device, phase, stage) as trainer:
        counter = OperationCount()
        with counter:
            trainer.train_step()
        warm = trainer.warm_steps - 1
        seconds = _seconds_per_call(trainer.train_step, device, steps, clock, warm)
    batch = settings.batch(phase)
    return batch / seconds, counter.total / batch


def operators(
    settings: TrainingSettings, device: torch.device, phase: int, stage: str, rows: int = 25
) -> str:
    """Return torch's table of what takes the time of one step, after three for warming up.

    Steps are not recorded: a replay has no operators.
    """
    settings = settings.replace({"cuda_graphs": False})
    kinds, longest = [ProfilerActivity.CPU], "self_cpu_time_total"
    if device.type == "cuda":
        kinds, longest = [*kinds, ProfilerActivity.CUDA], "self_cuda_time_total"
    with _training(settings, device, phase, stage) as trainer:
        for _ in range(3):
            trainer.train_step()
        _wait(device)
        with profile(activities=kinds) as found:
            trainer.train_step()
            _wait(device)
    averages = found.key_averages()
    return str(averages.table(sort_by=longest, row_limit=rows, max_name_column_width=48))


@contextmanager
def _training(
    settings: TrainingSettings, device: torch.device, phase: int, stage: str
) -> Iterator[Trainer]:
    """Begin a phase on noise, in a folder that goes away."""
    chosen = settings.replace({"seed": 1} | _STARTS.get(stage, {}))
    perceptual = PerceptualLoss(chosen.networks([phase]), trained=False)
    with tempfile.TemporaryDirectory() as folder:
        pictures = NoisePictures(device)
        trainer = Trainer(chosen, pictures, None, Path(folder), device, perceptual)
        trainer.begin_phase(phase)
        yield trainer


def _seconds_per_call(
    call: Callable[[], object], device: torch.device, repeats: int, clock: Clock, warm: int = 1
) -> float:
    """Time calls after ``warm`` others; waits for the device once, at the end."""
    for _ in range(warm):
        call()
    _wait(device)
    start = clock()
    for _ in range(repeats):
        call()
    _wait(device)
    return (clock() - start) / repeats


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m eval.speed.bench_training", description=__doc__
    )
    parser.add_argument("--preset", default="tiny", help="tiny, base, or a TOML file")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, nargs="+", help="crops per step; several to compare")
    parser.add_argument("--crop", type=int, help="pixels a side")
    parser.add_argument("--steps", type=int, default=10, help="measured steps of each phase")
    parser.add_argument("--phase", type=int, nargs="+", choices=[1, 2, 3], default=[1, 2, 3])
    parser.add_argument("--compile", action="store_true", help="with torch.compile")
    precision = parser.add_mutually_exclusive_group()
    precision.add_argument("--fp32", action="store_true", help="without bf16 autocast")
    precision.add_argument("--bf16", action="store_true", help="with it, even where it is slow")
    parser.add_argument("--contiguous", action="store_true", help="without channels-last")
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument(
        "--cpu-time", action="store_true",
        help="count seconds of computing, not of the clock: for one thread on a busy machine",
    )  # fmt: skip
    parser.add_argument(
        "--profile", action="store_true", help="then the operators that take the time of a step"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    args = parser.parse_args(arguments)
    try:
        return _run(args)
    except GlcError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1


def _run(args: argparse.Namespace) -> int:
    device = torch.device(args.device)
    torch.backends.cudnn.benchmark = True
    if args.threads:
        torch.set_num_threads(args.threads)
    choice = "false" if args.fp32 else "true" if args.bf16 else None
    asked = TrainingSettings.load(args.preset, {"bf16": choice})
    bf16 = wants_bf16(asked.bf16, device)
    clock = time.process_time if args.cpu_time else time.perf_counter
    peak = matmul_peak(device, bf16, clock)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    sys.stdout.write(f"{name}, torch {torch.__version__}, matmul {peak / 1e12:.3g} TFLOP/s ")
    sys.stdout.write(f"in {'bf16' if bf16 else 'float32'}\n")
    row = "{:<22} {:>6} {:>6} {:>10} {:>12} {:>10}\n"
    head = ("phase", "batch", "crop", "crops/s", "GFLOP/crop", "of peak")
    sys.stdout.write(row.format(*head))
    speeds = []
    for batch in args.batch or [None]:
        changed = {f"batch_{p}": batch for p in (1, 2, 3)} | {
            f"crop_{p}": args.crop for p in (1, 2, 3)
        }
        changed |= {"compile": args.compile or None, "bf16": choice}
        changed |= {"channels_last": False if args.contiguous else None}
        settings = TrainingSettings.load(args.preset, changed)
        for phase in args.phase:
            for stage in ("",) if phase == 2 else STAGES:
                pace, flop = measure(settings, device, phase, stage, args.steps, clock)
                size = settings.batch(phase), settings.crop(phase)
                speed = Speed(phase, stage, *size, pace, flop / 1e9, pace * flop / peak)
                speeds.append(speed)
                label = f"{phase} {stage}"
                figures = (f"{pace:.1f}", f"{flop / 1e9:.2f}", f"{speed.share_of_peak:.1%}")
                sys.stdout.write(row.format(label, *size, *figures))
                sys.stdout.flush()
                if args.profile and stage in ("", STAGES[-1]):
                    sys.stdout.write(operators(settings, device, phase, stage) + "\n")
    if args.json is not None:
        found = {"device": name, "torch": torch.__version__, "matmul_flop_per_second": peak}
        found |= {"bf16": bf16, "compile": args.compile, "contiguous": args.contiguous}
        found |= {"phases": [asdict(speed) for speed in speeds]}
        args.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0
