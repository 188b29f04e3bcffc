"""A codec for one world: fine-tune on the frames of a driving game, and look for what is strange.

The setting of World Models (Ha & Schmidhuber, arXiv 1803.10122), whose first part is a compressor
of CarRacing frames. In order: drive and collect frames; fine-tune the shipped model on them with
``python -m glc.training``; compare it, and the model that it came from, with PNG and JPEG on
episodes that it has not seen; and measure whether frames with changed colours surprise it.

    pip install '.[examples,train]'
    python examples/car_racing.py --out runs/car --time 10m

Needs what training needs: weights of the loss networks, see docs/training.md. A stopped run goes on
where it was.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from eval.research import ood_scores
from glc import Codec

RGB = NDArray[np.uint8]
SIDE = 384
"""Frames are cut to squares of this many pixels; a strip of the display of speed is left."""

SHOWN = 30
"""Quality of the reconstructions that are shown, and of the surprise."""
QUALITIES = (0, SHOWN, 60)


def drive(episode: int, frames: int) -> Iterator[RGB]:
    """Yield frames of one episode, every fourth one, driven by a rule with some noise.

    The rule steers towards the middle of the grey that it sees ahead. Every fifth driver is drunk,
    so that grass and bends from outside are seen too.
    """
    import gymnasium

    world = gymnasium.make("CarRacing-v3", render_mode="rgb_array")
    rng = np.random.default_rng(episode)
    seen, _ = world.reset(seed=episode)
    sway = 1.0 if episode % 5 == 4 else 0.15
    wander = 0.0
    for tick in range(50 + 4 * frames):
        ahead = seen[40:64].astype(int)
        road = np.abs(ahead - ahead.mean(axis=2, keepdims=True)).max(axis=2) < 12
        aim = (np.nonzero(road)[1].mean() - 47.5) / 48 if road.any() else 0.0
        wander = 0.9 * wander + sway * rng.normal(0.0, 0.3)
        steer = float(np.clip(2.0 * aim + wander, -1.0, 1.0))
        gas = 0.5 if tick < 40 or tick % 3 == 0 else 0.05
        seen, _, ended, cut, _ = world.step(np.array([steer, gas, 0.0], np.float32))
        # The camera zooms in during the first second.
        if tick >= 50 and tick % 4 == 0:
            picture = np.asarray(world.render())
            left = (picture.shape[1] - SIDE) // 2
            yield np.ascontiguousarray(picture[:SIDE, left : left + SIDE])
        if ended or cut:
            break
    world.close()


def collect(folder: Path, episodes: Sequence[int], frames: int) -> list[Path]:
    """Write the frames of some episodes as PNG, those that are not there yet; returns all paths."""
    paths: list[Path] = []
    folder.mkdir(parents=True, exist_ok=True)
    for episode in episodes:
        done = folder / f"drive{episode:03}.done"
        if not done.exists():
            for number, frame in enumerate(drive(episode, frames)):
                Image.fromarray(frame).save(folder / f"drive{episode:03}-{number:03}.png")
            done.touch()
        paths += sorted(folder.glob(f"drive{episode:03}-*.png"))
    return paths


def fine_tune(frames: Path, out: Path, start: Path, time: str, extra: Sequence[str]) -> Path:
    """Train phase 3 on the frames from shipped weights; returns the new weights."""
    weights = out / "car.safetensors"
    if weights.exists():
        return weights
    train = [sys.executable, "-m", "glc.training", "--preset", "tiny", "--data", str(frames)]
    train += ["--out", str(out / "run"), "--phase", "3", *extra]
    timed = ["--init", str(start), "--time-budget", time, "--fit-steps"]
    subprocess.run([*train, *timed], check=True)
    # Also when the time ended before the steps did.
    subprocess.run([*train, "--export-only", "--export", str(weights)], check=True)
    return weights


def jpeg_near(frame: RGB, size: int) -> tuple[int, RGB]:
    """Return bytes and pixels of the best JPEG, shrunk by 1, 2 or 4, of any quality.

    Of those that are at most a twentieth larger than ``size``; of the smallest if none is.
    """
    image = Image.fromarray(frame)
    found: list[bytes] = []
    for factor in (1, 2, 4):
        small = image.resize((SIDE // factor, SIDE // factor), Image.Resampling.LANCZOS)
        for quality in (1, 2, 5, 10, 20, 30, 45, 60, 80):
            stream = io.BytesIO()
            small.save(stream, "JPEG", quality=quality, optimize=True)
            found.append(stream.getvalue())
    fitting = [data for data in found if len(data) <= 1.05 * size] or [min(found, key=len)]
    shown = [(len(data), enlarged(data)) for data in fitting]
    return max(shown, key=lambda rival: psnr_db(frame, rival[1]))


def enlarged(data: bytes) -> RGB:
    """Return the pixels of a JPEG at the size of a frame."""
    with Image.open(io.BytesIO(data)) as opened:
        large = opened.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return np.asarray(large)


def psnr_db(x: RGB, x_hat: RGB) -> float:
    """Return the peak signal-to-noise ratio."""
    return float(10 * np.log10(255**2 / np.square(x.astype(float) - x_hat).mean()))


CHANGES: dict[str, Callable[[RGB], RGB]] = {
    "red and green exchanged": lambda x: x[..., [1, 0, 2]],
    "colours turned by a third": lambda x: x[..., [1, 2, 0]],
    "negative": lambda x: 255 - x,
    "grey": lambda x: x.mean(axis=2, keepdims=True).round().astype(np.uint8).repeat(3, axis=2),
}
"""What is done to frames, without any new shape or texture."""


def report(codecs: dict[str, Codec], frames: list[RGB], memory: list[RGB], sheet: Path) -> None:
    """Print sizes, errors and novelty under every model, and write a sheet of reconstructions.

    Args:
        codecs: by name, the last one fine-tuned.
        frames: of episodes that were not trained on.
        memory: frames that were.
        sheet: where to write: originals, then each model at quality 30, then JPEG near the last.
    """
    png = []
    for frame in frames:
        stream = io.BytesIO()
        Image.fromarray(frame).save(stream, "PNG", optimize=True)
        png.append(stream.tell())
    print(f"\n{len(frames)} frames of {SIDE} x {SIDE} from episodes that were not trained on")
    print(f"PNG: {8 * np.mean(png):,.0f} bits per frame, without loss\n")
    print("| model | quality | bits per frame | PSNR dB | best JPEG of that size: bits | PSNR dB |")
    print("|---|---|---|---|---|---|")
    rows = [frames[:6]]
    for name, codec in codecs.items():
        for quality in QUALITIES:
            files = codec.encode_batch(frames, quality)
            decoded = [np.asarray(image) for image in codec.decode_batch(files)]
            rivals = [jpeg_near(x, len(data)) for x, data in zip(frames, files, strict=True)]
            ours = np.mean([psnr_db(x, y) for x, y in zip(frames, decoded, strict=True)])
            theirs = np.mean([psnr_db(x, y) for x, (_, y) in zip(frames, rivals, strict=True)])
            bits = 8 * np.mean([len(data) for data in files])
            rival = f"{8 * np.mean([size for size, _ in rivals]):,.0f} | {theirs:.2f}"
            print(f"| {name} | {quality} | {bits:,.0f} | {ours:.2f} | {rival} |")
            if quality == SHOWN:
                rows.append(decoded[:6])
                last = [y for _, y in rivals[:6]]
    Image.fromarray(np.vstack([np.hstack(row) for row in [*rows, last]])).save(sheet)
    print("\n| frames |" + "".join(f" {n}: bpp | AUC | AUC of distance |" for n in codecs))
    print("|---|" + "---|---|---|" * len(codecs))
    known = {name: novelty_of(codec, frames, memory) for name, codec in codecs.items()}
    print("| as they are |" + "".join(f" {known[n][0].mean():.4f} | | |" for n in codecs))
    for change, alter in CHANGES.items():
        changed = [np.ascontiguousarray(alter(frame)) for frame in frames]
        cells = ""
        for name, codec in codecs.items():
            found = novelty_of(codec, changed, memory)
            areas = [ood_scores.auc(a, b) for a, b in zip(known[name], found, strict=True)]
            cells += f" {found[0].mean():.4f} | {areas[0]:.2f} | {areas[1]:.2f} |"
        print(f"| {change} |{cells}")


def novelty_of(codec: Codec, frames: list[RGB], memory: list[RGB]) -> list[NDArray[np.float64]]:
    """Return two scores per frame: surprise, and distance to the nearest latents of the memory."""
    means = [
        np.stack([l.mean(axis=(0, 1)) for l in codec.latents_batch(pictures)]).astype(np.float64)
        for pictures in (frames, memory)
    ]
    bits = np.array(codec.surprise_batch(frames, SHOWN))
    return [bits, ood_scores.distances(means[0], means[1])]


def main() -> None:
    """Collect, train, report."""
    parser = argparse.ArgumentParser(description="A codec for the frames of CarRacing.")
    parser.add_argument("--out", type=Path, required=True, help="folder for everything")
    parser.add_argument("--time", default="10m", help="of fine-tuning (default: 10m)")
    parser.add_argument("--init", type=Path, required=True, help="weights to start from")
    parser.add_argument("--episodes", type=int, default=20, help="to train on (default: 20)")
    parser.add_argument("--frames", type=int, default=40, help="per episode (default: 40)")
    parser.add_argument("--device", default="auto")
    options, extra = parser.parse_known_args()
    collect(options.out / "frames", range(options.episodes), options.frames)
    # Other seeds are other tracks.
    test = collect(options.out / "test", range(1000, 1004), options.frames)
    memory = sorted((options.out / "frames").glob("*.png"))
    some = [[np.asarray(Image.open(p)) for p in x[:: max(1, len(x) // 32)]] for x in (test, memory)]
    extra += ["--device", options.device]
    tuned = fine_tune(options.out / "frames", options.out, options.init, options.time, extra)
    codecs = {
        "shipped": Codec.from_pretrained(options.init, device=options.device),
        "fine-tuned": Codec.from_pretrained(tuned, device=options.device),
    }
    report(codecs, *some, options.out / "frames.png")


if __name__ == "__main__":
    main()
