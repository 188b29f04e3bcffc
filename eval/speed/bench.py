"""How fast codecs are on the same pictures, as ratios within one run.

    python -m eval.speed.bench --images DIR [--out FILE.json] [--codecs A,B] [--threads N]

Three ways. *In process*: library calls from pixels to file bytes and back, warm, median of
several, every codec in a process of its own, whose peak memory is given too. *As commands*: one
process per picture, start included, with its peak memory; that is what a shell script pays.
*Arithmetic*: multiplications per pixel of every network of glc, and how close to the machine's
limit they run. Ratios are against the first codec: 2.0 takes twice as long. Networks of CompressAI
run with random weights, which do as much arithmetic as trained ones (but code more symbols). What
is not installed is skipped with a line that says what is missing.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from PIL import Image

from eval import pictures, provenance
from eval.codecs import adapters
from eval.codecs.adapters import Codec
from eval.metrics.backbones import Unavailable
from eval.report.summary import markdown
from eval.speed import arithmetic as rates
from eval.speed import profile
from glc.config import IMAGE_STRIDE
from glc.install_hint import install_command
from glc.weights import checkpoint, registry

DEFAULT = (
    "jpeg",
    "glc",
    "glc-fast",
    "glc-int8",
    "avif",
    "heic",
    "jxl",
    "compressai:bmshj2018-hyperprior/random",
    "compressai:mbt2018-mean/random",
    "compressai:cheng2020-attn/random",
)
MIDDLE_QUALITY = {"jpeg": 30.0, "avif": 30.0, "heic": 30.0, "jxl": 50.0}
MIDDLE_QUALITY |= dict.fromkeys(adapters.GLC_KINDS, 50.0)
_KIBI = 1024
# A child begins with the peak memory of the process that starts it, and this one holds torch. So
# commands are started from a small interpreter, which prints [status, seconds, peak memory].
_WATCH = """
import json, os, sys, time
quiet = os.open(os.devnull, os.O_WRONLY)
streams = [(os.POSIX_SPAWN_DUP2, quiet, 1), (os.POSIX_SPAWN_DUP2, quiet, 2)]
start = time.perf_counter()
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=streams)
_, status, usage = os.wait4(child, 0)
seconds = time.perf_counter() - start
print(json.dumps([os.waitstatus_to_exitcode(status), seconds, usage.ru_maxrss]))
"""


@dataclass(frozen=True)
class Command:
    """A command-line codec: the programs and their arguments, with IN and OUT to be replaced."""

    name: str
    suffix: str
    encode: tuple[str, ...]
    decode: tuple[str, ...]
    package: str
    """Debian's package that has the programs."""


COMMANDS = (
    Command(
        "jpeg",
        ".jpg",
        ("cjpeg", "-outfile", "OUT", "IN"),
        ("djpeg", "-outfile", "OUT", "IN"),
        "libjpeg-turbo-progs",
    ),
    Command(
        "glc",
        ".glc",
        # As the installed ``glc`` does, also where that is not on the PATH.
        (sys.executable, "-m", "codec_cli", "encode", "IN", "-o", "OUT"),
        (sys.executable, "-m", "codec_cli", "decode", "IN", "-o", "OUT"),
        f"none: {install_command()}",
    ),
    Command(
        "avif",
        ".avif",
        # Versions before 1.0 have no -q; this is what it sets for 30.
        (
            "avifenc",
            "--min",
            "0",
            "--max",
            "63",
            "-a",
            "end-usage=q",
            "-a",
            "cq-level=44",
            "IN",
            "OUT",
        ),
        ("avifdec", "IN", "OUT"),
        "libavif-bin",
    ),
    Command(
        "heic",
        ".heic",
        ("heif-enc", "-q", "30", "IN", "-o", "OUT"),
        ("heif-convert", "IN", "OUT"),
        "libheif-examples",
    ),
    Command(
        "jxl", ".jxl", ("cjxl", "-q", "50", "IN", "OUT"), ("djxl", "IN", "OUT"), "libjxl-tools"
    ),
)


@dataclass(frozen=True)
class Speed:
    """Median times of one codec over the pictures."""

    codec: str
    encode_s: float
    decode_s: float
    encode_mb: float | None = None
    """Peak memory of the process in MB; only of commands."""
    decode_mb: float | None = None
    peak_mb: float | None = None
    """Peak memory of the process that did both, in MB; only in process, where the system tells."""


