"""How much of what ``--effort`` finds can the encoder learn? E's last part and g_a, on refined y.

    python -m eval.research.amortise --data TRAIN --held-out DIR --model base --features DIR

Refines y of crops by a level of effort, then teaches g_a and the part of E at 1/16 of the
resolution to give the refined y in one pass: squared error in steps of the quantisation. All else
is frozen, so that the decoder and its files stay. Says on held-out crops what share of the way to
the refined y one pass then goes, and what share of the gain it keeps at an equal rate. No weights
are written.
"""

from __future__ import annotations

import argparse
import copy
import io
import math
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from eval import pictures
from eval.metrics import registry
from eval.metrics.registry import COLUMNS, Metric
from eval.metrics.settings import Settings
from eval.pictures import RGB
from eval.report.summary import markdown, show
from eval.research.split import read_all
from glc import Codec
from glc.coding_loop import CodingLoop
from glc.config import IMAGE_STRIDE
from glc.effort.descent import Descent
from glc.effort.levels import LEVELS
from glc.networks.model import GlcModel
from glc.networks.quantize import round_from
from glc.runtime.precision import with_gradients

CURVE = (0, 10, 20, 30, 40, 50, 60, 80, 100)
"""Qualities of one pass as it was, by which figures at an equal rate are read."""
METRICS = ("psnr", "colour16", "lpips-alex")
_BATCH = 8
_VALIDATED = 25
"""Steps between two looks at the held-out crops."""


@dataclass
class Lesson:
    """Crops, and what one pass should give for them."""

    features: Tensor
    """(N, C_16, h, w), what the frozen part of E gives."""
    one_pass: Tensor
    """(N, C_y, h, w), y as it was."""
    refined: Tensor
    """The same, as the search leaves it."""
    steps: Tensor
    """Of the quantisation, the same shape."""


def main(argv: Sequence[str] | None = None) -> int:
    """Refine, teach, measure; 2 on wrong usage."""
    arguments = _parser().parse_args(argv)
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    try:
        for side in (arguments.side, arguments.shown_side):
            if side <= 0 or side % IMAGE_STRIDE:
                raise ValueError(f"crops of {side} pixels: expected a multiple of {IMAGE_STRIDE}")
        taught = training_crops(
            *(arguments.data, arguments.held_out, arguments.crops, arguments.side),
            *(arguments.every, arguments.seed),
        )
        shown = held_out_crops(arguments.held_out, arguments.limit, arguments.shown_side)
    except ValueError as error:
        print(f"eval.research.amortise: {error}", file=sys.stderr)
        return 2
    settings = Settings(features=arguments.features)
    metrics = [registry.build(name, settings) for name in METRICS]
    codec = Codec.from_pretrained(arguments.model, runtime="torch", device="cpu")
    quality, effort = arguments.quality, arguments.effort

    start = time.process_time()
    lesson, test = (lesson_of(codec, crops, quality, effort) for crops in (taught, shown))
    _say(f"refined {len(taught)} + {len(shown)} crops in {time.process_time() - start:.0f} s")
    curve = {q: measure(codec, shown, q, 0, metrics) for q in sorted({*CURVE, quality})}
    searched = measure(codec, shown, quality, effort, metrics)

    start = time.process_time()
    shares = learn(codec_model(codec), lesson, test, quality, arguments.steps, arguments.rate)
    _say(f"{arguments.steps} steps in {time.process_time() - start:.0f} s")
    learned = measure(codec, shown, quality, 0, metrics)
    print(
        f"{len(taught)} crops of {arguments.side} px taught, {len(shown)} shown, quality {quality},"
        f" effort {effort}. Of the way to the refined y, in squares of steps, one pass goes"
        f" {shares[0]:.1%} on crops that it was taught and {shares[1]:.1%} on the others.\n"
    )
    print(markdown(table(curve, curve[quality], searched, learned)))
    return 0


def training_crops(
    data: Path, held_out: Path, count: int, side: int, every: int, seed: int
) -> list[RGB]:
    """Return a crop each of so many pictures, of no photograph that is held out.

    Args:
        data: a folder of pictures or tars, or a tar.
        held_out: a folder; pieces of one photograph are named PHOTOGRAPH-PIECE.
        count: of crops.
        side: of them; smaller pictures are left out.
        every: takes only every so many-th picture, so that a part of a long set is from all of it.
        seed: of the places of the crops.

    Raises:
        ValueError: there are fewer.
    """
    known = {_photograph(source.name) for source in pictures.find(held_out)}
    generator = np.random.default_rng(seed)
    found: list[RGB] = []
    for number, (name, content) in enumerate(read_all(data)):
        if len(found) == count:
            break
        if number % every or _photograph(name) in known:
            continue
        picture = pictures.pixels(Image.open(io.BytesIO(content)).convert("RGB"))
        if min(picture.shape[:2]) >= side:
            top, left = (generator.integers(0, size - side + 1) for size in picture.shape[:2])
            found.append(np.ascontiguousarray(picture[top : top + side, left : left + side]))
    if len(found) < count:
        raise ValueError(f"{data}: {count} crops of {side} pixels wanted, found {len(found)}")
    return found


