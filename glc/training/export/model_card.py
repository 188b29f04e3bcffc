"""The model card: what a model was trained on, how, and how well, in Markdown.

Everything in it is read from the run folder, or measured on held-out pictures with real files.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from glc.codec import Codec
from glc.training.data.crops import Pictures
from glc.training.engine.log import read_log
from glc.training.export.weights_file import draw_arrays
from glc.training.settings import TrainingSettings

_ON_PICTURES = (
    *("mse", "l1", "lpips", "alex", "mobilenet", "texture", "afar", "meaning"),
    *("colour", "area", "smooth", "grid", "line"),
)
_WEIGHTS_OF = {
    1: (*_ON_PICTURES, "adversarial", "codebook"),
    2: ("latent", "code"),
    3: (*_ON_PICTURES, "adversarial", "latent", "code"),
}
_QUALITIES = (0, 20, 40, 60, 80, 100)


def write_card(
    weights: Path,
    run: Path,
    settings: TrainingSettings,
    pictures: Pictures,
    held_out: Pictures | None,
    data: str,
) -> Path:
    """Write the card of a weights file beside it.

    Args:
        weights: the file; loaded strictly, as every user will.
        run: folder of the run, for its log.
        settings: of the run.
        pictures: training pictures.
        held_out: pictures for the rate-distortion table, or None to leave it out.
        data: name of the training set.

    Returns:
        Path of the card.
    """
    codec = Codec.from_pretrained(weights)
    log = read_log(run)
    lines = [
        f"# {codec.name}",
        "",
        f"Identity `{codec.identity.hex()}`, {weights.stat().st_size / 1e6:.1f} MB, "
        f"preset `{settings.preset}`, regulariser `{settings.regulariser}`, seed {settings.seed}. "
        f"Trained with torch {torch.__version__}.",
        "",
        "## Data",
        "",
        f"{data}: {pictures.count} pictures, {pictures.pixels / 1e6:.0f} Mpixel, "
        f"{pictures.skipped} skipped as broken or too small.",
        "",
        "## Phases",
        "",
        *_phase_table(settings, log),
        "",
        "Weights of the losses:",
        "",
        *(f"* phase {phase}: {_weights_text(settings, phase)}" for phase in (1, 2, 3)),
        "",
        "## Held-out losses",
        "",
        "Averaged weights on pictures that training never saw; bits per pixel are estimates.",
        "",
        *_held_out_table(log),
    ]
    if held_out is not None:
        lines += ["", "## Rate and distortion", "", *_rate_table(codec, held_out)]
    path = weights.with_suffix(".md")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _row(cells: Iterable[object]) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _head(*cells: str) -> list[str]:
    return [_row(cells), "|" + " --- |" * len(cells)]


def _phase_table(settings: TrainingSettings, log: list[dict[str, Any]]) -> list[str]:
    lines = _head("phase", "steps", "batch", "crop", "learning rate", "seconds of the run by then")
    for phase in (1, 2, 3):
        last = [entry for entry in log if entry["phase"] == phase][-1:]
        steps = f"{last[0]['step']} of {settings.steps(phase)}" if last else "none in this run"
        seconds = last[0]["seconds"] if last else ""
        rate = f"{settings.learning_rate(phase):g}"
        size = (settings.batch(phase), settings.crop(phase))
        lines.append(_row((phase, steps, *size, rate, seconds)))
    return lines


def _weights_text(settings: TrainingSettings, phase: int) -> str:
    parts = []
    for name in _WEIGHTS_OF[phase]:
        late = f"{name}_weight_3"
        field = late if phase == 3 and hasattr(settings, late) else f"{name}_weight"
        weight = getattr(settings, field)
        parts += [f"{name} {weight:g}"] if weight else []
    return ", ".join(parts)


def _held_out_table(log: list[dict[str, Any]]) -> list[str]:
    """First and last held-out entry of each phase, one line per loss."""
    lines = _head("phase", "loss", "at the start", "at the end")
    for phase in (1, 2, 3):
        entries = [e for e in log if e["phase"] == phase and e.get("held_out")]
        for name in entries[-1] if entries else ():
            if name not in ("phase", "step", "seconds", "held_out"):
                values = (f"{e[name]:.4g}" if name in e else "" for e in (entries[0], entries[-1]))
                lines.append(_row((phase, name, *values)))
    return lines


def _rate_table(codec: Codec, pictures: Pictures) -> list[str]:
    """Size of real files and PSNR of what they decode to, on eight held-out crops."""
    side = min(512, pictures.smallest_side // 64 * 64)
    originals = draw_arrays(pictures, 8, side, torch.Generator().manual_seed(13))
    lines = [f"Real files of eight held-out crops of {side} x {side} pixels.", ""]
    lines += _head("quality", "bits per pixel", "PSNR in dB")
    for quality in _QUALITIES:
        files = codec.encode_batch(originals, quality)
        decoded = [np.asarray(picture.convert("RGB")) for picture in codec.decode_batch(files)]
        bpp = 8.0 * float(np.mean([len(file) for file in files])) / side**2
        psnr = float(np.mean([_psnr_db(a, b) for a, b in zip(originals, decoded, strict=True)]))
        lines.append(_row((quality, f"{bpp:.4f}", f"{psnr:.2f}")))
    return lines


def _psnr_db(x: np.ndarray, x_hat: np.ndarray) -> float:
    error = float(np.square(x.astype(np.float64) - x_hat).mean())
    return float(10.0 * np.log10(255.0**2 / max(error, 1e-9)))
