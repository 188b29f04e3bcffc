"""Too little memory: one line that says so, from whatever part the error comes."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from codec_cli.support.faults import is_shortage, reason_of
from glc.weights import checkpoint

PanicException = type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})

SHORTAGES = {
    "Python": MemoryError(),
    "numpy": MemoryError("Unable to allocate 3.00 GiB for an array with shape (1, 2)"),
    "the system": OSError(12, "Cannot allocate memory"),
    "torch": RuntimeError(
        "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory"
    ),
    "CUDA": RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    "onnxruntime": RuntimeError("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : std::bad_alloc"),
    "its arena": RuntimeError("[ONNXRuntimeError] : 1 : FAIL : bfc_arena.cc:360 void* onnxruntime"),
    "the loader": ImportError("libtorch_cpu.so: failed to map segment from shared object"),
    "threads": RuntimeError("can't start new thread"),
    "Rust": PanicException("memory allocation of 20 bytes failed"),
}


@pytest.mark.parametrize("source", SHORTAGES)
def test_every_way_to_say_it_is_understood(source):
    assert is_shortage(SHORTAGES[source])
    assert reason_of(SHORTAGES[source]).startswith("not enough memory; ")


def test_so_is_one_that_led_to_another_error():
    error = KeyError("what came of it")
    assert not is_shortage(error)
    error.__cause__ = MemoryError()
    assert is_shortage(error)


def test_of_what_nobody_expects_it_is_the_cause_where_nothing_can_be_had(monkeypatch):
    error = AttributeError("module 'datetime' has no attribute 'datetime_CAPI'")
    assert not is_shortage(error)
    monkeypatch.setattr("codec_cli.support.faults._has_memory", lambda: False)
    assert is_shortage(error)
    assert is_shortage(PanicException("PyObject pointer is null"))
    assert not is_shortage(ValueError("quality"))
    assert not is_shortage(FileNotFoundError(2, "No such file or directory"))


@pytest.mark.parametrize("source", SHORTAGES)
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_file_that_needs_too_much_fails_alone(
    glc, fake_codec, picture, monkeypatch, source, jobs
):
    picture("a.png")
    picture("b.png", width=9)
    original = fake_codec.encode

    def encode(self, image, *arguments, **options):
        if image.width == 9:
            raise SHORTAGES[source]
        return original(self, image, *arguments, **options)

    monkeypatch.setattr(fake_codec, "encode", encode)
    result = glc("encode", "a.png", "b.png", "-j", jobs)
    assert result.code == 1
    said = [line for line in result.err_lines if line.startswith("glc encode: ")]
    assert said == [
        "glc encode: b.png: not enough memory; fewer files at once (-j) and smaller tiles "
        "(--tile) need less"
    ]
    assert Path("a.glc").exists()


def test_a_model_that_does_not_fit_is_one_line(glc, fake_codec, picture, monkeypatch):
    picture("a.png")

    def fail(*arguments):
        raise PanicException("memory allocation failed")

    monkeypatch.setattr("codec_cli.support.codecs.open_codec", fail)
    result = glc("encode", "a.png")
    assert result.code == 1
    assert result.err_lines == [
        "glc encode: not enough memory; fewer files at once (-j) and smaller tiles (--tile) "
        "need less"
    ]


def test_weights_ask_for_memory_before_native_code_does(micro_path, monkeypatch):
    """Where safetensors finds none it panics, and Rust prints lines of its own."""
    called = []
    monkeypatch.setattr("safetensors.numpy.load", called.append)

    def refuse(size):
        assert size >= micro_path.stat().st_size
        raise MemoryError

    monkeypatch.setattr(checkpoint, "bytearray", refuse, raising=False)
    with pytest.raises(MemoryError):
        checkpoint.load(micro_path)
    assert called == []


@pytest.mark.system
@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of Linux")
@pytest.mark.parametrize("megabytes", range(80, 400, 40))
def test_a_process_with_little_memory_ends_in_one_line(micro_path, picture, tmp_path, megabytes):
    picture("a.png", width=600, height=600)
    limit = megabytes << 20
    done = subprocess.run(
        [sys.executable, "-m", "codec_cli", "encode", "a.png", "--model", micro_path],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert b"Traceback" not in done.stderr
    assert done.returncode in (0, 1)
    assert done.stderr.count(b"\n") == 1
    assert done.returncode == 0 or b"emory" in done.stderr
