"""``python tests/web/bench.py``: the codec in a browser against Python with ONNX Runtime.

Prints the table of docs/performance.md. Each line is measured in a new page or process; seconds are
those of the processor, so that other programs do not count, and by the clock in brackets.
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
from pathlib import Path
from typing import Any

import numpy as np
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
    clock, used = time.perf_counter(), time.process_time()
    work()
    return [time.perf_counter() - clock, time.process_time() - used]
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
    parser.add_argument("--repeat", type=int, default=4, help="times that each is done")
    options = parser.parse_args()
    _say("| | | threads | load | first decode | decode | first encode | encode | peak MB |")
    _say("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        for model in options.models:
            for size in options.sizes:
                for threads in options.threads:
                    _measure(Path(name), model, size, threads, options.repeat)
    return 0


def _measure(folder: Path, model: str, size: str, threads: int, repeat: int) -> None:
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
        url = f"http://localhost:{server.server_address[1]}/"
        argument = {
            "browser": os.environ.get("GLC_BROWSER") or shutil.which("chromium"),
            "url": url,
            "model": f"models/{info.identity.hex()[:16]}.safetensors",
            "threads": threads,
            "repeat": repeat,
            "file": str(coded),
            "picture": str(picture),
        }
        script = [str(ROOT / "tests" / "web" / "browser.mjs"), "measure"]
        answer = subprocess.run(
            ["node", *script], input=json.dumps(argument), text=True, stdout=-1, check=True
        ).stdout
        server.shutdown()
    command = [sys.executable, "-c", PYTHON, str(path), str(coded), str(picture), str(repeat)]
    environment = os.environ | {
        "GLC_RUNTIME": "onnxruntime",
        "OMP_NUM_THREADS": str(threads),
        "PYTHONPATH": str(ROOT),
    }
    native = subprocess.run(command, env=environment, text=True, stdout=-1, check=True).stdout
    found = {"browser": json.loads(answer)["found"], "Python": json.loads(native)}
    for side, times in found.items():
        cells = [f"`{model}` {size}", side, str(threads), _text(times["load"])]
        for stage in ("decode", "encode"):
            cells += [_text(times[stage][0]), _text(_median(times[stage][1:]))]
        cells.append(f"{times['peak']:.0f}")
        _say(f"| {' | '.join(cells)} |")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _median(times: list[list[float]]) -> Any:
    return np.median(times, axis=0).tolist()


def _text(times: list[float]) -> str:
    clock, processor = times
    return f"{processor:.2f} ({clock:.1f})"


if __name__ == "__main__":
    sys.exit(main())
