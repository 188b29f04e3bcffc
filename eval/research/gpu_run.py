"""A run on a machine with a GPU that is lent for minutes: a check, then training.

    sh go.sh check OUT                       # in a parcel (glc.training.parcel): 150 s
    sh go.sh train OUT --seconds 480         # eight, export included
    python -m eval.research.gpu_run join OUT RESULTS  # at home: one folder of them

Every stage is a process of its own, stopped when its time is up, so that the next one still runs.
OUT gets a handful of files of at most ``--part-mb``: all results in one tar, cut into parts, and a
list with its SHA-256. What follows ``--`` is handed to ``glc train``: ``-- --init resume``.
Without a GPU, ``--device cpu`` and the settings of a small model rehearse both.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
LISTING = "results.json"
_PART = "results.part-{}"
_MARGIN = 10.0
"""Seconds before the end at which training is stopped for good, so that results still get out."""


class Stages:
    """Runs programs one after the other within one time, and keeps what they say.

    Args:
        seconds: from now on.
        log: gets all their output.
    """

    def __init__(self, seconds: float, log: Path) -> None:
        self._begin = time.monotonic()
        self._seconds, self._log = seconds, log
        self.found: list[dict[str, object]] = []

    @property
    def left(self) -> float:
        """Seconds until the end."""
        return self._seconds - (time.monotonic() - self._begin)

    def run(self, name: str, *arguments: str, most: float = float("inf")) -> bool:
        """Run ``python ARGUMENTS`` for at most ``most`` seconds; say whether it went well."""
        start, code = time.monotonic(), -1
        limit = min(self.left, most)
        with self._log.open("ab") as log:
            log.write(f"== {name}: {' '.join(arguments)}\n".encode())
            log.flush()
            if limit > 0:
                try:
                    code = subprocess.run(  # noqa: S603 - this interpreter and our own modules
                        [sys.executable, *arguments],
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        timeout=limit,
                        check=False,
                    ).returncode
                except subprocess.TimeoutExpired:
                    log.write(b"== stopped: out of time\n")
        spent = round(time.monotonic() - start, 1)
        self.found.append({"stage": name, "code": code, "seconds": spent})
        print(f"{name}: code {code}, {spent} s", flush=True)
        return code == 0


def check(args: argparse.Namespace, work: Path) -> list[Path]:
    """Try everything that a run needs; returns the files that say how it went."""
    stages = Stages(args.seconds, work / "console.log")
    run, weights = work / "run", work / "checked.safetensors"
    few = ["--limit", "300", "--steps", "20", "--set", "log_every=5", "--set", "settle_steps=10"]
    few += ["--set", "held_out_batches=1", "--export", str(weights)]
    stages.run("facts", "-c", _FACTS)
    stages.run("train", *_train(args, run), *few)
    if args.device != "cpu":
        marked = ["-q", "-m", "gpu", "-k", "not every_way", "-p", "no:cacheprovider"]
        stages.run("tests", "-m", "pytest", *marked, str(ROOT / "tests"))
    speed = ["--preset", args.preset, "--device", args.device, "--phase", "3", "--steps", "5"]
    # What to mend first, where a step is far from the peak; the console's log comes home.
    speed += ["--profile"]
    speed += ["--json", str(work / "speed.json")]
    stages.run("speed of training", "-m", "eval.speed.bench_training", *speed)
    ways = ["--ways", "float32", "bf16, channels last", "--batch", args.batches, "--no-tests"]
    ways += ["--repeat", "2", "--device", args.device, "--preset", args.codec]
    ways += ["--size", args.size, "--out", str(work / "codec.json")]
    stages.run("speed of the codec", "-m", "eval.speed.bench_gpu", *ways)
    (work / "stages.json").write_text(json.dumps(stages.found, indent=1) + "\n", encoding="utf-8")
    own = [path for path in _files_in(work) if path != weights]
    return [*own, run / "log.jsonl"]


def train(args: argparse.Namespace, work: Path) -> list[Path]:
    """Train, export, and say what is worth bringing home, most valuable first."""
    stages = Stages(args.seconds - _MARGIN, work / "console.log")
    run, weights, compact = work / "run", work / f"{args.name}.safetensors", work / "resume"
    budget = max(1.0, stages.left - args.after)
    timed = ["--fit-steps", "--time-budget", f"{budget:.0f}s", "--export", str(weights)]
    timed += ["--compact-resume", str(compact), "--compact-part-mb", str(args.part_mb)]
    stages.run("train", *_train(args, run), *timed)
    if not weights.exists() and (run / "checkpoint.pt").exists() and stages.left > args.after / 2:
        # Stopped in the middle: what the last checkpoint holds is worth an export all the same.
        more = ["--export-only", "--export", str(weights)]
        stages.run("export", *_train(args, run), *more)
    (work / "stages.json").write_text(json.dumps(stages.found, indent=1) + "\n", encoding="utf-8")
    samples = sorted((run / "samples").glob("*.png"))[-1:]
    own = [path for path in _files_in(work) if path != weights]
    files = [*own, weights, weights.with_suffix(".md"), run / "log.jsonl", run / "config.json"]
    return [*files, *samples, compact]


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())


def _train(args: argparse.Namespace, run: Path) -> list[str]:
    given = ["-m", "glc.training", "--preset", args.preset, "--phase", "3", "--data", args.data]
    given += ["--out", str(run), "--device", args.device, "--features", args.features]
    return [*given, *args.more]


_FACTS = """
import PIL, platform, sys, torch, torchvision
print(sys.version, platform.machine(), "torch", torch.__version__, "torchvision",
      torchvision.__version__, "Pillow", PIL.__version__)