def _photograph(name: str) -> str:
    return Path(name).stem.rsplit("-", 1)[0]


def held_out_crops(folder: Path, limit: int, side: int) -> list[RGB]:
    """Return the middles of pictures of a folder, at most ``limit``, spread over the names.

    Raises:
        ValueError: none is large enough.
    """
    sources = pictures.find(folder)
    found = []
    for index in np.linspace(0, len(sources) - 1, min(limit, len(sources))).astype(int):
        picture = pictures.pixels(pictures.load(sources[index].path))
        top, left = ((size - side) // 2 for size in picture.shape[:2])
        if min(top, left) >= 0:
            found.append(np.ascontiguousarray(picture[top : top + side, left : left + side]))
    if not found:
        raise ValueError(f"{folder}: no picture has {side} x {side} pixels")
    return found


def codec_model(codec: Codec) -> GlcModel:
    """Return the modules of a codec that computes in torch.

    Raises:
        TypeError: it computes in ONNX Runtime.
    """
    from glc.runtime.torch import TorchNetworks

    if not isinstance(codec.networks, TorchNetworks):
        raise TypeError(f"{codec.runtime} has no modules to teach")
    return codec.networks.model


def lesson_of(codec: Codec, crops: Sequence[RGB], quality: int, effort: int) -> Lesson:
    """Refine y of crops of one size."""
    model = codec_model(codec)
    descent, parts = Descent(codec.networks), []  # type: ignore[arg-type]
    for first in range(0, len(crops), _BATCH):
        batch = list(crops[first : first + _BATCH])
        loop = CodingLoop(codec.networks, [crop.shape[:2] for crop in batch], quality)
        y, z = loop.transform(loop.latent(batch))
        refined, _ = descent(batch, y, z, quality, np.ones(len(batch)), LEVELS[effort])
        with torch.no_grad():
            x = torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2).float() / 127.5 - 1.0
            digits = model.hyper_codebook.to_digits(torch.from_numpy(z).long())
            # Clones, since what was computed for inference knows no gradients.
            one_pass = torch.from_numpy(y.copy())
            steps = _steps(model, one_pass, digits, quality)
            features = model.encoder.fine(x)
        parts.append((features, one_pass, torch.from_numpy(refined.copy()), steps))
    return Lesson(*(torch.cat(list(part)) for part in zip(*parts, strict=True)))


def _steps(model: GlcModel, y: Tensor, digits: Tensor, quality: int) -> Tensor:
    """Return the steps that the elements of y are quantised by: its shape."""
    found = torch.zeros_like(y)

    def exchange(step: int, mean: Tensor, quant_step: Tensor, rows: Tensor, mask: Tensor) -> Tensor:
        found.add_(quant_step * mask)
        rounded = round_from((y - mean) / quant_step, model.config.rounding)
        return rounded * (mask & (rows > 0))

    model.code_symbols(digits, torch.tensor([quality]), exchange, exact=False)
    return found


def learn(
    model: GlcModel, lesson: Lesson, test: Lesson, quality: int, steps: int, rate: float
) -> tuple[float, float]:
    """Teach g_a and the part of E at 1/16, in place, and leave them as they were at their best.

    Args:
        model: all else stays.
        lesson: to learn from.
        test: what decides which weights were best.
        quality: of the lessons.
        steps: batches.
        rate: of learning, at first; it falls to 0 as a cosine does.

    Returns:
        The share of the squares of the way from one pass to the refined y that is gone: of what
        was taught and of what decides.
    """
    parts = {"encoder": model.encoder, "analysis": model.analysis}
    taught = [p for name, p in model.encoder.named_parameters() if _coarse(name)]
    taught += list(model.analysis.parameters())
    optimizer = torch.optim.AdamW(taught, lr=rate, weight_decay=0.0)
    falling = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 0.5 + 0.5 * math.cos(math.pi * step / max(1, steps))
    )
    best, kept = 0.0, copy.deepcopy({n: part.state_dict() for n, part in parts.items()})
    order = torch.randperm(len(lesson.features))
    for step in range(steps):
        if len(order) < _BATCH:
            order = torch.randperm(len(lesson.features))
        chosen, order = order[:_BATCH], order[_BATCH:]
        with with_gradients():
            for parameter in taught:
                parameter.requires_grad_()
            distance = _distance(model, lesson, chosen, quality).mean()
            gradients = torch.autograd.grad(distance, taught, allow_unused=True)
        for parameter, gradient in zip(taught, gradients, strict=True):
            parameter.requires_grad_(False)
            parameter.grad = gradient
        torch.nn.utils.clip_grad_norm_(taught, 1.0)
        optimizer.step()
        falling.step()
        if step % _VALIDATED == _VALIDATED - 1 or step == steps - 1:
            share = share_gone(model, test, quality)
            _say(f"step {step + 1}: {float(distance.detach()):.4f}, held-out share {share:.3f}")
            if share > best:
                best = share
                kept = copy.deepcopy({n: part.state_dict() for n, part in parts.items()})
    for name, part in parts.items():
        part.load_state_dict(kept[name])
    return share_gone(model, lesson, quality), share_gone(model, test, quality)


