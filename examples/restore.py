"""Restoration inside the encoder: a damaged picture is encoded as its clean one.

    python examples/restore.py train --damage noise --data DIR --out noise.safetensors
    python examples/restore.py encode --encoder noise.safetensors noisy.png restored.glc
    python examples/restore.py compare --encoder noise.safetensors --images DIR

Only a copy of the image encoder E is trained: from the damaged picture it is to find the latent
that the shipped E finds for the clean one. No pixel is ever decoded for that, so a few minutes on
one core are enough. Decoder, probability tables and identity stay those of the shipped model: the
file is a plain .glc file that every installation decodes. `compare` needs scikit-image and what
`pip install 'glc-codec[eval]'` brings.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from glc import Codec
from glc.weights import checkpoint, registry

RGB = NDArray[np.uint8]
SIGMA = 50.0
"""Standard deviation of the noise in grey levels; training draws from a fifth to 1.5 of it."""
REDUCTION = 6
"""How many times smaller the small picture was before it was enlarged again."""


class RestoringCodec(Codec):
    """A codec whose encoder sees through one kind of damage; it decodes as the plain one does."""

    def __init__(self, weights: checkpoint.Checkpoint, encoder: Path, device: str = "auto") -> None:
        super().__init__(weights, runtime="torch", device=device)
        with safetensors.safe_open(encoder, "pt") as file:
            model = (file.metadata() or {}).get("model")
        if model != self.identity.hex():
            raise ValueError(f"{encoder}: made for model {model}, this is {self.identity.hex()}")
        state = safetensors.torch.load_file(encoder)
        cast("Any", self.networks).model.encoder.load_state_dict(state)


def open_codec(encoder: Path | None, device: str = "auto") -> Codec:
    """Load the default model, with another encoder if one is given."""
    if encoder is None:
        return Codec.from_pretrained(device=device)
    return RestoringCodec(checkpoint.load(registry.locate(None)), encoder, device)


def damage(
    x: Tensor, kind: str, generator: torch.Generator, strength: float | None = None
) -> Tensor:
    """Damage pictures: (B, 3, H, W) in [-1, 1] -> the same shape and range, in 8-bit steps.

    Args:
        x: clean.
        kind: noise (Gaussian, clipped) or small (reduced and enlarged again).
        generator: the only source of randomness.
        strength: of the noise, in SIGMA; None draws one per picture from 0.2 to 1.5.
    """
    if kind == "small":
        size = [side // REDUCTION for side in x.shape[2:]]
        small = functional.interpolate(x, size=size, mode="bicubic", antialias=True)
        damaged = functional.interpolate(small, size=x.shape[2:], mode="bicubic")
    else:
        drawn = torch.rand(len(x), 1, 1, 1, generator=generator) * 1.3 + 0.2
        sigma = SIGMA / 127.5 * (drawn if strength is None else torch.full_like(drawn, strength))
        damaged = x + sigma * torch.randn(x.shape, generator=generator)
    return ((damaged.clamp(-1.0, 1.0) + 1.0) * 127.5).round() / 127.5 - 1.0


def train(kind: str, data: str, out: Path, steps: int, batch: int, side: int) -> None:
    """Train a copy of E and write it, as half floats, with the identity of its model."""
    from glc.networks.model import GlcModel
    from glc.training.data.in_memory import InMemoryImages
    from glc.training.engine.resume import load_shipped

    weights = registry.locate(None)
    loaded = checkpoint.load(weights)
    model = GlcModel(loaded.config).eval().requires_grad_(False)
    load_shipped(model, weights)
    encoder = copy.deepcopy(model.encoder).requires_grad_(True)
    pictures = InMemoryImages(data, side, limit=400)
    optimiser = torch.optim.AdamW(encoder.parameters(), lr=1.0, weight_decay=0.0)
    generator = torch.Generator().manual_seed(1)
    window: list[float] = []
    for step in range(steps):
        # A short warm-up, then a straight line down.
        rate = 6e-4 * min(1.0, (step + 1) / 50, (steps - step) / (0.7 * steps))
        for group in optimiser.param_groups:
            group["lr"] = rate
        clean = pictures.crops(batch, side, 2.0, generator)
        with torch.autocast("cpu", torch.bfloat16):
            wanted = model.encoder(clean)
            found = encoder(damage(clean, kind, generator))
        loss = functional.mse_loss(found.float(), wanted.float())
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        window.append(loss.item())
        if step == 0 or (step + 1) % 100 == 0:
            print(f"step {step + 1}: error of l {np.mean(window):.4f}", file=sys.stderr)
            window = []
    state = {name: value.contiguous() for name, value in encoder.state_dict().items()}
    state = {n: v.half() if v.is_floating_point() else v for n, v in state.items()}
    metadata = {"model": loaded.identity.hex(), "damage": kind}
    safetensors.torch.save_file(state, out, metadata)


def classical(picture: RGB, method: str) -> RGB:
    """Denoise with scikit-image: the strength is estimated from the picture itself."""
    from skimage.restoration import denoise_nl_means, denoise_wavelet, estimate_sigma

    x = picture.astype(np.float32) / 255.0
    if method == "wavelet":
        clean = denoise_wavelet(x, channel_axis=2, convert2ycbcr=True, rescale_sigma=True)
    else:
        sigma = float(np.mean(estimate_sigma(x, channel_axis=2)))
        clean = denoise_nl_means(x, 5, 6, 0.8 * sigma, sigma=sigma, fast_mode=True, channel_axis=2)
    return (np.clip(clean, 0.0, 1.0) * 255.0).round().astype(np.uint8)


def compare(
    encoder: Path, images: Path, quality: int, strength: float, limit: int, side: int
) -> str:
    """Return a Markdown table: all ways to a clean picture, at the size of the restoring one."""
    with safetensors.safe_open(encoder, "pt") as file:
        kind = file.metadata()["damage"]
    from eval.metrics.perceptual import Lpips
    from eval.metrics.pixels import psnr_db
    from eval.pictures import find, load, pixels

    plain, restoring, lpips = open_codec(None, "cpu"), open_codec(encoder, "cpu"), Lpips("squeeze")
    rows: dict[str, list[tuple[float, float, float]]] = {}
    generator = torch.Generator().manual_seed(3)
    for source in find(images, limit):
        clean = _centre(pixels(load(source.path)), side)
        x = torch.from_numpy(clean).permute(2, 0, 1)[None].float() / 127.5 - 1.0
        damaged = (damage(x, kind, generator, strength)[0] + 1.0) * 127.5
        given = damaged.round().byte().permute(1, 2, 0).contiguous().numpy()
        data = restoring.encode(given, quality)
        as_it_is = plain.encode_to_size(given, len(data))
        files = {
            "restored in the encoder": data,
            "as it is": as_it_is,
            "the clean one (cannot be had)": plain.encode_to_size(clean, len(data)),
        }
        if kind == "noise":
            for method in ("non-local means", "wavelet"):
                first = classical(given, method)
                files[f"{method}, then encoded"] = plain.encode_to_size(first, len(data))
        # The plain codec reads them all: it is what a receiver has.
        decoded = {name: np.array(plain.decode(file)) for name, file in files.items()}
        sizes = {name: len(file) for name, file in files.items()}
        if kind == "noise":
            for method in ("non-local means", "wavelet"):
                name = f"decoded, then {method}"
                decoded[name] = classical(decoded["as it is"], method)
                sizes[name] = len(as_it_is)
        for name, picture in decoded.items():
            bpp = 8 * sizes[name] / (clean.shape[0] * clean.shape[1])
            figures = (bpp, psnr_db(clean, picture), lpips.compare(clean, picture))
            rows.setdefault(name, []).append(figures)
    lines = ["| way | bpp | PSNR dB | LPIPS(squeeze) |", "|---|---:|---:|---:|"]
    for name, figures in sorted(rows.items(), key=lambda row: np.mean(row[1], axis=0)[2]):
        bpp, psnr, distance = np.mean(figures, axis=0)
        lines.append(f"| {name} | {bpp:.4f} | {psnr:.2f} | {distance:.4f} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of the three commands."""
    arguments = _parser().parse_args(argv)
    if arguments.command == "train":
        torch.set_num_threads(arguments.threads)
        plan = arguments.steps, arguments.batch, arguments.side
        train(arguments.damage, arguments.data, arguments.out, *plan)
    elif arguments.command == "encode":
        data = open_codec(arguments.encoder).encode(arguments.picture, arguments.quality)
        arguments.out.write_bytes(data)
    else:
        choice = arguments.quality, arguments.strength, arguments.limit, arguments.side
        print(compare(arguments.encoder, arguments.images, *choice))
    return 0