if torch.cuda.is_available():
    print(torch.cuda.get_device_properties(0))
"""


def collect(places: Iterable[Path], work: Path, out: Path, part_bytes: int, most: int) -> list[str]:
    """Put files into parts of one tar; returns the names of those that found no room.

    Args:
        places: files, and folders that are of use only as a whole; the first come first. Absent
            ones are passed over.
        work: names in the tar are relative to it.
        out: gets the parts and the list.
        part_bytes: largest size of a part.
        most: largest number of files in ``out``, the list included.
    """
    room, left_out = part_bytes * (most - 1) - tarfile.RECORDSIZE, []
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for place in dict.fromkeys(path for path in places if path.exists()):
            files = _files_in(place) if place.is_dir() else [place]
            # A header and the rest of the last block of each.
            taken = sum(file.stat().st_size + 2 * tarfile.BLOCKSIZE for file in files)
            if stream.tell() + taken > room:
                left_out.append(str(place.relative_to(work)))
                continue
            for file in files:
                archive.add(file, file.relative_to(work))
    data = stream.getvalue()
    out.mkdir(parents=True, exist_ok=True)
    parts = []
    for start in range(0, len(data), part_bytes):
        parts.append(_PART.format(len(parts) + 1))
        (out / parts[-1]).write_bytes(data[start : start + part_bytes])
    listing = {"sha256": hashlib.sha256(data).hexdigest(), "parts": parts, "left_out": left_out}
    (out / LISTING).write_text(json.dumps(listing, indent=1) + "\n", encoding="utf-8")
    return left_out


def join(folder: Path, out: Path) -> None:
    """Unpack what ``collect`` wrote.

    Raises:
        ValueError: a part is missing or damaged.
    """
    listing = json.loads((folder / LISTING).read_text(encoding="utf-8"))
    absent = [name for name in listing["parts"] if not (folder / Path(name).name).is_file()]
    if absent:
        raise ValueError(f"{folder}: missing {', '.join(absent)}")
    data = b"".join((folder / Path(name).name).read_bytes() for name in listing["parts"])
    if hashlib.sha256(data).hexdigest() != listing["sha256"]:
        raise ValueError(f"{folder}: the parts are damaged, or not all of one run; copy them again")
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            # Names are ours, but the files came from elsewhere.
            target = (out / member.name).resolve()
            if not member.isfile() or not target.is_relative_to(out.resolve()):
                raise ValueError(f"{folder}: {member.name!r} is no file below the folder")
            target.parent.mkdir(parents=True, exist_ok=True)
            content = archive.extractfile(member)
            target.write_bytes(b"" if content is None else content.read())


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 when every stage went well, 1 when one did not, 2 on wrong usage."""
    given = list(sys.argv[1:] if argv is None else argv)
    own, more = given, []
    if "--" in given:
        cut = given.index("--")
        own, more = given[:cut], given[cut + 1 :]
    args = _parser().parse_args(own)
    if args.command == "join":
        try:
            join(args.folder, args.out)
        except (OSError, ValueError) as error:
            print(f"eval.research.gpu_run: {error}", file=sys.stderr)
            return 1
        return 0
    args.more = more
    work: Path = args.work
    work.mkdir(parents=True, exist_ok=True)
    places = (check if args.command == "check" else train)(args, work)
    left_out = collect(places, work, args.out, int(args.part_mb * 1e6), args.files)
    if left_out:
        print(f"left out for want of room: {', '.join(left_out)}", file=sys.stderr)
    stages = json.loads((work / "stages.json").read_text(encoding="utf-8"))
    return 1 if any(stage["code"] for stage in stages) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m eval.research.gpu_run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, seconds in (("check", 150.0), ("train", 480.0)):
        add = commands.add_parser(name).add_argument
        add("out", type=Path, help="folder for the files to bring home")
        add("--seconds", type=float, default=seconds, help=f"in all (default {seconds:.0f})")
        add("--device", default="cuda", help="cuda (default), or cpu for a rehearsal")
        add("--preset", default="base-gpu", help="settings of the run (default base-gpu)")
        add("--data", default=str(ROOT / "data" / "*.tar"), help="(default: those of the parcel)")
        add("--features", default=str(ROOT / "features"), help="(default: those of the parcel)")
        add("--work", type=Path, default=ROOT / f"work-{name}", help="folder for everything else")
        add("--part-mb", type=float, default=15.0, help="largest file to bring home (default 15)")
        add("--files", type=int, default=8, help="most files to bring home (default 8)")
        if name == "check":
            add("--codec", default="base", help="preset of the codec's speed (default base)")
            add("--batches", default="8", help="its batches (default 8)")
            add("--size", default="768x512", help="and its pictures (default 768x512)")
        else:
            add("--name", default="base", help="of the weights (default base)")
            add("--after", type=float, default=50.0, help="seconds kept for export (default 50)")
    add = commands.add_parser("join").add_argument
    add("folder", type=Path, help="where the parts lie")
    add("out", type=Path, help="where everything goes")
    return parser


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(main())
