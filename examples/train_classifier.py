"""Train a small classifier on coded pictures, and compare it with one trained on the originals.

    python examples/train_classifier.py pictures/ --archive coded.glca -q 40

``pictures/`` holds one folder per class. They are coded into the archive (once: an existing one is
used), and the same training runs on the originals, on the decoded pictures, and on the latents,
which come out of the files without making pixels. Files whose names differ in a number at the end
only, as crops of one photograph do (``photo-0.png``, ``photo-1.png``), are not split between
training and testing.
"""

from __future__ import annotations

import argparse
import re
import time
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from glc.bitstream import unpack
from glc.dataset import Archive, BatchDecoder, GlcDataset, compress
from glc.image import load

LATENT_STRIDE = 16
BATCH = 32


class Samples(NamedTuple):
    """Everything that one training sees, in memory."""

    inputs: Tensor
    labels: Tensor
    held_out: Tensor
    """(N,) bool: for testing."""
    seconds: float
    """Taken to read and decode."""


def square(picture: Tensor, size: int) -> Tensor:
    """Cut the middle out of (C, H, W) and scale it to (C, size, size)."""
    height, width = picture.shape[1:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    middle = picture[None, :, top : top + side, left : left + side].float()
    return F.interpolate(middle, (size, size), mode="bilinear", antialias=True)[0]


def is_held_out(key: str) -> bool:
    """Choose a quarter of the photographs, the same whatever they are read from."""
    return zlib.crc32(re.sub(r"-\d+$", "", key).encode()) % 4 == 0


def read_originals(folder: Path, keys: list[str], size: int) -> Samples:
    """Read the pictures that the archive holds, so that all trainings see the same ones."""
    began = time.perf_counter()
    paths = {
        path.relative_to(folder).with_suffix("").as_posix(): path for path in folder.rglob("*.*")
    }
    pictures = [torch.from_numpy(load(paths[key]).rgb).permute(2, 0, 1) for key in keys]
    return _samples([square(p, size) for p in pictures], keys, time.perf_counter() - began)


def read_coded(archive: Path, keys: list[str], output: str, size: int, device: str) -> Samples:
    """Read pictures or latents out of the archive: workers read, batches are decoded here."""
    began = time.perf_counter()
    decode = BatchDecoder(output, device, transform=partial(square, size=size))  # type: ignore[arg-type]
    loader = DataLoader(GlcDataset(archive), BATCH, num_workers=1, collate_fn=list)
    found: dict[str, Tensor] = {}
    for inputs, names in map(decode, loader):
        found.update(zip(names, inputs.cpu(), strict=True))
    return _samples([found[key] for key in keys], keys, time.perf_counter() - began)


def _samples(inputs: list[Tensor], keys: list[str], seconds: float) -> Samples:
    classes = sorted({key.split("/")[0] for key in keys})
    return Samples(
        torch.stack(inputs),
        torch.tensor([classes.index(key.split("/")[0]) for key in keys]),
        torch.tensor([is_held_out(key) for key in keys]),
        seconds,
    )


def network(channels: int, classes: int, halvings: int) -> nn.Module:
    """Return 3x3 convolutions, each at half the resolution of the one before, and an average."""
    layers: list[nn.Module] = [nn.BatchNorm2d(channels)]
    width = channels
    for depth in range(halvings):
        wider = min(32 << depth, 128)
        layers += [nn.Conv2d(width, wider, 3, 2, 1), nn.BatchNorm2d(wider), nn.ReLU()]
        width = wider
    layers += [nn.Conv2d(width, 128, 3, 1, 1), nn.BatchNorm2d(128), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, classes))


def train(samples: Samples, halvings: int, epochs: int, seed: int) -> Callable[[Samples], float]:
    """Train on what is not held out; returns a function that measures accuracy on what is."""
    torch.manual_seed(seed)
    classes = int(samples.labels.max()) + 1
    net = network(samples.inputs.shape[1], classes, halvings)
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.05)
    inputs, labels = samples.inputs[~samples.held_out], samples.labels[~samples.held_out]
    steps = epochs * -(-len(inputs) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, steps)
    for _ in range(epochs):
        net.train()
        for chosen in torch.randperm(len(inputs)).split(BATCH):
            batch = inputs[chosen]
            flipped = torch.where(torch.rand(len(batch), 1, 1, 1) < 0.5, batch, batch.flip(3))
            loss = F.cross_entropy(net(flipped), labels[chosen], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()

    @torch.inference_mode()
    def accuracy(test: Samples) -> float:
        net.eval()
        predicted = net(test.inputs[test.held_out]).argmax(1)
        return float((predicted == test.labels[test.held_out]).float().mean())

    return accuracy


def main() -> None:
    """Code, train three times, print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="one folder of pictures per class")
    parser.add_argument("--archive", type=Path, default=Path("coded.glca"))
    parser.add_argument("-q", "--quality", type=int, default=40)
    parser.add_argument("--size", type=int, default=96, help="side that pictures are scaled to")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3, help="trainings that are averaged")
    parser.add_argument("--device", default="auto", help="where the codec runs")
    options = parser.parse_args()

    if not options.archive.exists():
        done = compress(options.folder, options.archive, options.quality, options.device)
        print(f"coded {done.pictures} pictures, {done.pictures_per_second:.1f} a second")
    with Archive(options.archive) as archive:
        keys = archive.keys
        pixels = sum(c.width * c.height for c in (unpack(data) for _, data in archive))
    coded_bytes = options.archive.stat().st_size
    original_bytes = sum(
        path.stat().st_size for path in options.folder.rglob("*.*") if path.is_file()
    )

    originals = read_originals(options.folder, keys, options.size)
    decoded = read_coded(options.archive, keys, "image", options.size, options.device)
    # As many positions as the pictures' side has latents, but no fewer than 12.
    grid = max(12, options.size // LATENT_STRIDE)
    latents = read_coded(options.archive, keys, "latent", grid, options.device)

    names = [key.split("/")[0] for key in keys]
    counts = ", ".join(f"{name} {names.count(name)}" for name in sorted(set(names)))
    held_out = int(originals.held_out.sum())
    print(f"{len(keys)} pictures ({counts}), {held_out} of them held out for testing")
    print(f"originals {original_bytes:,} bytes, coded {coded_bytes:,} bytes", end=", ")
    print(f"{8 * coded_bytes / pixels:.4f} bits per pixel")
    trainings = [
        ("originals", originals, 4, {"originals": originals}),
        ("decoded", decoded, 4, {"decoded": decoded, "originals": originals}),
        ("latents", latents, 1, {"latents": latents}),
    ]
    for name, samples, halvings, tests in trainings:
        began = time.perf_counter()
        measures = [train(samples, halvings, options.epochs, seed) for seed in range(options.seeds)]
        seconds = (time.perf_counter() - began) / options.seeds
        print(f"{name}: read in {samples.seconds:.1f} s, trained in {seconds:.1f} s each time")
        for tested_on, test in tests.items():
            scores = [measure(test) for measure in measures]
            print(f"    accuracy on {tested_on}: {np.mean(scores):.3f} +- {np.std(scores):.3f}")


if __name__ == "__main__":
    main()
