"""``glc.weights.checkpoint`` and ``Codec``: any weights file gives a codec or a WeightsError.

An input is the length of a header in four bytes, the header, then changes to the tensors of the
golden weights: four bytes of offset and two of value each. A first byte of the header that is not
``{`` keeps the four bytes as the file's own, so that its length field can lie.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from random import Random
from unittest import mock

from glc import Codec
from glc.bitstream import Container, Limits, pack
from glc.weights import checkpoint, registry
from tests.fuzz.mutate import mutate_bytes, mutate_json
from tests.fuzz.targets.container import GOLDEN

_SPECIAL = (b"\x00\x7e", b"\x00\x7c", b"\x00\xfc", b"\xff\xff", b"\xff\x7b", b"\x00\x00")
"""NaN, infinities, another NaN, the largest float16, zero."""


class WeightsTarget:
    name = "weights"
    max_bytes = 1 << 16

    def __init__(self) -> None:
        data = (GOLDEN / "golden.safetensors").read_bytes()
        length = int.from_bytes(data[:8], "little")
        self._header, self._body = data[8 : 8 + length], data[8 + length :]
        self._folder = tempfile.TemporaryDirectory(prefix="glc-fuzz-")
        self._path = Path(self._folder.name) / "weights.safetensors"

    def seeds(self) -> list[bytes]:
        header = json.loads(self._header)
        meta = json.loads(header["__metadata__"]["glc"])
        small = {"__metadata__": {"glc": json.dumps(meta)}, "a": {
            "dtype": "F16", "shape": [2], "data_offsets": [0, 4]}}  # fmt: skip
        return [_join(self._header, b""), _join(json.dumps(small).encode(), bytes(6))]

    def mutate(self, data: bytes, rng: Random) -> bytes:
        header, changes = _split(data)
        kind = rng.randrange(8)
        if kind == 0:
            return mutate_bytes(data, rng)
        if kind == 1:
            return _join(mutate_bytes(header, rng), changes)
        if kind in (2, 3):
            offset = rng.randrange(len(self._body)).to_bytes(4, "little")
            return _join(header, changes[:60] + offset + rng.choice(_SPECIAL))
        try:
            tree = json.loads(header)
            if kind in (4, 5):
                meta = json.loads(tree["__metadata__"]["glc"])
                if kind == 5:
                    meta["config"] = mutate_json(meta["config"], rng)
                else:
                    meta = mutate_json(meta, rng)
                tree["__metadata__"] = {"glc": json.dumps(meta)}
            else:
                tree = mutate_json(tree, rng)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return mutate_bytes(data, rng)
        return _join(json.dumps(tree).encode(), changes)

    def run(self, data: bytes) -> str:
        self._path.write_bytes(self._file(data))
        with mock.patch.object(registry, "model_folders", return_value=[self._path.parent]):
            for info in registry.installed():
                assert info.path == self._path
        codec = Codec(checkpoint.load(self._path), device="cpu")
        codec.limits = Limits(max_pixels=1 << 12)
        # Weights that load may compute nonsense, but a file of theirs decodes or is refused.
        forged = Container(64, 64, 50, codec.identity[:3], data[-40:])
        with mock.patch.object(Container, "checksum_of", lambda self, *_: self.checksum):
            codec.decode(pack(forged))
        return "loads and decodes"

    def _file(self, data: bytes) -> bytes:
        header, changes = _split(data)
        if header[:1] != b"{":
            return data[:4] + bytes(4) + header + self._body
        body = bytearray(self._body)
        for start in range(0, len(changes) - 5, 6):
            offset = int.from_bytes(changes[start : start + 4], "little") % len(body) & ~1
            body[offset : offset + 2] = changes[start + 4 : start + 6]
        return len(header).to_bytes(8, "little") + header + bytes(body)

    def allowance(self, data: bytes) -> int:
        # The file in memory three times (bytes, arrays, float32), tables, models of the coder.
        return 16 * (len(data) + len(self._body)) + (4 << 20)


def _join(header: bytes, changes: bytes) -> bytes:
    return len(header).to_bytes(4, "little") + header + changes


def _split(data: bytes) -> tuple[bytes, bytes]:
    end = 4 + int.from_bytes(data[:4], "little")
    return data[4:end], data[end:]


def make() -> WeightsTarget:
    return WeightsTarget()
