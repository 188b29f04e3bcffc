"""``glc web``: a folder with the whole site, and a server that this computer alone can reach."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from codec_cli.main import main
from codec_cli.support import site
from codec_cli.support.serve import HEADERS

WEB = Path(__file__).parents[2] / "web"


@pytest.fixture
def runtime(tmp_path):
    """A folder that looks as npm leaves it; the real files are 14 MB."""
    folder = tmp_path / "npm" / "node_modules" / "onnxruntime-web" / "dist"
    folder.mkdir(parents=True)
    for name in site.RUNTIME_FILES:
        (folder / name).write_bytes(name.encode())
    version = json.loads((WEB / "package.json").read_text())["dependencies"]["onnxruntime-web"]
    (folder.parent / "package.json").write_text(json.dumps({"version": version}))
    return tmp_path / "npm"


def test_the_whole_site(runtime, micro_path, linear_path, tmp_path, capsys):
    folder = tmp_path / "site"
    models = ["--model", str(linear_path), "--model", str(micro_path)]
    arguments = ["web", str(folder), *models, "--runtime", str(runtime)]
    assert main(arguments) == 0
    assert "with linear, micro" in capsys.readouterr().err
    index = json.loads((folder / "site.json").read_text())
    assert [model["name"] for model in index["models"]] == ["linear", "micro"]
    for model in index["models"]:
        data = (folder / model["file"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == model["identity"]
        assert len(data) == model["bytes"]
    for name, digest in index["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert there == {"site.json", *index["files"], *(m["file"] for m in index["models"])}
    assert not any("node_modules" in name for name in there)
    # An earlier site is replaced, something else is not.
    assert main(arguments) == 0
    (folder / "site.json").unlink()
    assert main(arguments) == 2
    assert "holds other files" in capsys.readouterr().err
    assert main([*arguments, "-f"]) == 0


def test_the_runtime_is_missing_or_another(runtime, micro_path, tmp_path, capsys):
    arguments = ["web", str(tmp_path / "site"), "--model", str(micro_path), "--runtime"]
    assert main([*arguments, str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "npm install onnxruntime-web@" in said
    package = runtime / "node_modules" / "onnxruntime-web" / "package.json"
    package.write_text('{"version": "0.1.0"}')
    assert main([*arguments, str(runtime)]) == 1
    assert "onnxruntime-web 0.1.0, but" in capsys.readouterr().err
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a folder"),
        (["x", "--port", "1"], "--port is for --serve"),
        (["--serve", "--port", "65536"], "expected 0 to 65535"),
    ],
)
def test_wrong_usage(arguments, message, capsys):
    assert main(["web", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_model_that_is_not_there(runtime, tmp_path, capsys):
    arguments = ["web", str(tmp_path / "site"), "--model", "missing", "--runtime", str(runtime)]
    assert main(arguments) == 1
    assert "missing" in capsys.readouterr().err


@pytest.mark.system
def test_serving(runtime, micro_path):
    arguments = ["--serve", "--port", "0", "--model", str(micro_path), "--runtime", str(runtime)]
    process = subprocess.Popen(
        [sys.executable, "-m", "codec_cli", "web", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        # Tests that run in the background of a shell hand on that Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    try:
        assert process.stderr is not None
        lines = [process.stderr.readline() for _ in range(2)]
        folder = Path(lines[0].split(": ")[0])
        port = re.search(r"http://localhost:(\d+)/", lines[1])
        assert port is not None, lines
        url = f"http://127.0.0.1:{port[1]}/"
        kinds = {
            "": "text/html",
            "glc.js": "text/javascript",
            "site.json": "application/json",
            "page/page.css": "text/css",
            f"runtime/{site.RUNTIME_FILES[0]}": "text/javascript",
            f"runtime/{site.RUNTIME_FILES[1]}": "application/wasm",
        }
        for name, kind in kinds.items():
            with urllib.request.urlopen(url + name) as response:
                assert response.headers.get_content_type() == kind
                for header, value in HEADERS.items():
                    assert response.headers[header] == value
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(url + "lib/")
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    # What was shown without a folder of its own is gone.
    assert not folder.exists()


def test_policies_of_page_and_server_agree():
    page = (WEB / "index.html").read_text(encoding="utf-8")
    (found,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    # A page cannot say who may frame it.
    assert HEADERS["Content-Security-Policy"] == f"{found}; frame-ancestors 'none'"
    assert "unsafe-inline" not in found
    assert not re.search(r"<script(?![^>]*src=)|<style| on\w+=|style=|https?://", page)


def test_versions_of_packages_are_pinned():
    package = json.loads((WEB / "package.json").read_text())
    pinned = package["dependencies"] | package["devDependencies"]
    assert set(pinned) == {"onnxruntime-web", "puppeteer-core"}
    assert all(re.fullmatch(r"[\d.]+", version) for version in pinned.values())


def test_the_wheel_holds_what_a_site_is_made_of():
    text = (WEB.parent / "pyproject.toml").read_text(encoding="utf-8")
    shipped = dict(re.findall(r'^"web/([^"]+)" = "glc/_web/([^"]+)"$', text, re.MULTILINE))
    assert all(target == source for source, target in shipped.items())
    assert set(shipped) == {*site.PARTS, "package.json"}
    there = {path.name for path in WEB.iterdir()} - {"node_modules", ".npmrc"}
    assert there == set(shipped)
