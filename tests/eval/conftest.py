"""Pictures that tests make, and a real browser driven over its debugging pipe."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from eval import rd
from eval.metrics.backbones import SQUEEZENET, Unavailable, checkpoint
from eval.pictures import RGB


def make_photo(height: int, width: int, seed: int = 0) -> RGB:
    """Return something with the statistics of a photograph: 1/f noise, a few edges, 40..215."""
    rng = np.random.default_rng(seed)
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None]
    falloff = np.maximum(np.hypot(fy, fx), 1 / max(height, width)) ** -1.3
    layers = []
    for _ in range(3):
        field = np.fft.ifft2(np.fft.fft2(rng.normal(size=(height, width))) * falloff).real
        layers.append(field / field.std())
    picture = 0.8 * layers[0][..., None] + 0.2 * np.stack(layers, axis=-1)
    for _ in range(6):
        top, left = rng.integers(height), rng.integers(width)
        picture[top : top + height // 3, left : left + width // 4] += rng.normal()
    scaled = 128 + 30 * (picture - picture.mean()) / picture.std()
    return scaled.round().clip(40, 215).astype(np.uint8)


@pytest.fixture(scope="session")
def photo() -> RGB:
    return make_photo(256, 384)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of two pictures of different sizes."""
    return make_folder(tmp_path / "pictures")


def make_folder(pictures: Path) -> Path:
    (pictures / "more").mkdir(parents=True)
    Image.fromarray(make_photo(192, 256, 1)).save(pictures / "a.png")
    Image.fromarray(make_photo(256, 176, 2)).save(pictures / "more" / "b.png")
    return pictures


@pytest.fixture
def squeezenet() -> None:
    """Skip the test where SqueezeNet's weights are not installed."""
    try:
        checkpoint(SQUEEZENET)
    except Unavailable as error:
        pytest.skip(str(error))


class Browser:
    """A headless Chromium with one page, spoken to in its DevTools protocol over two pipes."""

    def __init__(self, program: str, profile: Path) -> None:
        read_end, self._to_browser = os.pipe()
        self._from_browser, write_end = os.pipe()

        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
        flags += [f"--user-data-dir={profile}", "--no-first-run", "--disable-dev-shm-usage"]
        # The protocol wants descriptors 3 and 4; high copies first, lest one overwrite the other.
        begin = (
            f"import os, sys; os.dup2({read_end}, 103); os.dup2({write_end}, 104);"
            "os.dup2(103, 3); os.dup2(104, 4); os.execv(sys.argv[1], sys.argv[1:])"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-c", begin, program, *flags, "about:blank"],
            pass_fds=(read_end, write_end),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_end)
        os.close(write_end)
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its result; events that come meanwhile are kept."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to_browser, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def open(self, page: Path | str, width: int, height: int) -> None:
        """Load a file or an address in a window of that size and wait for it."""
        self.events.clear()
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.call("Page.navigate", url=page if isinstance(page, str) else page.as_uri())
        while not any(e.get("method") == "Page.loadEventFired" for e in self.events):
            self.events.append(self._receive())

    def value(self, expression: str) -> Any:
        """Evaluate JavaScript in the page."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press the mouse at one place of the window, move it and let go at another."""
        for kind, (x, y) in (
            ("mouseMoved", start),
            ("mousePressed", start),
            ("mouseMoved", end),
            ("mouseReleased", end),
        ):
            options = {"x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1}
            self.call("Input.dispatchMouseEvent", type=kind, **options)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._to_browser)
        os.close(self._from_browser)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            more = os.read(self._from_browser, 1 << 20)
            assert more, "the browser has gone"
            self._buffer += more
        message, self._buffer = self._buffer.split(b"\0", 1)
        answer: dict[str, Any] = json.loads(message)
        return answer


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of a run over two pictures and three codecs."""
    folder = tmp_path_factory.mktemp("page")
    pictures = make_folder(folder / "pictures")
    arguments = ["--images", str(pictures), "--out", str(folder / "out")]
    more = ["--metrics", "psnr,grid", "--codecs", "webp,jpeg,jpeg@1/2"]
    assert rd.main([*arguments, *more]) == 0
    return folder / "out" / "report.html"


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Return a headless browser; the test is skipped where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next((found for name in names if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("needs a Chromium in PATH: apt-get install chromium")
    started = Browser(program, tmp_path_factory.mktemp("profile"))
    yield started
    started.close()


def random_trunk(layers: dict[int, tuple[int, int, int]]) -> dict[str, torch.Tensor]:
    """Return tensors `features.N.*` of random convolutions, given as (outputs, inputs, side)."""
    torch.manual_seed(0)
    found = {}
    for layer, (outputs, inputs, side) in layers.items():
        deviation = (2 / (inputs * side * side)) ** 0.5
        weight = torch.randn(outputs, inputs, side, side) * deviation
        found[f"features.{layer}.weight"] = weight.half()
        found[f"features.{layer}.bias"] = (0.1 * torch.randn(outputs)).half()
    return found


@pytest.fixture(scope="session")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of features in the layout of the trained ones, but random."""
    folder = tmp_path_factory.mktemp("features")
    sizes = ((64, 3, 11), (192, 64, 5), (384, 192, 3), (256, 384, 3), (256, 256, 3))
    save_file(
        random_trunk(dict(zip((0, 3, 6, 8, 10), sizes, strict=True))),
        folder / "alexnet_features.safetensors",
    )
    widths = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    layers = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    shapes = {layer: (widths[i + 1], widths[i], 3) for i, layer in enumerate(layers)}
    save_file(random_trunk(shapes), folder / "vgg16_features.safetensors")
    weights = {name: torch.rand(1, 1475, 1, 1) for name in ("alpha", "beta")}
    save_file(weights, folder / "dists.safetensors")
    return folder


_JUDGE_WIDTHS = (16, 32, 64, 64, 128, 128, 256, 256, 256, 256, 256, 256, 512, 512)


def random_judge() -> dict[str, torch.Tensor]:
    """Return random tensors in the layout of the judge's file."""
    torch.manual_seed(0)
    shapes = {0: (16, 3, 3, 3), 27: (1001, 512, 1, 1)}
    for block, (inner, outer) in enumerate(zip(_JUDGE_WIDTHS, _JUDGE_WIDTHS[1:], strict=False)):
        shapes[2 * block + 1] = (inner, 1, 3, 3)
        shapes[2 * block + 2] = (outer, inner, 1, 1)
    weights = {}
    for layer, shape in shapes.items():
        fan = shape[1] * shape[2] * shape[3]
        weights[f"{layer}.weight"] = (torch.randn(shape) * (2 / fan) ** 0.5).half()
        weights[f"{layer}.bias"] = torch.zeros(shape[0]).half()
    return weights


@pytest.fixture(scope="session")
def judge_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of random weights for the judge."""
    path = tmp_path_factory.mktemp("judge") / "judge.safetensors"
    save_file(random_judge(), path)
    return path
