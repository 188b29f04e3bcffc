"""``glc info``, ``glc verify``, ``glc models`` and the entry point."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from codec_cli.main import COMMANDS
from glc.bitstream import Container, pack


@pytest.fixture
def coded(glc, picture):
    picture("a.png", mode="RGBA")
    assert glc("encode", "a.png").code == 0


def test_info_line(glc, coded):
    result = glc("info", "a.glc")
    assert result.code == 0
    assert result.err == ""
    size = Path("a.glc").stat().st_size
    assert result.out.startswith(f"a.glc: GLC 2, 8 x 6, {size} bytes, ")
    assert "(fake), alpha 48 B" in result.out


def test_info_says_the_version_of_the_file(glc, version):
    Path("a.glc").write_bytes(pack(Container(9, 7, 3, b"abc", b"x", version=version)))
    assert glc("info", "a.glc").out.startswith(f"a.glc: GLC {version}, 9 x 7, ")
    assert json.loads(glc("info", "a.glc", "--json").out)["format_version"] == version


def test_info_json(glc, coded, picture):
    picture("b.glc")
    result = glc("info", "a.glc", "b.glc", "--json")
    assert result.code == 1
    first, second = map(json.loads, result.out.splitlines())
    assert (first["width"], first["height"], first["quality"]) == (8, 6, 50)
    assert first["bytes"] == Path("a.glc").stat().st_size
    assert first["payload_bytes"] == 50 + 3 * 48
    assert first["chunks"] == {"alpha": 48}
    assert first["model_name"] == "fake"
    assert second["input"] == "b.glc"
    assert "not a .glc file" in second["error"]


def test_names_of_models_cannot_reach_the_terminal(glc, monkeypatch, tmp_path):
    from glc.weights import registry

    path = tmp_path / "m.safetensors"
    hostile = registry.ModelInfo("n\x1b[2J", path, bytes(32), 1, 1, True, "a\nb")
    monkeypatch.setattr(registry, "installed", lambda: [hostile])
    out = glc("models").out
    assert out.count("\n") == 1
    assert out.rstrip("\n").isprintable()


@pytest.mark.parametrize("command", ["info", "decode", "verify"])
def test_a_giant_claim_is_refused_unless_the_limit_is_raised(glc, command):
    # 60,000 x 60,000 pixels in 18 bytes.
    identity = hashlib.sha256(b"fake").digest()
    giant = pack(Container(60_000, 60_000, 50, identity[:3], b""))
    Path("giant.glc").write_bytes(giant)
    result = glc(command, "giant.glc")
    assert result.code == 1
    assert "60000 x 60000" in result.err
    assert "--max-pixels" in result.err
    assert glc(command, "giant.glc", "--max-side", "59999").err.count("--max-side") == 1
    raised = glc(command, "giant.glc", "--max-pixels", "3600000000")
    assert "pixels" not in raised.err


def test_limits_of_chunks(glc, coded):
    assert glc("info", "a.glc", "--max-chunk-bytes", "48").code == 0
    assert "--max-chunk-bytes" in glc("info", "a.glc", "--max-chunk-bytes", "47").err
    assert glc("info", "a.glc", "--max-chunk-bytes", "0").code == 2


def test_verify(glc, coded, tmp_path):
    data = bytearray((tmp_path / "a.glc").read_bytes())
    data[70] ^= 1
    (tmp_path / "bad.glc").write_bytes(data)
    result = glc("verify", ".", "--json")
    assert result.code == 1
    good, bad = map(json.loads, result.out.splitlines())
    assert good["verified"] is True
    assert bad["input"] == "bad.glc"
    assert "checksum" in bad["error"]
    assert glc("verify", "a.glc").err.startswith("a.glc: ok")


WITHOUT_EXTRAS = """
import contextlib, io, sys
for name in sys.argv[1].split(","):
    sys.modules[name] = None
from codec_cli.main import COMMANDS, main
for command in COMMANDS:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([command, "--help"])
    text = out.getvalue()
    ends = "brings it" in text or "options:" in text
    print(command, code, text.startswith(f"usage: glc {command}"), ends, repr(err.getvalue()))
"""
EXTRAS = (
    "lpips,torchvision,tensorboard,tomli,pytorch_msssim,torchmetrics,torch_fidelity,ssimulacra2,"
    "bjontegaard,matplotlib,skimage,pywt,onnxruntime,pyarrow,fsspec,ray,compressai,pillow_heif"
)


@pytest.mark.system
@pytest.mark.parametrize("without", [EXTRAS, f"{EXTRAS},torch"])
def test_help_of_every_command_needs_no_extra(without):
    """Or it says in one line which one it needs."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRAS, without],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert done.stdout.splitlines() == [f"{command} 0 True True ''" for command in COMMANDS]


def test_version_help_and_unknown_commands(glc):
    from glc import __version__

    assert glc("--version").out == f"glc {__version__}\n"
    assert glc("--help").out.startswith("usage: glc COMMAND")
    for arguments in ([], ["enc"]):
        result = glc(*arguments)
        assert result.code == 2
        assert len(result.err_lines) == 1


@pytest.mark.parametrize("command", ["train", "eval"])
def test_missing_extras_are_named(glc, monkeypatch, command):
    module = {"train": "glc.training", "eval": "eval.rd"}[command]
    monkeypatch.setitem(sys.modules, module, None)
    result = glc(command, "--whatever")
    assert result.code == 1
    assert f"pip install 'glc-codec[{command}]'" in result.err
    assert len(result.err_lines) == 1


@pytest.mark.system
def test_info_imports_neither_torch_nor_numpy(glc, coded, tmp_path):
    program = (
        "import sys; from codec_cli.support import codecs; "
        "codecs.installed_name = lambda model: None; "
        "from codec_cli.main import main; code = main(['info', 'a.glc']); "
        "print(sorted({'torch', 'numpy', 'PIL', 'rich'} & set(sys.modules))); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        check=True,
        text=True,
        env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert done.stdout.splitlines()[1] == "[]"
