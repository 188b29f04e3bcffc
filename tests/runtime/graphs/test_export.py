"""What is exported decodes with numpy and ONNX Runtime alone, and the JSON says what it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from codec_cli.main import main
from glc.runtime.graphs.export import DESCRIPTION
from glc.runtime.graphs.session import import_onnxruntime

EXAMPLE = Path(__file__).parents[3] / "examples" / "decode_onnx.py"


@pytest.fixture(scope="module")
def exported(micro_path, linear_path, two_decoders_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    for path in (micro_path, linear_path, two_decoders_path):
        assert main(["export", "--onnx", str(folder / path.stem), "--model", str(path)]) == 0
    return folder


def example(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        # Isolated: the library is not even on the path.
        [sys.executable, "-I", str(EXAMPLE), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )


@pytest.mark.system
@pytest.mark.parametrize("kind", ["micro", "linear", "two_decoders"])
def test_the_example_decodes(kind, exported, request, make_picture, tmp_path):
    codec = request.getfixturevalue(kind)
    data = codec.encode(make_picture(70, 90), 85)
    (tmp_path / "in.glc").write_bytes(data)
    done = example(exported / kind, tmp_path / "in.glc", tmp_path / "out.ppm")
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "out.ppm") as image:
        shown = np.asarray(image, np.int16)
    assert np.abs(shown - np.asarray(codec.decode(data), np.int16)).max() <= 1


@pytest.mark.system
def test_the_example_reads_golden_files_of_both_versions(version, tmp_path):
    golden = Path(__file__).parents[2] / "golden" / f"v{version}"
    model = str(golden / "golden.safetensors")
    assert main(["export", "--onnx", str(tmp_path / "model"), "--model", model]) == 0
    done = example(tmp_path / "model", golden / "colour.glc", tmp_path / "out.ppm")
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "out.ppm") as found, Image.open(golden / "colour.png") as expected:
        difference = np.asarray(found, np.int16) - np.asarray(expected, np.int16)
    assert np.abs(difference).max() <= 1
    data = bytearray((golden / "colour.glc").read_bytes())
    data[20] ^= 1
    (tmp_path / "bad.glc").write_bytes(data)
    done = example(tmp_path / "model", tmp_path / "bad.glc", tmp_path / "out.ppm")
    assert done.returncode == 1
    assert "ValueError" in done.stderr


@pytest.mark.parametrize("kind", ["linear", "two_decoders"])
def test_the_description_is_that_of_the_graphs(kind, exported, request):
    folder = exported / kind
    about = json.loads((folder / DESCRIPTION).read_text())
    assert about["identity"] == request.getfixturevalue(kind).identity.hex()
    assert about["name"] == kind
    assert ("realistic_fine" in about["graphs"]) == (kind == "two_decoders")
    onnxruntime = import_onnxruntime()
    for graph in about["graphs"].values():
        session = onnxruntime.InferenceSession(
            folder / graph["file"], providers=["CPUExecutionProvider"]
        )
        for side, ends in (("inputs", session.get_inputs()), ("outputs", session.get_outputs())):
            found = [(end.name, list(end.shape), end.type) for end in ends]
            kinds = {"float32": "tensor(float)", "uint8": "tensor(uint8)"}
            assert found == [(e["name"], e["shape"], kinds[e["type"]]) for e in graph[side]]
    arrays = about["arrays"]
    sizes = [4 * int(np.prod(entry["shape"])) for entry in arrays["entries"].values()]
    assert (folder / arrays["file"]).stat().st_size == sum(sizes)


def test_nothing_is_replaced_unasked(micro_path, tmp_path, capsys):
    arguments = ["export", "--onnx", str(tmp_path), "--model", str(micro_path)]
    assert main(arguments) == 0
    assert main(arguments) == 1
    assert "exists; -f replaces it" in capsys.readouterr().err
    assert main([*arguments, "-f"]) == 0
    assert main(["export", "--onnx", str(tmp_path), "--model", "missing"]) == 1
