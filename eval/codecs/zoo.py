"""CompressAI's learned codecs as rivals, where the package and, for pictures, weights are present.

Its streams have no file format. So that a file is a file here too, ours holds the picture's size
and the length of each string in front of the strings: 4 bytes and 4 more per string.
"""

from __future__ import annotations

import struct
import warnings
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import pad

from eval.metrics.backbones import Unavailable, checkpoint

STRIDE = 64
RANDOM = "random"
"""In place of a quality list: random weights, which are good for measuring speed only."""


class ZooCodec:
    """One architecture; its networks, one per quality, are loaded when first used."""

    def __init__(self, model: str, device: str, *, random: bool) -> None:
        """Find the weights; nothing is loaded yet.

        Raises:
            Unavailable: the package or all weights are absent.
            ValueError: CompressAI has no such model.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                from compressai.zoo import image_models
                from compressai.zoo.image import model_urls
        except ImportError as error:
            raise Unavailable(f"needs the package compressai: {error}") from error
        if model not in image_models:
            known = ", ".join(sorted(image_models))
            raise ValueError(f"--codecs: unknown CompressAI model {model!r}; known: {known}")
        self.name = f"compressai:{model}/{RANDOM}" if random else f"compressai:{model}"
        self.version = f"compressai {version('compressai')}"
        self._make = image_models[model]
        self._random = random
        self._device = device
        self._networks: dict[int, Any] = {}
        self.qualities: tuple[float, ...] = (3,)
        if not random:
            self.qualities = _present(model, model_urls.get(model, {}).get("mse", {}))

    def encode(self, image: Image.Image, quality: float) -> bytes:
        """Return the strings behind the size and their lengths."""
        x = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)[None].float() / 255
        height, width = x.shape[2:]
        x = pad(x, (0, -width % STRIDE, 0, -height % STRIDE), mode="replicate")
        with torch.inference_mode():
            strings = self._network(quality).compress(x.to(self._device))["strings"]
        flat = [part[0] for part in strings]
        lengths = struct.pack(f">{len(flat)}I", *map(len, flat))
        return (
            struct.pack(">BBHH", round(quality), len(flat), width, height)
            + lengths
            + b"".join(flat)
        )

    def decode(self, data: bytes) -> Image.Image:
        """Return the picture."""
        quality, count, width, height = struct.unpack_from(">BBHH", data)
        lengths = struct.unpack_from(f">{count}I", data, 6)
        start = 6 + 4 * count
        strings = []
        for length in lengths:
            strings.append([data[start : start + length]])
            start += length
        shape = (-(-height // STRIDE), -(-width // STRIDE))
        with torch.inference_mode():
            x_hat = self._network(quality).decompress(strings, shape)["x_hat"]
        pixels = (x_hat[0, :, :height, :width].clamp(0, 1) * 255).round().byte()
        return Image.fromarray(pixels.permute(1, 2, 0).cpu().numpy())

    def _network(self, quality: float) -> Any:
        key = round(quality)
        if key not in self._networks:
            torch.manual_seed(0)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                network = self._make(quality=key, metric="mse", pretrained=not self._random)
            network.update()
            self._networks[key] = network.eval().to(self._device)
        return self._networks[key]


def build(name: str, device: str) -> ZooCodec:
    """Make `MODEL` with its weights, or `MODEL/random` with random ones (for speed only)."""
    model, _, kind = name.partition("/")
    return ZooCodec(model, device, random=kind == RANDOM)


def _present(model: str, urls: dict[int, str]) -> tuple[float, ...]:
    """Return the qualities whose weights are in the hub folder."""
    found = []
    missing = ""
    for quality, url in sorted(urls.items()):
        try:
            checkpoint(url.rsplit("/", 1)[1], url)
            found.append(float(quality))
        except Unavailable as error:
            missing = missing or str(error)
    if not found:
        raise Unavailable(missing or f"CompressAI has no weights for {model}")
    return tuple(found)
