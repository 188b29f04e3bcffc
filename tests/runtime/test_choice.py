"""Which runtime is chosen, and what is said where it cannot be had."""

from __future__ import annotations

import pytest

from glc.runtime import choice, torch
from glc.runtime.choice import choose


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch):
    monkeypatch.delenv("GLC_RUNTIME", raising=False)
    monkeypatch.setattr(choice, "_may_have_gpu", lambda: False)


def has(monkeypatch, *runtimes: str) -> None:
    monkeypatch.setattr(choice, "find_spec", lambda name: name if name in runtimes else None)


def test_without_a_gpu_onnxruntime_computes():
    assert choose() == choose(device="cpu") == "onnxruntime"
    assert choose(precision="int8") == "onnxruntime"
    assert choose("torch") == choose("torch", "cpu") == "torch"


@pytest.mark.parametrize(("found", "expected"), [("cuda", "torch"), ("cpu", "onnxruntime")])
def test_with_signs_of_a_gpu_torch_is_asked(monkeypatch, found, expected):
    monkeypatch.setattr(choice, "_may_have_gpu", lambda: True)
    monkeypatch.setattr(torch, "pick_device", lambda name: found)
    assert choose() == expected
    assert choose(device="cpu") == choose(precision="int8") == "onnxruntime"
    has(monkeypatch, "onnxruntime")
    assert choose() == "onnxruntime"


def test_a_device_that_only_torch_has_means_torch():
    for device in ("cuda", "cuda:1", "mps"):
        assert choose(device=device) == "torch"
        with pytest.raises(ValueError, match="onnxruntime computes on a CPU"):
            choose("onnxruntime", device)
        with pytest.raises(ValueError, match="precision int8 is for a CPU"):
            choose(device=device, precision="int8")
    with pytest.raises(ValueError, match="precision int8 is for a CPU"):
        choose("torch", precision="int8")


@pytest.mark.parametrize(
    ("arguments", "name"), [(("gpu",), "runtime"), (("auto", "cpu", "int4"), "precision")]
)
def test_what_does_not_exist_is_refused(arguments, name):
    with pytest.raises(ValueError, match=f"^{name}: expected"):
        choose(*arguments)


def test_the_environment_says_what_auto_means(monkeypatch):
    monkeypatch.setenv("GLC_RUNTIME", "torch")
    assert choose() == choose(device="cpu") == "torch"
    assert choose("onnxruntime") == choose(precision="int8") == "onnxruntime"
    monkeypatch.setenv("GLC_RUNTIME", "fast")
    with pytest.raises(ValueError, match="GLC_RUNTIME: expected"):
        choose()


def test_what_is_not_installed_is_named_with_what_brings_it(monkeypatch):
    has(monkeypatch, "onnxruntime")
    for arguments in (("torch",), ("auto", "cuda")):
        with pytest.raises(ModuleNotFoundError, match=r"pip install 'glc-codec\[torch\]'"):
            choose(*arguments)
    has(monkeypatch, "torch")
    assert choose() == "torch"
    for arguments in (("onnxruntime",), ("auto", "cpu", "int8")):
        with pytest.raises(ModuleNotFoundError, match="pip install glc-codec brings it"):
            choose(*arguments)
    has(monkeypatch)
    with pytest.raises(ModuleNotFoundError, match="onnxruntime is not installed"):
        choose()


@pytest.mark.parametrize(
    ("system", "sign", "expected"),
    [("linux", "/dev/nvidiactl", True), ("linux", "/dev/kfd", True), ("linux", "none", False)],
)
def test_signs_of_a_gpu(monkeypatch, system, sign, expected):
    monkeypatch.undo()
    monkeypatch.setattr(choice.sys, "platform", system)
    monkeypatch.setattr(choice.Path, "exists", lambda path: str(path) == sign)
    assert choice._may_have_gpu() is expected


def test_signs_elsewhere(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(choice.sys, "platform", "darwin")
    monkeypatch.setattr(choice.platform, "machine", lambda: "arm64")
    assert choice._may_have_gpu()
    monkeypatch.setattr(choice.platform, "machine", lambda: "x86_64")
    assert not choice._may_have_gpu()
    monkeypatch.setattr(choice.sys, "platform", "win32")
    monkeypatch.setattr(choice, "find_library", lambda name: "nvcuda.dll")
    assert choice._may_have_gpu()
