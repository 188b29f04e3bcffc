"""One process measured from inside: ``python -m eval.speed.profile_worker`` runs it,
``eval.speed.profile`` asks.

Prints one JSON object. Imports nothing heavy before its clock runs, so that imports are measured.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from importlib import import_module
from typing import Any

Seconds = tuple[float, float]
"""Wall-clock and processor time."""

RUNTIMES = {"torch": "torch", "fast": "onnxruntime", "int8": "onnxruntime"}
"""What runs the networks, by the name that a profile gives it, and the module that it needs."""

_NETWORKS = {
    "E": "encoder",
    "g_a": "analysis",
    "h_a": "hyper_analysis",
    "h_s": "hyper_synthesis",
    "context": "context",
    "g_s": "synthesis",
    "D": "decoder",
    "D realistic": "realistic_decoder",
}

_PARTS = {
    "E 16": "E",
    "g_a": "g_a, h_a",
    "h_a": "g_a, h_a",
    "D 16": "D",
    "R 16": "D realistic",
    "R": "D realistic",
}
"""Where a graph of ``glc.runtime.graphs`` is counted, if not under its own name."""


def now() -> Seconds:
    """Return both clocks."""
    return time.perf_counter(), time.process_time()


def whole(runtime: str, work: str, model: str, source: str, target: str) -> dict[str, Seconds]:
    """Do what ``glc encode`` or ``glc decode`` does, and say how long each part took.

    Args:
        runtime: torch, fast or int8.
        work: encode or decode.
        model: weights file.
        source: a picture or a ``.glc`` file.
        target: where the result is written.
    """
    stages: dict[str, Seconds] = {}
    clocks = [now()]

    def mark(name: str) -> None:
        clocks.append(now())
        (wall, cpu), (wall_0, cpu_0) = clocks[-1], clocks[-2]
        stages[name] = (wall - wall_0, cpu - cpu_0)

    for module in ("numpy", "PIL.Image"):
        import_module(module)
    mark("numpy, Pillow")
    if runtime == "torch":
        import_module("torch")
    else:
        import_module("glc.runtime.graphs.session").import_onnxruntime()
    mark(RUNTIMES[runtime])
    for module in ("glc.codec", f"glc.runtime.{'torch' if runtime == 'torch' else 'onnx'}"):
        import_module(module)
    mark("glc")
    from pathlib import Path

    from glc import image
    from glc.weights import checkpoint

    weights = checkpoint.load(Path(model))
    mark("weights")
    codec = _open(runtime, weights)
    mark("networks")
    if work == "encode":
        picture = image.load(source)
        mark("reading")
        data = codec.encode(picture)
        mark("encode")
        Path(target).write_bytes(data)
    else:
        data = Path(source).read_bytes()
        mark("reading")
        shown = codec.decode(data)
        mark("decode")
        shown.save(target)
    mark("writing")
    return stages


def inside(
    runtime: str, model: str, source: str, repeat: int, size: tuple[int, int] | None
) -> dict[str, dict[str, Seconds]]:
    """Time the parts of encoding and decoding one picture, warm: medians of ``repeat`` calls.

    Args:
        runtime: torch, fast or int8.
        model: weights file.
        source: a picture.
        repeat: how often.
        size: width and height to which the picture is scaled first.

    Returns:
        Parts of ``encode`` and ``decode``; ``rest`` is what lies between them, ``all`` their sum.
    """
    from pathlib import Path

    from PIL import Image

    from glc import image
    from glc.weights import checkpoint

    weights = checkpoint.load(Path(model))
    parts = Parts()
    codec = _open(runtime, weights)
    parts.watch(codec)
    with Image.open(source) as opened:
        shown = opened.convert("RGB")
    picture = image.load(shown.resize(size, Image.Resampling.LANCZOS) if size else shown)
    data = codec.encode(picture)
    found = {}
    for work, call in (
        ("encode", lambda: codec.encode(picture)),
        ("decode", lambda: codec.decode(data)),
    ):
        call()
        found[work] = parts.median(call, repeat)
    return found


class Parts:
    """Adds up what the parts of a codec spend, by putting a clock around their calls."""

    def __init__(self) -> None:
        self._spent: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])

    def watch(self, codec: Any) -> None:
        """Put clocks around networks and coder of a ``glc.Codec``."""
        model = getattr(codec.networks, "model", codec.networks)
        for name, attribute in _NETWORKS.items():
            if hasattr(model, "forward"):
                network = getattr(model, attribute)
                if network is None:
                    continue
                # E and D come apart for pictures in tiles.
                for method in ("fine", "coarse") if hasattr(network, "fine") else ("forward",):
                    self._wrap(network, method, lambda *_, name=name: name)
        if not hasattr(model, "forward"):
            self._wrap(model, "_compute", _name_of_graph)
        for method in ("base", "context", "to_rows"):
            self._wrap(model.scale_map, method, lambda *_: "scale map")
        for tables in codec.coder.tables:
            for method in ("encode", "decode"):
                self._wrap(tables, method, lambda *_: "coding")

    def _wrap(self, owner: Any, method: str, name_of: Callable[..., str]) -> None:
        original = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            wall, cpu = now()
            result = original(*args, **kwargs)
            after = now()
            spent = self._spent[name_of(*args)]
            spent[0] += after[0] - wall
            spent[1] += after[1] - cpu
            return result

        setattr(owner, method, timed)

    def median(self, call: Callable[[], object], repeat: int) -> dict[str, Seconds]:
        """Return the median of every part over several calls."""
        runs: list[dict[str, Seconds]] = []
        for _ in range(repeat):
            self._spent.clear()
            wall, cpu = now()
            call()
            after = now()
            run: dict[str, Seconds] = {k: (v[0], v[1]) for k, v in self._spent.items()}
            total = after[0] - wall, after[1] - cpu
            known = [sum(spent[clock] for spent in run.values()) for clock in (0, 1)]
            run["rest"] = total[0] - known[0], total[1] - known[1]
            run["all"] = total
            runs.append(run)
        return {
            part: (
                statistics.median(run[part][0] for run in runs),
                statistics.median(run[part][1] for run in runs),
            )
            for part in runs[0]
        }


def _open(runtime: str, weights: Any) -> Any:
    from glc.codec import Codec

    precision = "int8" if runtime == "int8" else "float32"
    return Codec(weights, runtime=RUNTIMES[runtime], device="cpu", precision=precision)


def _name_of_graph(graph: str, *_: object) -> str:
    if graph.startswith("context"):
        return "context"
    return _PARTS.get(graph, graph)


def main(arguments: list[str]) -> int:
    """Run what ``eval.speed.profile`` asks for in one JSON argument."""
    # What the interpreter spent before this line.
    started = time.time(), time.process_time()
    asked = json.loads(arguments[0])
    kind, began = asked.pop("kind"), asked.pop("began")
    if kind == "whole":
        stages = {"interpreter": (started[0] - began, started[1]), **whole(**asked)}
        result: dict[str, Any] = {"stages": stages}
    else:
        result = {"parts": inside(**asked)}
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
