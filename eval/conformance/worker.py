"""One process of ``eval.conformance.promises``: writes and reads files in many settings.

    python -m eval.conformance.worker [--device NAME] [--compiled]

Takes one job per line on standard input, as JSON, and answers each with a line on standard output.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from eval.conformance.environments import Setting, compiled
from glc import Codec, GlcError, image

__all__ = ["Reading", "Writing", "main", "read", "write"]

Item = TypeVar("Item")


@dataclass
class Writing:
    """What encoding some pictures in one setting gave."""

    files: list[str]
    """Their SHA-256, by quality and picture; none if the setting cannot run here."""
    rounding: str = ""
    """A digest of the latent of the first picture: settings that round alike have it alike."""


@dataclass
class Reading:
    """What decoding a list of files in one setting gave."""

    decodes: int = 0
    wrong: int = 0
    """Files whose symbols differ from those that were written."""
    off: int = 0
    """Pictures that differ from the reference by more than one level somewhere."""
    largest: int = 0
    """The largest difference of a level."""
    total: float = 0.0
    """The sum of the mean differences of the pictures, in levels."""
    refused: str = ""
    """Why this machine cannot run the setting at all."""

    def __add__(self, other: Reading) -> Reading:
        return Reading(
            self.decodes + other.decodes,
            self.wrong + other.wrong,
            self.off + other.off,
            max(self.largest, other.largest),
            self.total + other.total,
            self.refused or other.refused,
        )


def write(
    codec: Codec, pictures: list[Path], qualities: Iterable[int], settings: list[Setting], to: Path
) -> dict[str, Writing]:
    """Encode every picture at every quality in every setting.

    Files go to ``to``, under their SHA-256, so that equal ones are there once.
    """
    loaded = [image.load(path) for path in pictures]
    found: dict[str, Writing] = {}
    for setting in settings:
        files: list[bytes] = []
        try:
            with setting.active(codec):
                for quality in qualities:
                    for group in _groups(loaded, setting.batch):
                        files += codec.encode_batch(group, quality)
                latent = codec.analyse(loaded[:1]).tobytes()
        except RuntimeError:
            found[setting.name] = Writing([])
            continue
        names = [hashlib.sha256(data).hexdigest() for data in files]
        for name, data in zip(names, files, strict=True):
            (to / f"{name}.glc").write_bytes(data)
        found[setting.name] = Writing(names, hashlib.sha256(latent).hexdigest())
    return found


def read(codec: Codec, files: list[Path], settings: list[Setting]) -> dict[str, Reading]:
    """Decode files in every setting and compare symbols and pictures.

    Args:
        codec: the model that wrote them.
        files: each with the pixels of its reference beside it, as ``.npy``.
        settings: to decode in.
    """
    data = [path.read_bytes() for path in files]
    references = [np.load(path.with_suffix(".npy")) for path in files]
    found = {}
    for setting in settings:
        reading = Reading()
        with setting.active(codec):
            for group in _groups([*zip(data, references, strict=True)], setting.batch):
                try:
                    reading += _read(codec, group)
                except RuntimeError as error:
                    reading.refused = " ".join(str(error).split())[:200]
                    break
        found[setting.name] = reading
    return found


def _read(codec: Codec, group: Sequence[tuple[bytes, np.ndarray[Any, Any]]]) -> Reading:
    try:
        decoded = codec.decode_batch([data for data, _ in group])
    except GlcError:
        if len(group) == 1:
            return Reading(1, 1)
        # One bad file takes its batch with it: which one is it?
        return sum((_read(codec, [one]) for one in group), Reading())
    reading = Reading()
    for picture, (_, reference) in zip(decoded, group, strict=True):
        difference = np.abs(np.asarray(picture, np.int16) - reference)
        largest = int(difference.max())
        reading += Reading(1, 0, int(largest > 1), largest, float(difference.mean()))
    return reading


def _groups(items: list[Item], size: int) -> Iterator[list[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def main(argv: Sequence[str] | None = None) -> int:
    """Work on jobs until standard input ends; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m eval.conformance.worker", description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compiled", action="store_true")
    args = parser.parse_args(argv)

    @functools.cache
    def load(model: str) -> Codec:
        codec = Codec.from_pretrained(model, runtime="torch", device=args.device)
        return compiled(codec) if args.compiled else codec

    print(json.dumps({"instructions": torch.backends.cpu.get_cpu_capability()}), flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        codec = load(job["model"])
        settings = [Setting(**fields) for fields in job["settings"]]
        if job["do"] == "write":
            pictures = [Path(name) for name in job["pictures"]]
            found: Any = write(codec, pictures, job["qualities"], settings, Path(job["to"]))
        else:
            found = read(codec, [Path(name) for name in job["files"]], settings)
        answer = {name: dataclasses.asdict(result) for name, result in found.items()}
        print(json.dumps(answer), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