def _centre(picture: RGB, side: int) -> RGB:
    top, left = ((length - min(length, side)) // 2 for length in picture.shape[:2])
    return np.ascontiguousarray(picture[top : top + side, left : left + side])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("train")
    command.add_argument("--damage", choices=("noise", "small"), required=True)
    command.add_argument("--data", required=True, help="folder of clean pictures, or tars")
    command.add_argument("--out", type=Path, required=True)
    command.add_argument("--steps", type=int, default=800)
    command.add_argument("--batch", type=int, default=8)
    command.add_argument("--side", type=int, default=128, help="pixels a side of a crop")
    command.add_argument("--threads", type=int, default=2)
    command = commands.add_parser("encode")
    command.add_argument("--encoder", type=Path, required=True)
    command.add_argument("-q", "--quality", type=int, default=50)
    command.add_argument("picture", type=Path)
    command.add_argument("out", type=Path)
    command = commands.add_parser("compare")
    command.add_argument("--encoder", type=Path, required=True)
    command.add_argument("--images", type=Path, required=True, help="folder of clean pictures")
    command.add_argument("-q", "--quality", type=int, default=50)
    command.add_argument("--strength", type=float, default=1.0, help="of the noise, in SIGMA")
    command.add_argument("--limit", type=int, default=12)
    command.add_argument("--side", type=int, default=384, help="the middle of each picture")
    return parser


if __name__ == "__main__":
    sys.exit(main())
