"""A report that decodes its files in a real browser, and what keeps it from being one."""

from __future__ import annotations

import base64
import functools
import http.server
import io
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from codec_cli.support.site import RuntimeMissingError, find_runtime
from eval import rd
from eval.report import live
from eval.report import readme as report
from eval.runner import stored_file
from glc import Codec, WeightsError
from glc.weights import manifest, registry
from tests.eval.conftest import make_folder

SECONDS = 300
PIXELS = """(() => {
  const img = document.querySelector(".layer.tested img");
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [img.naturalWidth, img.naturalHeight];
  canvas.getContext("2d").drawImage(img, 0, 0);
  return canvas.toDataURL("image/png").split(",")[1];
})()"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    """What ``python -m http.server`` does, in silence."""

    def log_message(self, *said: Any) -> None:
        """Say nothing."""


@pytest.fixture
def runtime() -> None:
    try:
        find_runtime(None)
    except RuntimeMissingError:
        pytest.skip("needs onnxruntime-web: npm install in web/")


@pytest.fixture
def run(runtime: None, micro_path: Path, tmp_path: Path) -> Path:
    """Return the folder of a run with a report that decodes."""
    folder, out = make_folder(tmp_path / "pictures"), tmp_path / "out"
    arguments = ["--images", str(folder), "--out", str(out), "--limit", "1", "--qualities", "60"]
    more = ["--codecs", f"glc:{micro_path},jpeg", "--metrics", "psnr", "--live"]
    assert rd.main([*arguments, *more]) == 0
    return out


@pytest.fixture
def address(run: Path) -> Iterator[str]:
    handler = functools.partial(Quiet, directory=str(run))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def test_a_file_is_decoded_in_the_page(
    run: Path, address: str, browser: Any, micro_path: Path
) -> None:
    browser.open(f"{address}report.html", 1280, 900)
    browser.value(
        "window.broken = []; document.addEventListener('securitypolicyviolation',"
        " (event) => window.broken.push(event.blockedURI))"
    )
    browser.value("document.querySelector('.live button').click()")
    state, end = None, time.monotonic() + SECONDS
    while state is None and time.monotonic() < end:
        time.sleep(0.2)
        state = browser.value("document.querySelector('.live').dataset.state ?? null")
    said = browser.value("document.querySelector('.live span').textContent")
    assert state == "done", said
    (path,) = (run / "files").glob("glc*/60/*")
    assert f"from {path.stat().st_size:,} bytes" in said
    with Image.open(io.BytesIO(base64.b64decode(browser.value(PIXELS)))) as image:
        shown = np.asarray(image.convert("RGB"), np.int16)
    expected = np.asarray(Codec.from_pretrained(micro_path).decode(path.read_bytes()), np.int16)
    assert np.abs(shown - expected).max() <= 1
    assert browser.value("window.broken") == []
    asked = [
        event["params"]["request"]["url"]
        for event in browser.events
        if event.get("method") == "Network.requestWillBeSent"
    ]
    assert [url for url in asked if not url.startswith((address, "blob:", "data:"))] == []
    bad = [event for event in browser.events if event.get("method") == "Runtime.exceptionThrown"]
    assert bad == []


def test_from_a_disk_it_says_what_to_do(run: Path, browser: Any) -> None:
    browser.open(run / "report.html", 390, 900)
    assert browser.value("document.querySelector('.live button').disabled")
    said = browser.value("document.querySelector('.live span').textContent")
    assert "python -m http.server" in said
    assert browser.value("document.documentElement.scrollWidth") <= 390, "nothing sticks out"
    saved = browser.value("document.querySelector('.live a').href").partition(",")[2]
    (path,) = (run / "files").glob("glc*/60/*")
    assert base64.b64decode(saved) == path.read_bytes()


def test_it_is_off_by_default(page: Path) -> None:
    assert "Decode it here" not in page.read_text(encoding="utf-8")
    assert not (page.parent / live.FOLDER).exists()


def test_files_of_other_codecs_cannot_be_decoded(folder: Path, tmp_path: Path, capsys: Any) -> None:
    arguments = ["--images", str(folder), "--out", str(tmp_path / "out"), "--metrics", "psnr"]
    assert rd.main([*arguments, "--codecs", "jpeg", "--live"]) == 2
    assert "--live is for files of glc, and the report is about jpeg" in capsys.readouterr().err
    assert not stored_file(tmp_path / "out", "jpeg", 5, "a.png").exists(), "said before the work"


def test_without_the_runtime_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(folder: Path | None) -> Path:
        raise RuntimeMissingError("npm install onnxruntime-web brings it")

    monkeypatch.setattr(live, "find_runtime", missing)
    with pytest.raises(ValueError, match="--live: npm install"):
        live.prepare("glc")


def test_the_realism_of_a_recipe(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, micro_path: Path
) -> None:
    monkeypatch.setattr(live, "find_runtime", lambda folder: tmp_path)
    assert live.prepare(f"glc:{micro_path}").realism == 100
    assert live.prepare(f"glc:{micro_path}@realism=30").realism == 30


def test_each_file_of_the_default_models_finds_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, micro: Any, two_decoders: Any, linear: Any,
    micro_path: Path, two_decoders_path: Path, make_picture: Any,
) -> None:  # fmt: skip
    for path in (micro_path, two_decoders_path):
        shutil.copy(path, tmp_path)
    manifest.write_manifest(tmp_path, "micro", {"two_decoders": 60})
    monkeypatch.setenv(registry.MODELS_VARIABLE, str(tmp_path))
    monkeypatch.setattr(live, "find_runtime", lambda folder: tmp_path)
    found = live.prepare("glc")
    assert [model.name for model in found.models] == ["micro", "two_decoders"]
    for codec in (micro, two_decoders):
        coded = live.data_uri(codec.encode(make_picture(64, 64)))
        assert found.address_for(coded) == f"live/models/{codec.identity.hex()[:16]}.safetensors"
    with pytest.raises(WeightsError, match="which is not here"):
        found.address_for(live.data_uri(linear.encode(make_picture(64, 64))))


def test_options_for_the_run_need_pictures(tmp_path: Path, capsys: Any) -> None:
    with pytest.raises(SystemExit):
        report.main(["--run", str(tmp_path), "--live"])
    assert "--live: what is for eval.rd needs --images" in capsys.readouterr().err
