"""What a picture costs, in figures that are the same on every machine: they may not grow.

Times are recorded by pytest-benchmark beside them and never fail. A figure that grows for a good
reason is changed here, in the commit that makes it grow.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from functools import partial
from itertools import accumulate
from pathlib import Path

import pytest
import torch

from glc.bitstream import Container, pack
from glc.config import PRESETS
from glc.entropy import RangeDecoder, RangeEncoder
from glc.networks.cost import cost_table
from glc.partition import STEPS

ROOT = Path(__file__).parent.parent.parent

KMAC_PER_PIXEL = {
    "tiny": {"encode": 15.06, "decode": 26.86},
    "base": {"encode": 35.52, "decode": 57.26},
}
INFO_MODULES = 150
"""141 as it is, on Python 3.11; other versions split their library otherwise."""


@pytest.mark.parametrize("preset", PRESETS)
def test_multiplications_per_pixel(preset: str) -> None:
    found = {part: kmac for part, _, kmac in cost_table(PRESETS[preset])}
    for direction, expected in KMAC_PER_PIXEL[preset].items():
        assert found[direction] == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("size", [(64, 64), (256, 192)])
def test_coder_calls_do_not_grow_with_the_picture(
    micro, make_picture, monkeypatch, benchmark, size
) -> None:
    """One for z; in every step at most one per table, and three for the escapes."""
    calls = {"encode": 0, "decode": 0}
    for kind, name in ((RangeEncoder, "encode"), (RangeDecoder, "decode")):
        original = getattr(kind, name)

        def counted(*given, original=original, name=name):
            calls[name] += 1
            return original(*given)

        monkeypatch.setattr(kind, name, counted)
    data = micro.encode(make_picture(*size), 100)
    micro.decode(data)
    limit = 1 + STEPS * (63 + 3)
    assert 20 < calls["encode"] <= limit
    assert calls["encode"] <= calls["decode"] <= limit
    benchmark.extra_info.update(calls)
    benchmark.pedantic(micro.decode, (data,), rounds=2)


# Bytes per pixel at most, in tensors at one time and in numpy arrays at one time.
TENSOR_BYTES = {"encode": 32, "decode": 115}
ARRAY_BYTES = {"encode": 7, "decode": 4}


@pytest.mark.parametrize("direction", TENSOR_BYTES)
def test_bytes_allocated_per_pixel(micro, make_picture, benchmark, direction: str) -> None:
    sizes = ((128, 256), (256, 512))
    tensors, arrays = [], []
    for size in sizes:
        picture = make_picture(*size)
        data = micro.encode(picture)
        call = (
            partial(micro.encode, picture) if direction == "encode" else partial(micro.decode, data)
        )
        call()
        tensors.append(largest_tensors(call) / picture[..., 0].size)
        tracemalloc.start()
        call()
        arrays.append(tracemalloc.get_traced_memory()[1] / picture[..., 0].size)
        tracemalloc.stop()
    assert tensors[1] <= TENSOR_BYTES[direction]
    assert arrays[1] <= ARRAY_BYTES[direction]
    # Nothing grows faster than the picture.
    assert tensors[1] <= 1.02 * tensors[0]
    assert arrays[1] <= 1.02 * arrays[0]
    benchmark.extra_info["tensor bytes per pixel"] = tensors[1]
    benchmark.pedantic(call, rounds=2)


def largest_tensors(call: Callable[[], object]) -> int:
    """Return the bytes that torch's CPU allocator had given out at most, above the start."""
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        call()
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    return max(accumulate(event.nbytes() for event in events))


@pytest.mark.system
def test_what_info_imports(tmp_path: Path) -> None:
    """Nothing but the standard library and few modules of this project."""
    path = tmp_path / "photo.glc"
    path.write_bytes(pack(Container(768, 512, 50, b"\x01\x02\x03", b"payload")))
    code = """
import sys
before = set(sys.modules)
from codec_cli.main import main
main(["info", sys.argv[1]])
new = {name.partition(".")[0] for name in set(sys.modules) - before}
print(len(set(sys.modules) - before), *sorted(new - sys.stdlib_module_names))
"""
    environment = {name: value for name, value in os.environ.items() if name != "GLC_MODELS"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    count, *packages = done.stdout.splitlines()[-1].split()
    assert packages == ["codec_cli", "glc"]
    assert int(count) <= INFO_MODULES
