"""Everything that needs a GPU, in one go: the tests marked ``gpu``, then a table of speeds.

    python -m eval.speed.bench_gpu [--preset base] [--size 768x512] [--batch 1,8,32] [--out FILE]

Each row is a way to run the networks: float32, bf16, channels_last, torch.compile, CUDA graphs;
then several batches at once, each in a thread with a CUDA stream of its own, so that one batch is
range-coded while the next is on the GPU. A row is only printed when the files that it wrote verify
with the float32 codec on the CPU: a way that breaks files is no way. Without a GPU the script says
so and ends; ``--device cpu`` rehearses it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from eval.report.summary import markdown
from eval.speed import random_weights
from glc import Codec
from glc.config import PRESETS
from glc.runtime.precision import in_autocast_of_caller

_NETWORKS = (
    "encoder",
    "analysis",
    "hyper_analysis",
    "hyper_synthesis",
    "context",
    "synthesis",
    "decoder",
)


@dataclass(frozen=True)
class Way:
    """One way to run the networks."""

    name: str
    bf16: bool = False
    channels_last: bool = False
    compiled: str | None = None
    """A mode of torch.compile; ``reduce-overhead`` records CUDA graphs."""
    workers: int = 1
    """Batches at once."""


WAYS = (
    Way("float32"),
    Way("bf16", bf16=True),
    Way("bf16, channels last", bf16=True, channels_last=True),
    Way("bf16, compiled", bf16=True, channels_last=True, compiled="default"),
    Way("bf16, CUDA graphs", bf16=True, channels_last=True, compiled="reduce-overhead"),
    Way("bf16, 2 streams", bf16=True, channels_last=True, workers=2),
    Way("bf16, 4 streams", bf16=True, channels_last=True, workers=4),
    Way("bf16, compiled, 4 streams", True, True, "default", 4),
)


@dataclass(frozen=True)
class Throughput:
    """What one way reached with one batch size."""

    way: str
    batch: int
    encode_per_s: float
    decode_per_s: float
    encode_mpx_per_s: float
    decode_mpx_per_s: float
    peak_mb: float
    """Memory of the GPU at most; 0 on a CPU."""
    largest_difference: int
    """Of a decoded sample from that of the float32 codec on the CPU, in levels of 255."""


def measure(
    weights: Path,
    way: Way,
    pictures: Sequence[NDArray[np.uint8]],
    batch: int,
    device: torch.device,
    repeat: int,
) -> Throughput:
    """Encode and decode all pictures, ``repeat`` times after one for warming up.

    Raises:
        GlcError: the CPU cannot read what was written.
        RuntimeError: the device or the compiler cannot do it.
    """
    codec = Codec.from_pretrained(weights, runtime="torch", device=str(device))
    _prepare(codec, way)
    groups = [list(pictures[start : start + batch]) for start in range(0, len(pictures), batch)]
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)

    def encode(group: Any) -> list[bytes]:
        with _as(way, device):
            return codec.encode_batch(group)

    def decode(files: Any) -> list[Any]:
        with _as(way, device):
            return codec.decode_batch(files)

    with _each(way.workers) as each:
        coded = each(encode, groups)
        encode_s = _seconds(lambda: each(encode, groups), device, repeat)
        shown = each(decode, coded)
        decode_s = _seconds(lambda: each(decode, coded), device, repeat)
    reference = Codec.from_pretrained(weights, runtime="torch", device="cpu")
    for data in (coded[0][0], coded[-1][-1]):
        reference.verify(data)
    expected = np.asarray(reference.decode(coded[0][0]), np.int16)
    difference = int(np.abs(np.asarray(shown[0][0], np.int16) - expected).max())
    megapixels = sum(picture.shape[0] * picture.shape[1] for picture in pictures) / 1e6
    peak = torch.cuda.max_memory_allocated(device) / 1e6 if device.type == "cuda" else 0.0
    count = len(pictures)
    return Throughput(
        way.name,
        batch,
        count / encode_s,
        count / decode_s,
        megapixels / encode_s,
        megapixels / decode_s,
        peak,
        difference,
    )


def rows(found: Sequence[Throughput]) -> list[list[str]]:
    """Return the table, header first."""
    table = [["way", "batch", "encode/s", "decode/s", "encode Mpx/s", "decode Mpx/s"]]
    table[0] += ["GPU MB", "differs by"]
    for one in found:
        rates = (one.encode_per_s, one.decode_per_s, one.encode_mpx_per_s, one.decode_mpx_per_s)
        row = [one.way, str(one.batch), *(f"{rate:.1f}" for rate in rates)]
        table.append([*row, f"{one.peak_mb:.0f}", str(one.largest_difference)])
    return table


def main(argv: Sequence[str] | None = None) -> int:
    """Run tests and benchmark; 0 when all went well or there is no GPU, 1 when a test failed."""
    arguments = _parser().parse_args(argv)
    device = torch.device(arguments.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("eval.speed.bench_gpu: no GPU here, nothing was measured; --device cpu rehearses")
        return 0
    code = 0 if arguments.no_tests else _run_tests()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"\n{name}, torch {torch.__version__}, {arguments.preset}, {arguments.size}\n")
    found: list[Throughput] = []
    with tempfile.TemporaryDirectory() as folder:
        weights = random_weights.write(Path(folder), arguments.preset)
        width, height = (int(side) for side in arguments.size.split("x"))
        for batch in arguments.batch:
            # Enough batches for every worker to have two.
            count = batch * (8 if device.type == "cuda" else 2)
            pictures = _noise(count, height, width)
            for way in WAYS:
                if way.name not in arguments.ways:
                    continue
                try:
                    found.append(measure(weights, way, pictures, batch, device, arguments.repeat))
                except Exception as error:
                    # Whatever it is, the other ways are worth measuring.
                    code = 1
                    print(f"{way.name}, batch {batch}: failed: {error}", file=sys.stderr)
    print(markdown(rows(found)))
    if arguments.out:
        result = {"device": name, "torch": torch.__version__, "preset": arguments.preset}
        result |= {"size": arguments.size, "ways": [asdict(one) for one in found]}
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return code


@contextmanager
def _each(workers: int) -> Iterator[Callable[[Callable[[Any], Any], Sequence[Any]], list[Any]]]:
    """Give a function that calls another for every item, in as many threads."""
    if workers == 1:
        # Not in a thread: CUDA graphs belong to the one that recorded them.
        yield lambda call, items: [call(item) for item in items]
        return
    with ThreadPoolExecutor(workers) as pool:
        yield lambda call, items: list(pool.map(call, items))


def _prepare(codec: Codec, way: Way) -> None:
    model = cast("Any", codec.networks).model
    if way.bf16:
        for module in model.modules():
            # Autocast would convert them in every call. Gains and statistics stay float32.
            if isinstance(module, torch.nn.Conv2d):
                module.to(torch.bfloat16)
    if way.channels_last:
        model.to(memory_format=torch.channels_last)
    if way.compiled is not None:
        for network in _NETWORKS:
            # In place: the coding steps call these modules by name.
            getattr(model, network).compile(mode=way.compiled, dynamic=False)


@contextmanager
def _as(way: Way, device: torch.device) -> Iterator[None]:
    """Run what is inside in this way's number format and, on a GPU, in this thread's stream."""
    with ExitStack() as stack:
        if way.compiled == "reduce-overhead":
            # What one network recorded stays valid until the end of this batch, not of the call.
            torch.compiler.cudagraph_mark_step_begin()
        stack.enter_context(torch.autocast(device.type, torch.bfloat16, enabled=way.bf16))
        stack.enter_context(in_autocast_of_caller())
        if device.type == "cuda" and way.workers > 1:
            stack.enter_context(torch.cuda.stream(torch.cuda.Stream(device)))
        yield


def _seconds(call: Callable[[], object], device: torch.device, repeat: int) -> float:
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _noise(count: int, height: int, width: int) -> list[NDArray[np.uint8]]:
    """Smooth random pictures: speed does not depend on what they show."""
    rng = np.random.default_rng(1)
    small = rng.integers(0, 256, (count, height // 16 + 1, width // 16 + 1, 3), np.uint8)
    large = small.repeat(16, axis=1).repeat(16, axis=2)
    return [np.ascontiguousarray(picture[:height, :width]) for picture in large]


def _run_tests() -> int:
    """Run the tests marked ``gpu``; 1 if one failed. They are in the repository, not the wheel."""
    tests = Path(__file__).parents[2] / "tests"
    if not tests.is_dir():
        print("no tests here: run this in the repository to have the tests marked gpu run too")
        return 0
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", str(tests)]
    done = subprocess.run(command, check=False)  # noqa: S603 - this interpreter and pytest
    # 5: none was collected.
    return 0 if done.returncode in (0, 5) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m eval.speed.bench_gpu", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    names = [way.name for way in WAYS]
    add("--preset", choices=sorted(PRESETS), default="base", help="random weights of this shape")
    add("--size", default="768x512", metavar="WxH", help="of the pictures")
    add("--batch", type=lambda t: [int(n) for n in t.split(",")], default=[1, 8, 32])
    add("--ways", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    add("--repeat", type=int, default=5, metavar="N", help="runs of each (default 5)")
    add("--device", default="cuda", help="cuda (default), cuda:1, or cpu for a rehearsal")
    add("--no-tests", action="store_true", help="only the table")
    add("--out", type=Path, metavar="FILE", help="write the figures as JSON too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