def share_gone(model: GlcModel, lesson: Lesson, quality: int) -> float:
    """Return 1 for the refined y, 0 for y as it was, less for what is farther away."""
    way = ((lesson.one_pass - lesson.refined) / lesson.steps).square().mean()
    with torch.no_grad():
        batches = torch.arange(len(lesson.features)).split(_BATCH)
        left = torch.cat([_distance(model, lesson, which, quality) for which in batches]).mean()
    return float(1.0 - left / way)


def _distance(model: GlcModel, lesson: Lesson, which: Tensor, quality: int) -> Tensor:
    """Return the mean square, in steps, between one pass and the refined y: (B,)."""
    l = model.encoder.coarse(lesson.features[which])
    y = model.analysis(l, torch.tensor([quality]))
    distance: Tensor = (y - lesson.refined[which]) / lesson.steps[which]
    return distance.square().flatten(1).mean(1)


def _coarse(name: str) -> bool:
    return name.startswith(("body_16.", "head."))


def measure(
    codec: Codec, crops: Sequence[RGB], quality: int, effort: int, metrics: Sequence[Metric]
) -> dict[str, float]:
    """Return bits per pixel and the mean of every figure; E and g_a are as they are now."""
    found: dict[str, list[float]] = {}
    for crop in crops:
        data = codec.encode(crop, quality, effort=effort)
        decoded = pictures.pixels(codec.decode(data))
        found.setdefault("bpp", []).append(8.0 * len(data) / (crop.shape[0] * crop.shape[1]))
        for metric in metrics:
            for column, value in zip(metric.columns, metric.measure(crop, decoded), strict=True):
                found.setdefault(column, []).append(value)
    return {name: statistics.fmean(values) for name, values in found.items()}


def at_rate(curve: dict[int, dict[str, float]], column: str, bpp: float) -> float:
    """Return a figure of one pass at a rate, by straight lines over logarithms of rates."""
    points = sorted((found["bpp"], found[column]) for found in curve.values())
    rates, figures = zip(*points, strict=True)
    return float(np.interp(math.log(bpp), np.log(rates), figures))


def table(
    curve: dict[int, dict[str, float]],
    before: dict[str, float],
    searched: dict[str, float],
    learned: dict[str, float],
) -> list[list[str]]:
    """Return figures, gains at an equal rate, and the share of the gain that was learned."""
    columns = [name for name in before if name != "bpp"]
    rows = [["", "bpp", *(COLUMNS[column].title for column in columns)]]
    gains = []
    for name, found in (("one pass", before), ("search", searched), ("learned", learned)):
        figures = [show(found[column], COLUMNS[column].digits) for column in columns]
        rows.append([name, f"{found['bpp']:.4f}", *figures])
        gains.append([found[column] - at_rate(curve, column, found["bpp"]) for column in columns])
    for name, gain in (("gain of the search", gains[1]), ("gain learned", gains[2])):
        rows.append([name, "", *(f"{value:+.3f}" for value in gain)])
    kept = [
        f"{learnt / found:.0%}" if found else "n/a"
        for learnt, found in zip(gains[2], gains[1], strict=True)
    ]
    return [*rows, ["share kept", "", *kept]]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="DIR", help="pictures or tars to learn from")
    add("--every", type=int, default=1, metavar="N", help="take only every Nth of these")
    add("--held-out", type=Path, required=True, metavar="DIR", help="pictures to measure")
    add("--features", type=Path, metavar="DIR", help="safetensors of AlexNet")
    add("--model", metavar="NAME", help="the shipped one when omitted")
    add("--quality", type=int, default=40, metavar="N")
    add("--effort", type=int, default=6, choices=range(1, len(LEVELS)), help="to learn from")
    add("--crops", type=int, default=400, metavar="N", help="to learn from")
    add("--side", type=int, default=128, metavar="PIXELS", help="of these")
    add("--limit", type=int, default=24, metavar="N", help="held-out crops")
    add("--shown-side", type=int, default=192, metavar="PIXELS", help="of these")
    add("--steps", type=int, default=1000, metavar="N", help=f"batches of {_BATCH} crops")
    add("--rate", type=float, default=3e-4, metavar="R", help="of learning, at first")
    add("--seed", type=int, default=0, metavar="N")
    return parser


if __name__ == "__main__":
    sys.exit(main())
