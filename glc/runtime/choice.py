"""Which runtime computes, and on which device. Imports neither before it is chosen."""

from __future__ import annotations

import os
import platform
import sys
from ctypes.util import find_library
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from glc.install_hint import install_command

if TYPE_CHECKING:
    from glc.runtime.protocol import Networks
    from glc.weights.checkpoint import Checkpoint

__all__ = ["AUTO", "FLOAT32", "INT8", "PRECISIONS", "RUNTIMES", "choose", "open_networks"]

AUTO = "auto"
ONNX, TORCH = RUNTIMES = ("onnxruntime", "torch")
FLOAT32, INT8 = PRECISIONS = ("float32", "int8")

RUNTIME_VARIABLE = "GLC_RUNTIME"
"""Environment variable: what ``auto`` means where both runtimes can do what is asked for."""


def choose(runtime: str = AUTO, device: str = AUTO, precision: str = FLOAT32) -> str:
    """Return the runtime that these mean together.

    Args:
        runtime: auto, onnxruntime or torch. auto is torch where it is installed and finds a GPU, or
            where the device asks for one; else onnxruntime, which starts sooner and takes less
            memory. GLC_RUNTIME in the environment changes what auto means.
        device: auto, cpu, cuda, cuda:1, mps.
        precision: float32, or int8, which onnxruntime alone can do.

    Raises:
        ModuleNotFoundError: the runtime is not installed; the message says what brings it.
        ValueError: no such runtime or precision, or one that does not go with the device.
    """
    if runtime not in (AUTO, *RUNTIMES):
        raise ValueError(f"runtime: expected auto or one of {RUNTIMES}, found {runtime!r}")
    if precision not in PRECISIONS:
        raise ValueError(f"precision: expected one of {PRECISIONS}, found {precision!r}")
    on_cpu = device in (AUTO, "cpu")
    if precision == INT8 and (runtime == TORCH or not on_cpu):
        raise ValueError(f"precision {INT8} is for a CPU and the runtime {ONNX}")
    if runtime == AUTO:
        runtime = ONNX if precision == INT8 else TORCH if not on_cpu else _usual(device)
    if runtime == ONNX and not on_cpu:
        raise ValueError(f"device {device}: {ONNX} computes on a CPU; take the runtime {TORCH}")
    if find_spec(runtime) is None:
        brings = install_command(TORCH if runtime == TORCH else "")
        why = f"the runtime {runtime} is not installed; {brings} brings it"
        raise ModuleNotFoundError(why, name=runtime)
    return runtime


def open_networks(
    weights: Checkpoint, runtime: str = AUTO, device: str = AUTO, precision: str = FLOAT32
) -> Networks:
    """Make the networks of a model; arguments and errors are those of ``choose``.

    Raises:
        WeightsError: malformed weights, or weights that know no ranges for int8.
    """
    if choose(runtime, device, precision) == TORCH:
        from glc.runtime.torch import TorchNetworks

        return TorchNetworks(weights, device)
    from glc.runtime.onnx import open_model

    return open_model(weights, precision == INT8)


def _usual(device: str) -> str:
    """Return what ``auto`` means on a CPU, or where the device is still open."""
    wanted = os.environ.get(RUNTIME_VARIABLE, "")
    if wanted and wanted not in RUNTIMES:
        raise ValueError(f"{RUNTIME_VARIABLE}: expected one of {RUNTIMES}, found {wanted!r}")
    if wanted:
        return wanted
    if device == AUTO and _may_have_gpu() and find_spec(TORCH) is not None:
        from glc.runtime.torch import pick_device

        if pick_device(AUTO) != "cpu":
            return TORCH
    return ONNX if find_spec(ONNX) is not None or find_spec(TORCH) is None else TORCH


def _may_have_gpu() -> bool:
    """Say whether torch could find a GPU here, from signs that cost nothing to look at."""
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    if sys.platform == "win32":
        return find_library("nvcuda") is not None
    # The drivers of NVIDIA, of NVIDIA inside a Windows subsystem, and of AMD.
    return any(Path(sign).exists() for sign in ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd"))
