"""``python tests/web/bench.py``: the codec in a browser against Python with ONNX Runtime.

Prints the table of docs/performance.md. Browser and Python take turns, each time in a new page or
process. Seconds are those of the processor, the least of all turns, since what else runs on a
machine only ever adds to them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from codec_cli.support.serve import open_server  # noqa: E402
from codec_cli.support.site import find_runtime, site_files  # noqa: E402
from glc import Codec  # noqa: E402
from glc.weights import registry  # noqa: E402
from tests.conftest import random_picture  # noqa: E402

PYTHON = """
import json, re, sys, time
from glc import Codec
weights, file, picture, repeat = sys.argv[1:]
def timed(work):
    used = time.process_time()
    work()
    return time.process_time() - used
found = {}
def load():
    global codec
    codec = Codec.from_pretrained(weights)
found["load"] = timed(load)
data = open(file, "rb").read()
found["decode"] = [timed(lambda: codec.decode(data)) for _ in range(int(repeat))]
found["encode"] = [timed(lambda: codec.encode(picture, 50)) for _ in range(int(repeat))]
status = open("/proc/self/status").read()
found["peak"] = int(re.search(r"VmHWM:\\s*(\\d+)", status)[1]) / 1000
print(json.dumps(found))
"""


def main() -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=["tiny", "base"])
    parser.add_argument("--sizes", nargs="+", default=["768x512", "1920x1080"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--turns", type=int, default=3, help="pages, and processes of Python")
    parser.add_argument("--repeat", type=int, default=4, help="times that each is done in a turn")
    options = parser.parse_args()
    _say("| | | threads | load | first decode | decode | first encode | encode | peak MB |")
    _say("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        for model in options.models:
            for size in options.sizes:
                for threads in options.threads:
                    _measure(Path(name), model, size, threads, options)
    return 0


def _measure(
    folder: Path, model: str, size: str, threads: int, options: argparse.Namespace
) -> None:
    width, height = map(int, size.split("x"))
    path = registry.locate(model)
    picture, coded = folder / "picture.png", folder / "coded.glc"
    Image.fromarray(random_picture(height, width)).save(picture)
    coded.write_bytes(Codec.from_pretrained(path).encode(picture, 50))
    site = folder / "site"
    info = registry.describe(path)
    for file, read in site_files([info], find_runtime(None)).items():
        (site / file).parent.mkdir(parents=True, exist_ok=True)
        (site / file).write_bytes(read())
    with open_server(site, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        argument = {
            "browser": os.environ.get("GLC_BROWSER") or shutil.which("chromium"),
            "url": f"http://localhost:{server.server_address[1]}/",
            "model": f"models/{info.identity.hex()[:16]}.safetensors",
            "threads": threads,
            "repeat": options.repeat,
            "file": str(coded),
            "picture": str(picture),
        }
        turns = [
            (_browser(argument), _python(argument, path)) for _ in range(max(1, options.turns))
        ]
        server.shutdown()
    least = {
        side: _least(found)
        for side, found in zip(("browser", "Python"), zip(*turns, strict=True), strict=True)
    }
    for side, found in least.items():
        cells = [f"`{model}` {size}", side, str(threads), f"{found['load']:.2f}"]
        for stage in ("decode", "encode"):
            cells += [f"{found[f'first {stage}']:.2f}", f"{found[stage]:.2f}"]
        cells.append(f"{found['peak']:.0f}")
        _say(f"| {' | '.join(cells)} |")
    ratios = {s: least["browser"][s] / least["Python"][s] for s in ("decode", "encode")}
    said = ", ".join(f"{stage} {ratio:.2f}" for stage, ratio in ratios.items())
    sys.stderr.write(f"{model} {size}, {threads} threads: times Python: {said}\n")


def _browser(argument: dict[str, Any]) -> dict[str, Any]:
    script = [str(ROOT / "tests" / "web" / "browser.mjs"), "measure"]
    answer = subprocess.run(
        ["node", *script], input=json.dumps(argument), text=True, stdout=-1, check=True
    ).stdout
    found: dict[str, Any] = json.loads(answer)["found"]
    return found


def _python(argument: dict[str, Any], weights: Path) -> dict[str, Any]:
    given = [str(weights), argument["file"], argument["picture"], str(argument["repeat"])]
    environment = os.environ | {
        "GLC_RUNTIME": "onnxruntime",
        "OMP_NUM_THREADS": str(argument["threads"]),
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-c", PYTHON, *given]
    answer = subprocess.run(command, env=environment, text=True, stdout=-1, check=True).stdout
    found: dict[str, Any] = json.loads(answer)
    return found


def _least(turns: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return the least seconds of the processor of each stage, and the highest peak."""
    found = {"load": min(turn["load"] for turn in turns), "peak": max(t["peak"] for t in turns)}
    for stage in ("decode", "encode"):
        found[f"first {stage}"] = min(turn[stage][0] for turn in turns)
        found[stage] = min(seconds for turn in turns for seconds in turn[stage][1:])
    return found


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
