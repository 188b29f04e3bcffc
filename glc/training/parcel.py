"""What a bare machine with a GPU needs for a run, in folders that are small enough to be sent.

    python -m glc.training.parcel --data 'train/*.tar' --features DIR --wheels DIR --out parcel

Writes ``parcel/part-1``: sources, settings, the tests marked ``gpu``, weights of the feature
networks, wheels, as many pictures as the limit leaves room for, and ``go.sh``, which runs
``eval.research.gpu_run`` there. Further parts (``--parts``) hold other pictures and nothing else;
on the machine their files go into the same folder. docs/training.md has the whole of it.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import shutil
import sys
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from glc.errors import GlcError
from glc.training.data.sources import Source, list_pictures
from glc.training.engine.nonfinite_guard import TrainingError
from glc.training.losses.feature_files import ALEX_FILE, MOBILENET_FILE, SQUEEZE_FILE, FeatureFiles
from glc.training.losses.features import Lpips
from glc.training.settings import TrainingSettings

__all__ = ["main", "pack"]

_ROOT = Path(__file__).parents[2]
_SOURCES = ("glc", "eval", "pyproject.toml")
_TESTS = (
    *("tests/__init__.py", "tests/conftest.py", "tests/test_exactness.py"),
    *(f"tests/training/{name}" for name in ("conftest.py", "test_gpu.py", "micro.toml")),
    "tests/training/micro-linear.toml",
)
"""Those that are worth their seconds there; the others marked ``gpu`` compile for minutes."""
_LEFT_OUT = ("__pycache__", "_weights", "page", "*.npz", "crops.csv")
_BLOCK = 512
"""Bytes that a tar is made of."""

_GO = """\
#!/bin/sh
# sh go.sh check OUT, then sh go.sh train OUT: eval.research.gpu_run with what was brought along.
here=$(cd "$(dirname "$0")" && pwd) || exit
for wheel in "$here"/wheels/*.whl; do
    # A wheel is a zip; pip may not be there.
    test -e "$wheel" && python3 -m zipfile -e "$wheel" "$here/site"
done
export PYTHONPATH="$here:$here/site" PYTHONUNBUFFERED=1
exec python3 -m eval.research.gpu_run "$@"
"""


def pack(
    data: str,
    out: Path,
    settings: TrainingSettings,
    files: FeatureFiles,
    wheels: Iterable[Path],
    limit_bytes: int,
    parts: int = 1,
    init: Path | None = None,
) -> list[int]:
    """Write the parts.

    Args:
        data: folder, tar, or glob of tars.
        out: new folder; it gets ``part-1`` and so on.
        settings: say which feature networks phase 3 needs.
        files: where their weights are.
        wheels: files that are unpacked on the machine.
        limit_bytes: largest sum of the files of one part.
        parts: how many; all but the first hold pictures alone.
        init: what the run starts from, weights or the folder of a run; goes along as ``init``, with
            its suffix.

    Returns:
        How many pictures each part holds.

    Raises:
        TrainingError: weights are missing, ``out`` is there, or no picture fits into a part.
        ValueError: no pictures.
    """
    pictures = iter(_mixed(list_pictures(data)))
    if out.exists():
        raise TrainingError(f"{out} is there already; name a new folder")
    first = out / "part-1"
    first.mkdir(parents=True)
    _copy_sources(first)
    _copy_features(first / "features", settings.networks([3]), files)
    for wheel in wheels:
        (first / "wheels").mkdir(exist_ok=True)
        shutil.copy(wheel, first / "wheels")
    if init is not None:
        copy = shutil.copytree if init.is_dir() else shutil.copy
        copy(init, first / f"init{init.suffix}")
    (first / "go.sh").write_text(_GO, encoding="utf-8")
    counts = []
    for number in range(1, parts + 1):
        folder = out / f"part-{number}" / "data"
        folder.mkdir(parents=True)
        room = limit_bytes - _size(folder.parent)
        count, pictures = _fill(folder / f"pictures-{number}.tar", pictures, room)
        if not count:
            raise TrainingError(f"no room for a picture, or none left, in part {number}")
        counts.append(count)
    return counts


def _copy_sources(out: Path) -> None:
    present = [name for name in (*_SOURCES, *_TESTS) if (_ROOT / name).exists()]
    for name in present:
        source, target = _ROOT / name, out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns(*_LEFT_OUT))
        else:
            shutil.copy(source, target)


def _copy_features(out: Path, names: Sequence[str], files: FeatureFiles) -> None:
    """Write the weights that are used, and no others: SqueezeNet's classifier is a third of it."""
    out.mkdir()
    if "lpips" in names:
        torch.save(_features_of(Lpips("squeeze", files.squeeze())), out / SQUEEZE_FILE)
    if "alex" in names:
        found = _features_of(Lpips("alex", files.alex()))
        save_file({name: _shortest(value) for name, value in found.items()}, out / ALEX_FILE)
    if "mobilenet" in names:
        path = files.mobilenet_path()
        if path is None:
            raise TrainingError(f"no MobileNetV2 ({MOBILENET_FILE} in --features DIR)")
        shutil.copy(path, out / MOBILENET_FILE)


def _features_of(network: Lpips) -> dict[str, Tensor]:
    """Return a trained network as torchvision names its weights."""
    state = network.metric.net.state_dict()
    return {f"features.{name.split('.', 1)[1]}": value.clone() for name, value in state.items()}


def _shortest(value: Tensor) -> Tensor:
    """Return half floats where they say the same."""
    return value.half() if torch.equal(value.half().float(), value) else value


def _mixed(sources: Sequence[Source]) -> list[Source]:
    """Order pictures by a hash of their names, so that any part is a fair sample of them."""
    return sorted(sources, key=lambda source: hashlib.sha256(_bytes_of(source)).digest())


def _bytes_of(source: Source) -> bytes:
    return source.name.encode("utf-8", "surrogateescape")


def _fill(path: Path, pictures: Iterator[Source], room: int) -> tuple[int, Iterator[Source]]:
    """Write pictures to a tar until the next one would not fit.

    Returns:
        How many there are, and those that are left.
    """
    count, left = 0, room - 2 * _BLOCK
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        # The file ends on a whole record.
        left -= tarfile.RECORDSIZE
        for source in pictures:
            data = source.read()
            info = tarfile.TarInfo(source.name)
            info.size = len(data)
            taken = len(info.tobuf(tarfile.GNU_FORMAT)) + -(-len(data) // _BLOCK) * _BLOCK
            if taken > left:
                return count, chain([source], pictures)
            archive.addfile(info, io.BytesIO(data))
            count, left = count + 1, left - taken
    return count, pictures


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the parts and say what is in them; 0 done, 1 failed, 2 wrong usage."""
    parser = argparse.ArgumentParser(
        prog="python -m glc.training.parcel",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--data", required=True, metavar="SOURCE", help="folder of pictures, tar, or glob of tars")
    add("--out", type=Path, required=True, metavar="DIR", help="a new folder")
    add("--preset", default="base-gpu", help="settings of the run (default base-gpu)")
    add(
        "--features",
        type=Path,
        metavar="DIR",
        help="weights of the feature networks, as for glc train",
    )
    add(
        "--init",
        type=Path,
        metavar="PATH",
        help="weights, or folder of a run, to start from there: -- --init init",
    )
    add("--wheels", type=Path, metavar="DIR", help="wheels that the machine lacks")
    add(
        "--limit-mb",
        type=float,
        default=60.0,
        metavar="MB",
        help="largest size of a part (default 60)",
    )
    add(
        "--parts",
        type=int,
        default=1,
        metavar="N",
        help="parts; the second and later hold pictures",
    )
    args = parser.parse_args(arguments)
    try:
        settings = TrainingSettings.load(args.preset, {})
        wheels = [] if args.wheels is None else sorted(args.wheels.glob("*.whl"))
        files = FeatureFiles(args.features)
        limit = int(args.limit_mb * 1e6)
        counts = pack(args.data, args.out, settings, files, wheels, limit, args.parts, args.init)
    except ValueError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except (GlcError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    for number, count in enumerate(counts, 1):
        folder = args.out / f"part-{number}"
        sys.stderr.write(f"{folder}: {_size(folder) / 1e6:.1f} MB, {count} pictures\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
