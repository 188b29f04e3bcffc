"""``python -m eval.research.gaussian``: what the Gaussian bottleneck of a model holds, and what it
dreams.

For models whose phase 1 was trained with ``--regulariser kl``. If pictures filled N(0, I), noise
would decode to pictures; the table says how far they do, and the figure what comes of it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from eval.pictures import RGB, find, load, pixels
from eval.research.latent import psnr_db, strip
from glc import Codec, image
from glc.config import LATENT_STRIDE
from glc.weights import checkpoint, registry

Floats = NDArray[np.float64]

_IN_USE = 0.05
"""Nats per element above which a channel counts as used."""
_SIDE = 160
"""Of the pictures in the figure, in pixels."""


@dataclass(frozen=True)
class Moments:
    """What the bottleneck makes of one picture: (h, w, C) float64 each."""

    mean: Floats
    log_variance: Floats

    @property
    def divergence(self) -> Floats:
        """Of every element from N(0, 1), in nats (arXiv 1312.6114, appendix B)."""
        return 0.5 * (np.square(self.mean) + np.exp(self.log_variance) - 1.0 - self.log_variance)

    def sample(self, rng: np.random.Generator) -> Floats:
        """Draw what the decoder was trained on."""
        noise = rng.standard_normal(self.mean.shape)
        drawn: Floats = self.mean + np.exp(0.5 * self.log_variance) * noise
        return drawn


class Bottleneck:
    """The layers of a weights file in numpy.

    Args:
        tensors: ``glc.weights.checkpoint.Checkpoint.bottleneck``.
    """

    def __init__(self, tensors: Mapping[str, NDArray[np.generic]]) -> None:
        self._tensors = {name: array.astype(np.float64) for name, array in tensors.items()}

    def moments(self, l: Floats) -> Moments:
        """Return the moments of a latent: (h, w, C) on the sphere -> (h, w, C) each."""
        mean, log_variance = np.split(self._apply("moments", l), 2, axis=-1)
        return Moments(mean, log_variance.clip(-20.0, 10.0))

    def expand(self, z: Floats) -> NDArray[np.float32]:
        """Return what the decoder is shown of z: (h, w, C) -> same."""
        return self._apply("expand", z).astype(np.float32)

    def _apply(self, layer: str, x: Floats) -> Floats:
        weight = self._tensors[f"{layer}.weight"][:, :, 0, 0]
        applied: Floats = x @ weight.T + self._tensors[f"{layer}.bias"]
        return applied


def measure(codec: Codec, bottleneck: Bottleneck, pictures: Sequence[RGB]) -> dict[str, float]:
    """Return means over pictures.

    Args:
        codec: the model.
        bottleneck: of the same weights.
        pictures: of any sizes; sides are cut to multiples of 64.

    Returns:
        ``nats`` per element; ``bpp``, the same in bits per pixel; ``channels`` in use; of these
        ``spread``, the standard deviation over all pictures (1 in N(0, I)), and ``alike``, the
        correlation of neighbouring means (0 in N(0, I)); ``psnr`` in dB of the decoded mean and
        ``psnr_noise`` of a decoded sample, and ``contrast``, the standard deviation of its values.
    """
    rng = np.random.default_rng(1)
    found: list[Moments] = []
    rows = []
    for picture in pictures:
        height, width = (side // 64 * 64 for side in picture.shape[:2])
        x = np.ascontiguousarray(picture[:height, :width])
        found.append(moments_of(codec, bottleneck, x))
        decoded = decode(codec, bottleneck, x, rng)
        rows.append([*(psnr_db(x, x_hat) for x_hat in decoded), decoded[1].std()])
    nats = np.concatenate([m.divergence.reshape(-1, m.mean.shape[-1]) for m in found]).mean(axis=0)
    means = np.concatenate([m.mean.reshape(-1, m.mean.shape[-1]) for m in found])
    noise = np.concatenate([np.exp(m.log_variance).reshape(-1, len(nats)) for m in found])
    used = nats > _IN_USE
    spread = np.sqrt(means.var(axis=0) + noise.mean(axis=0))
    centre = means.mean(axis=0)
    products = [((m.mean[:, 1:] - centre) * (m.mean[:, :-1] - centre)).reshape(-1, len(nats))
                for m in found]  # fmt: skip
    alike = np.concatenate(products).mean(axis=0) / means.var(axis=0)
    plain, noisy, contrast = np.mean(rows, axis=0)
    return {
        "nats": float(nats.mean()),
        "bpp": float(nats.sum() / np.log(2) / LATENT_STRIDE**2),
        "channels": int(used.sum()),
        "spread": float(spread[used].mean()),
        "alike": float(alike[used].mean()),
        "psnr": float(plain),
        "psnr_noise": float(noisy),
        "contrast": float(contrast),
    }


def moments_of(codec: Codec, bottleneck: Bottleneck, x: RGB) -> Moments:
    """Return what the bottleneck makes of a picture."""
    l = codec.analyse([image.from_array(x)])[0].transpose(1, 2, 0)
    return bottleneck.moments(l.astype(np.float64))


def decode(codec: Codec, bottleneck: Bottleneck, x: RGB, rng: np.random.Generator) -> list[RGB]:
    """Return a picture through the bottleneck without noise and with it, padding included."""
    moments = moments_of(codec, bottleneck, x)
    shown = (moments.mean, moments.sample(rng))
    return [pixels(codec.from_latents(bottleneck.expand(z))) for z in shown]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures and write the samples; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m eval.research.gaussian", description=__doc__)
    parser.add_argument("--model", required=True, metavar="NAME|PATH")
    parser.add_argument("--images", type=Path, default=Path("examples"), metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="PNG", help="the figure")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args(argv)
    weights = checkpoint.load(registry.locate(options.model))
    if weights.bottleneck is None:
        parser.error(f"--model {options.model}: its phase 1 had no Gaussian bottleneck")
    codec = Codec(weights, device=options.device)
    pictures = [pixels(load(source.path)) for source in find(options.images)]
    bottleneck = Bottleneck(weights.bottleneck)
    for name, value in measure(codec, bottleneck, pictures).items():
        print(f"{name:20}{value:8.3f}")
    drawn = codec.sample(8, (_SIDE, _SIDE), seed=options.seed, prior="normal")
    contrast = np.mean([pixels(picture).std() for picture in drawn])
    print(f"{'contrast of samples':20}{contrast:8.3f}")
    names = [f"N(0, I), seed {options.seed}"] * len(drawn)
    for x in pictures[:2]:
        decoded = decode(codec, bottleneck, _middle(x), np.random.default_rng(options.seed))
        drawn += [Image.fromarray(x_hat[:_SIDE, :_SIDE]) for x_hat in decoded]
        names += ["without noise", "with noise"]
    strip(drawn, names, 4).save(options.out, optimize=True)
    return 0


def _middle(x: RGB) -> RGB:
    top, left = ((side - _SIDE) // 2 for side in x.shape[:2])
    return np.ascontiguousarray(x[max(0, top) :, max(0, left) :][:_SIDE, :_SIDE])


if __name__ == "__main__":
    sys.exit(main())
