"""Runs the JavaScript codec: in Node, which needs no package, and in a browser, which needs two."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from codec_cli.support.serve import open_server
from codec_cli.support.site import RuntimeMissingError, find_runtime, site_files
from glc.weights import registry

HERE = Path(__file__).parent
WEB = HERE.parents[1] / "web"
NODE_OLDEST = (20, 12)
"""The first with raw deflate as browsers have it."""
BROWSERS = {
    "chrome": ("chromium", "chromium-browser", "google-chrome", "chrome"),
    "firefox": ("firefox", "firefox-esr"),
}
"""Names of programs, by how puppeteer calls the browser."""
VARIABLES = {"chrome": "GLC_BROWSER", "firefox": "GLC_FIREFOX"}
"""Environment variables that name another program."""
SECONDS = 600


def node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("needs node")
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    version = tuple(int(part) for part in re.findall(r"\d+", said)[:2])
    if version < NODE_OLDEST:
        pytest.skip(f"needs node {'.'.join(map(str, NODE_OLDEST))}, found {said.strip()}")
    return found


def call(script: str, command: str, argument: Any) -> Any:
    """Run a script of this folder and return its answer."""
    done = subprocess.run(
        [node(), str(HERE / script), command],
        input=json.dumps(argument),
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
        # Else a browser looks for the session of a desktop.
        env=os.environ | {"DBUS_SESSION_BUS_ADDRESS": "disabled:"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="session")
def probe() -> Callable[[str, Any], Any]:
    """Return a function that runs a command of probe.mjs in Node."""
    node()
    return lambda command, argument: call("probe.mjs", command, argument)


@pytest.fixture(scope="session")
def runtime() -> Path:
    """The folder with the files of onnxruntime-web."""
    try:
        return find_runtime(None).resolve()
    except RuntimeMissingError:
        pytest.skip("needs onnxruntime-web: npm install in web/")


@pytest.fixture(scope="session")
def code(
    probe: Callable[[str, Any], Any], runtime: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., tuple[list[np.ndarray], list[bytes]]]:
    """Return a function that decodes files and encodes pictures with a model."""
    folder = tmp_path_factory.mktemp("coded")

    def run(
        weights: Path,
        files: Sequence[bytes] = (),
        pictures: Sequence[tuple[np.ndarray, int]] = (),
        realism: int | None = None,
        side: int | None = None,
    ) -> tuple[list[np.ndarray], list[bytes]]:
        decode, encode = [], []
        for number, data in enumerate(files):
            (folder / f"{number}.glc").write_bytes(data)
            names = [str(folder / f"{number}.{suffix}") for suffix in ("glc", "rgba")]
            decode.append([names[0], realism, side, names[1]])
        for number, (pixels, quality) in enumerate(pictures):
            height, width = pixels.shape[:2]
            source, target = (str(folder / f"{number}.{suffix}") for suffix in ("in", "out"))
            rgba = np.asarray(Image.fromarray(pixels).convert("RGBA"))
            (folder / f"{number}.in").write_bytes(rgba.tobytes())
            encode.append([source, width, height, quality, side, target])
        module = (runtime / "ort.wasm.bundle.min.mjs").as_uri()
        probe(
            "code",
            {"weights": str(weights), "runtime": module, "decode": decode, "encode": encode},
        )
        shown = [np.fromfile(job[3], np.uint8).reshape(-1, 4) for job in decode]
        return shown, [(folder / f"{number}.out").read_bytes() for number in range(len(encode))]

    return run


def levels(image: Image.Image) -> np.ndarray:
    """Return the pixels of a picture as ``code`` gives them: (H W, 4)."""
    return np.asarray(image.convert("RGBA"), np.int16).reshape(-1, 4)


@pytest.fixture(scope="session")
def browse(runtime: Path) -> Callable[..., Any]:
    """Return a function that runs a command of browser.mjs, which drives a browser.

    What must never happen is checked each time: a violation of the page's policy, a request to
    another host, an error that nobody caught.
    """
    return driver("chrome")


@pytest.fixture(scope="session")
def browse_firefox(runtime: Path) -> Callable[..., Any]:
    """Return the same for Firefox."""
    return driver("firefox")


def driver(kind: str) -> Callable[..., Any]:
    if not (WEB / "node_modules" / "puppeteer-core").is_dir():
        pytest.skip("needs puppeteer-core: npm install in web/")
    names = map(shutil.which, BROWSERS[kind])
    found = os.environ.get(VARIABLES[kind]) or next(filter(None, names), None)
    if found is None:
        pytest.skip(f"needs a browser: {BROWSERS[kind][0]}, or {VARIABLES[kind]}")

    def run(command: str, url: str, **argument: Any) -> Any:
        given = {"kind": kind, "browser": found, "url": url} | argument
        answer = call("browser.mjs", command, given)
        assert answer["violations"] == []
        assert answer["foreign"] == []
        assert answer["errors"] == []
        return answer["found"]

    return run


@pytest.fixture(scope="session")
def serve(runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """Return a function that shows a site with some models: its address and its folder."""
    servers = []

    def show(*models_or_paths: Path | registry.ModelInfo) -> tuple[str, Path]:
        folder = tmp_path_factory.mktemp("site")
        models = [
            registry.describe(one) if isinstance(one, Path) else one for one in models_or_paths
        ]
        for name, read in site_files(models, runtime).items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(read())
        server = open_server(folder, 0)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://localhost:{server.server_address[1]}/", folder

    yield show
    for server in servers:
        server.shutdown()
        server.server_close()
