"""Does a file mean the same everywhere? The promises of DESIGN section 5, tried on real pictures.

    python -m eval.conformance --images DIR [--model NAME|PATH] [--qualities 0,25,50,75,100]

Every picture is encoded in each setting (threads, batch, oneDNN), and every file is decoded to
symbols in each setting: the checksum in the file tells whether they are the same. Also compares
file sizes with the model's own estimate, and damages files. Exit code 1 if a promise is broken.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from eval.pictures import find
from glc import Codec, GlcError, image

CONTAINER_BYTES = 16

Item = TypeVar("Item")


@dataclass(frozen=True)
class Setting:
    """One way to run the networks."""

    name: str
    threads: int = 1
    batch: int = 1
    onednn: bool = True

    @contextmanager
    def active(self) -> Iterator[None]:
        """Apply the setting to this process, and take it back."""
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            with torch.backends.mkldnn.flags(enabled=self.onednn):
                yield
        finally:
            torch.set_num_threads(before)


SETTINGS = (
    Setting("1 thread"),
    Setting("2 threads", threads=2),
    Setting("batch 8", threads=2, batch=8),
    Setting("oneDNN off", threads=2, onednn=False),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run all checks and print one line for each; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m eval.conformance", description=__doc__)
    parser.add_argument("--images", type=Path, required=True, help="folder of pictures")
    parser.add_argument("--model", help="name or path; default: the default model")
    parser.add_argument("--qualities", default="0,25,50,75,100")
    parser.add_argument("--limit", type=int, help="only the first N pictures")
    parser.add_argument("--damage", type=int, default=200, help="damaged copies per picture")
    args = parser.parse_args(argv)
    codec = Codec.from_pretrained(args.model, device="cpu")
    pictures = [image.load(source.path) for source in find(args.images, args.limit)]
    qualities = [int(quality) for quality in args.qualities.split(",")]
    failed = check_settings(codec, pictures, qualities)
    failed += check_sizes(codec, pictures, qualities)
    failed += check_damage(codec, pictures, args.damage)
    return 1 if failed else 0


def check_settings(codec: Codec, pictures: list[image.Picture], qualities: list[int]) -> int:
    """Encode in every setting and decode in every setting; returns the number of mismatches."""
    mismatches = 0
    for writer in SETTINGS:
        files: list[bytes] = []
        with writer.active():
            for quality in qualities:
                for group in _groups(pictures, writer.batch):
                    files += codec.encode_batch(group, quality)
        for reader in SETTINGS:
            wrong = 0
            with reader.active():
                for group in _groups(files, reader.batch):
                    wrong += _mismatches(codec, group)
            mismatches += wrong
            pair = f"written: {writer.name:<11} read: {reader.name:<11}"
            print(f"{pair} {wrong} of {len(files)} wrong")
    return mismatches


def _mismatches(codec: Codec, files: list[bytes]) -> int:
    try:
        codec.verify_batch(files)
    except GlcError:
        return len(files) if len(files) == 1 else sum(_mismatches(codec, [file]) for file in files)
    return 0


def _groups(items: list[Item], size: int) -> Iterator[list[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def check_sizes(codec: Codec, pictures: list[image.Picture], qualities: list[int]) -> int:
    """Compare file sizes with the model's estimate; returns how many are off by more than 1 %."""
    excess = []
    for quality in qualities:
        for picture in pictures:
            estimate = codec.bits(picture, quality) / 8
            excess.append((len(codec.encode(picture, quality)) - CONTAINER_BYTES) / estimate - 1)
    wrong = int(np.sum(np.abs(excess) > 0.01))
    print(
        f"payload against estimate: {100 * np.mean(excess):+.2f} % on average, "
        f"{100 * np.max(excess):+.2f} % at most; {wrong} of {len(excess)} beyond 1 %"
    )
    return wrong


def check_damage(codec: Codec, pictures: list[image.Picture], copies: int) -> int:
    """Change single bytes and cut files short; returns how many gave a wrong picture or a crash."""
    generator = random.Random(5)  # noqa: S311 - a reproducible choice of damage
    refused = harmless = wrong = 0

    def try_one(data: bytes, pixels: bytes | None) -> None:
        nonlocal refused, harmless, wrong
        try:
            same = codec.decode(data).tobytes() == pixels
        except GlcError:
            refused += 1
            return
        harmless += same
        wrong += not same

    for picture in pictures:
        data = codec.encode(picture, 30)
        pixels = codec.decode(data).tobytes()
        for _ in range(copies):
            position = generator.randrange(len(data))
            changed = bytearray(data)
            changed[position] ^= generator.randrange(1, 256)
            try_one(bytes(changed), pixels)
            try_one(data[: generator.randrange(len(data))], None)
    print(
        f"damaged files: {refused} refused with a GlcError, {harmless} decoded to the same "
        f"picture, {wrong} to a wrong one"
    )
    return wrong


if __name__ == "__main__":
    sys.exit(main())