def in_process(codec: Codec, images: Sequence[Image.Image], repeat: int) -> Speed:
    """Time a codec's calls; the first picture is done once before the clock starts."""
    quality = MIDDLE_QUALITY.get(codec.name, codec.qualities[len(codec.qualities) // 2])
    codec.decode(codec.encode(images[0], quality))
    encode, decode = [], []
    for image in images:
        data = codec.encode(image, quality)
        encode.append(_median_time(partial(codec.encode, image, quality), repeat))
        decode.append(_median_time(partial(codec.decode, data), repeat))
    return Speed(
        codec.name, statistics.median(encode), statistics.median(decode), peak_mb=_peak_mb()
    )


def in_own_process(name: str, arguments: argparse.Namespace) -> Speed:
    """Time a codec's calls in a process that does nothing else.

    Raises:
        Unavailable: it cannot be had; the process has said why.
        ValueError: the process refused what it was asked for.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "speed.json"
        command = [sys.executable, "-m", "eval.speed.bench", "--here", "--codecs", name]
        for option in ("images", "limit", "repeat", "threads", "device"):
            command += [f"--{option}", str(getattr(arguments, option))]
        done = subprocess.run(  # noqa: S603 - this interpreter and this module
            [*command, "--out", str(out)], stdout=subprocess.DEVNULL, check=False
        )
        if done.returncode == 2:
            raise ValueError(f"{name} could not be measured")
        found = json.loads(out.read_text(encoding="utf-8"))["in_process"] if out.exists() else []
    if not found:
        raise Unavailable("not measured")
    return Speed(**found[0])


def arithmetic(
    arguments: argparse.Namespace, image: Path, size: tuple[int, int]
) -> dict[str, list[list[str]]]:
    """Return a table for each way in which glc runs its networks on a CPU."""
    path = registry.locate(None)
    config = checkpoint.load(path).config
    pixels = math.prod(-(-side // IMAGE_STRIDE) * IMAGE_STRIDE for side in size)
    tables = {}
    for runtime in ("torch", "fast"):
        if runtime == "fast" and "glc-fast" not in arguments.codecs:
            continue
        works = profile.in_process(
            runtime, path, image, arguments.threads, arguments.repeat, list(size)
        )
        tables[runtime] = rates.rows(config, works, pixels, rates.measured_peak())
    return tables


def as_command(command: Command, images: Sequence[Image.Image], repeat: int = 1) -> Speed:
    """Time whole commands, ``repeat`` times per picture.

    Raises:
        Unavailable: a program is not installed, or fails.
    """
    if not hasattr(os, "wait4"):
        raise Unavailable("this system cannot tell a process's peak memory")
    for program in (command.encode[0], command.decode[0]):
        if shutil.which(program) is None:
            raise Unavailable(f"needs the program {program} (Debian: {command.package})")
    encode, decode = [], []
    with tempfile.TemporaryDirectory() as folder:
        for index, image in enumerate(images):
            # cjpeg reads PPM; the others read PNG, whose decoding is a small part of their time.
            kind = ".ppm" if command.name == "jpeg" else ".png"
            original = Path(folder) / f"{index}{kind}"
            file = Path(folder) / f"{index}{command.suffix}"
            image.save(original)
            decoded = Path(folder) / f"{index}.decoded{kind}"
            for _ in range(repeat):
                # Some programs refuse to overwrite.
                file.unlink(missing_ok=True)
                decoded.unlink(missing_ok=True)
                encode.append(_spend(command.encode, original, file))
                decode.append(_spend(command.decode, file, decoded))
    return Speed(
        command.name,
        statistics.median(seconds for seconds, _ in encode),
        statistics.median(seconds for seconds, _ in decode),
        max(memory for _, memory in encode),
        max(memory for _, memory in decode),
    )


def rows(found: Sequence[Speed]) -> list[list[str]]:
    """Return the table, header first; ratios are against the first codec."""
    memories = ("encode_mb", "decode_mb", "peak_mb")
    known = [name for name in memories if any(getattr(s, name) is not None for s in found)]
    table = [["codec", "encode s", "decode s", "encode ratio", "decode ratio"]]
    table[0] += [name.replace("_mb", " MB") for name in known]
    for speed in found:
        row = [speed.codec, f"{speed.encode_s:.4f}", f"{speed.decode_s:.4f}"]
        row.append(f"{speed.encode_s / found[0].encode_s:.1f}")
        row.append(f"{speed.decode_s / found[0].decode_s:.1f}")
        sizes = [getattr(speed, name) for name in known]
        row += [f"{mb:.0f}" if mb else "-" for mb in sizes]
        table.append(row)
    return table


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0 when all went well, 2 on wrong usage."""
    arguments = _parser().parse_args(argv)
    torch.set_num_threads(arguments.threads)
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)  # for the commands
    try:
        sources = pictures.find(arguments.images, arguments.limit)
        images = [pictures.load(source.path) for source in sources]
        if arguments.here:
            library = _each(arguments.codecs, lambda name: _in_process(name, images, arguments))
        else:
            library = _each(arguments.codecs, lambda name: in_own_process(name, arguments))
        wanted = [c for c in COMMANDS if c.name in arguments.codecs and not arguments.here]
        commands = _each(wanted, lambda command: as_command(command, images, arguments.repeat))
        tables = {}
        if "glc" in arguments.codecs and arguments.device == "cpu" and not arguments.here:
            tables = arithmetic(arguments, sources[0].path, images[0].size)
    except ValueError as error:
        print(f"eval.speed.bench: {error}", file=sys.stderr)
        return 2
    about = provenance.describe(arguments.device)
    print(f"{len(images)} pictures, {arguments.threads} threads, {about['hardware']}")
    for title, found in (("In process", library), ("As commands", commands)):
        if found:
            print(f"\n## {title}\n\n{markdown(rows(found))}")
    for runtime, table in tables.items():
        print(f"\n## Arithmetic, {runtime}\n\n{markdown(table)}")
    if arguments.out:
        result = {
            **about,
            "threads": arguments.threads,
            "pictures": [source.name for source in sources],
            "in_process": [asdict(speed) for speed in library],
            "commands": [asdict(speed) for speed in commands],
            "arithmetic": tables,
        }
        arguments.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0


def _in_process(name: str, images: Sequence[Image.Image], arguments: argparse.Namespace) -> Speed:
    codec = adapters.build(name, arguments.device)
    print(f"in process: {codec.name}", file=sys.stderr)
    return in_process(codec, images, arguments.repeat)


def _each(names: Sequence[object], measure: Callable[..., Speed]) -> list[Speed]:
    found = []
    for name in names:
        try:
            found.append(measure(name))
        except Unavailable as error:
            label = name.name if isinstance(name, Command) else name
            print(f"{label} skipped: {error}", file=sys.stderr)
    return found


def _median_time(call: Callable[[], object], repeat: int) -> float:
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _peak_mb() -> float | None:
    """Return the peak memory of this process, where the system tells it apart from its parent's."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    found = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(found[0]) * _KIBI / 1e6 if found else None


def _spend(template: Sequence[str], source: Path, target: Path) -> tuple[float, float]:
    """Run a command and return its seconds and its peak memory in MB."""
    paths = {"IN": str(source), "OUT": str(target)}
    command = [paths.get(part, part) for part in template]
    watched = subprocess.run(  # noqa: S603 - the programs are those of COMMANDS
        [sys.executable, "-I", "-S", "-c", _WATCH, *command], capture_output=True, check=False
    )
    status, seconds, memory = json.loads(watched.stdout.splitlines()[-1])
    if status != 0 or not target.exists():
        raise Unavailable(f"{' '.join(command)} failed with status {status}")
    unit = 1 if sys.platform == "darwin" else _KIBI  # Linux counts in KiB
    return seconds, memory * unit / 1e6


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m eval.speed.bench", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("--images", type=Path, required=True, metavar="DIR", help="folder of pictures")
    add("--out", type=Path, metavar="FILE", help="write the figures as JSON too")
    add("--codecs", type=lambda text: text.split(","), default=list(DEFAULT), metavar="A,B")
    add("--limit", type=int, default=4, metavar="N", help="only the first N pictures (default 4)")
    add("--repeat", type=int, default=5, metavar="N", help="times per picture (default 5)")
    add("--threads", type=int, default=os.cpu_count() or 1, metavar="N", help="of the networks")
    add("--device", default="cpu", help="cpu (default) or cuda")
    add("--here", action="store_true", help="all codecs in this process, and nothing else")
    return parser


if __name__ == "__main__":
    sys.exit(main())
