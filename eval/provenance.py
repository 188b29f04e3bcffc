"""Where figures come from: date, machine and library versions."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

_PACKAGES = ("torch", "torchvision", "lpips", "pytorch-msssim", "torchmetrics", "pillow", "numpy")


def describe(device: str) -> dict[str, Any]:
    """Return what a report says of its making."""
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "hardware": hardware(device),
        "packages": {name: _version(name) for name in _PACKAGES},
    }


def hardware(device: str) -> str:
    """Return the machine in words: processor, cores and, when used, the accelerator."""
    cores = f"{os.cpu_count()} cores, {platform.machine()}"
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(errors="replace").splitlines()
        model = next((s.split(":")[1].strip() for s in lines if s.startswith("model name")), model)
    words = f"{model} ({cores})"
    return words if device == "cpu" else f"{words}, {torch.cuda.get_device_name()}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
