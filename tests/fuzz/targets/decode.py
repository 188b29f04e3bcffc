"""``Codec.decode`` and ``Codec.verify``: any bytes give a picture or a GlcError.

An input is a byte of choices, then the file. Most choices put magic, version and model right, and
accept the checksum as if it had been computed for what the file decodes to, so that mutants go
deep.
"""

from __future__ import annotations

import io
from contextlib import ExitStack
from random import Random
from unittest import mock

import numpy as np
from PIL import Image

from codec_cli.commands.decode import encoded_as
from glc import Codec, image
from glc.bitstream import Container, Limits, unpack
from tests.fuzz.mutate import mutate_content, mutate_file
from tests.fuzz.targets.container import GOLDEN, golden_files

NAMED, SIGNED, VERIFY, AS_FILE, OLDER = 1, 2, 4, 8, 16
LIMITS = Limits(max_pixels=1 << 14, max_side=2048)
"""Small, so that a case takes milliseconds; sides are padded to 64, so 2**17 pixels are decoded."""


class DecodeTarget:
    name = "decode"
    max_bytes = 4096

    def __init__(self) -> None:
        self._codec = Codec.from_pretrained(GOLDEN / "golden.safetensors", device="cpu")
        self._codec.limits = LIMITS

    def seeds(self) -> list[bytes]:
        rng = np.random.default_rng(5)
        files = golden_files()
        for height, width, quality, channels in (
            (1, 1, 0, 3), (1, 70, 33, 1), (65, 9, 50, 4), (64, 64, 66, 3), (100, 90, 100, 4),
        ):  # fmt: skip
            y, x = np.mgrid[:height, :width]
            waves = 128 + 90 * np.sin((x / 9 + y / 17)[..., None] + np.arange(channels))
            pixels = (waves + rng.normal(0, 8, waves.shape)).clip(0, 255).astype(np.uint8)
            plain = image.from_array(pixels[..., 0] if channels == 1 else pixels)
            tags = Image.Exif()
            tags[0x010F] = "Maker"
            exif = tags.tobytes()[6:]
            picture = image.Picture(plain.rgb, plain.alpha, plain.grey, (), exif, b"<x:xmpmeta/>")
            files.append(self._codec.encode(picture, quality, keep_metadata=True))
        choices = NAMED | SIGNED | AS_FILE
        return [bytes([choices | OLDER * (data[1] == 0xC1)]) + data for data in files]

    def mutate(self, data: bytes, rng: Random) -> bytes:
        choices = data[0] if data else 0
        if rng.random() < 0.3:
            signed = NAMED | SIGNED
            choices = rng.choice((NAMED, signed, signed | VERIFY, signed | OLDER, 0, 15))
        mutate = mutate_content if rng.random() < 0.8 else mutate_file
        return bytes([choices]) + mutate(data[1:], rng)

    def run(self, data: bytes) -> str:
        choices, file = (data[0] if data else 0), data[1:]
        if choices & NAMED:
            version = 2 - choices // OLDER % 2
            file = bytes((0x67, 0xC0 + version)) + self._codec.identity[:3] + file[5:]
        with ExitStack() as stack:
            if choices & SIGNED:
                agree = mock.patch.object(Container, "checksum_of", lambda self, *_: self.checksum)
                stack.enter_context(agree)
            if choices & VERIFY:
                self._codec.verify(file)
                return "verified"
            picture = self._codec.decode(file)
        container = unpack(file)
        tags = {chunk.tag for chunk in container.chunks}
        assert picture.size == (container.width, container.height)
        assert picture.mode == ("L" if "g" in tags else "RGB") + ("A" if "A" in tags else "")
        if choices & AS_FILE:
            # Metadata of the file reaches the writer of the picture.
            with Image.open(io.BytesIO(encoded_as(picture, "png")[0])) as again:
                assert again.size == picture.size
        return f"picture {picture.mode}, chunks {''.join(sorted(tags & set('Agiex')))}"

    def allowance(self, data: bytes) -> int:
        # numpy only: torch allocates by itself, which the memory of the process shows.
        return 16 << 20


def make() -> DecodeTarget:
    return DecodeTarget()
