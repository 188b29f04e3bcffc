"""Every way to run the networks that may round differently: settings of a process, environments.

A setting is taken and put back inside a process; an environment is fixed when it starts.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch

from glc import Codec
from glc.runtime.precision import in_autocast_of_caller

__all__ = ["COMPILED", "ENVIRONMENTS", "FULL", "QUICK", "Environment", "Setting", "compiled"]


@dataclass(frozen=True)
class Setting:
    """One way to run the networks inside a process."""

    threads: int = 1
    batch: int = 1
    channels_last: bool = False
    onednn: bool = True
    bf16: bool = False
    """The floating-point parts under autocast."""

    @property
    def name(self) -> str:
        """Short, for tables."""
        words = [f"{self.threads} thread", f"batch {self.batch}"]
        words += ["channels last"] * self.channels_last + ["no oneDNN"] * (not self.onednn)
        return ", ".join(words + ["bf16"] * self.bf16)

    @contextlib.contextmanager
    def active(self, codec: Codec) -> Iterator[None]:
        """Apply the setting to this process and to a codec, and take it back."""
        before = torch.get_num_threads()
        memory_format = torch.channels_last if self.channels_last else torch.contiguous_format
        torch.set_num_threads(self.threads)
        # No option of the codec: what is tried here is that it could not matter.
        _modules_of(codec).to(memory_format=memory_format)
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", category=UserWarning, module="torch")
                with (
                    torch.backends.mkldnn.flags(enabled=self.onednn),
                    torch.autocast(
                        torch.device(codec.device).type, torch.bfloat16, enabled=self.bf16
                    ),
                    in_autocast_of_caller(),
                ):
                    yield
        finally:
            torch.set_num_threads(before)


FULL = tuple(
    Setting(*values)
    for values in itertools.product(
        (1, 2, 4), (1, 3, 8), (False, True), (True, False), (False, True)
    )
)
"""Every combination."""

QUICK = (
    Setting(),
    Setting(threads=2, batch=3, channels_last=True),
    Setting(threads=4, batch=8, onednn=False),
    Setting(threads=1, batch=8, channels_last=True, onednn=False, bf16=True),
    Setting(threads=2, batch=1, bf16=True),
)
"""Every value of every field, and each pair of the two-valued ones."""

COMPILED = (Setting(), Setting(threads=2, batch=8))
"""Few, since every one is compiled anew."""


@dataclass(frozen=True)
class Environment:
    """How a process is started."""

    name: str
    variables: dict[str, str] = field(default_factory=dict)
    """Environment variables on top of those that are there; torch reads them once."""
    device: str = "cpu"
    compiled: bool = False

    @property
    def missing(self) -> str:
        """Why it cannot be had on this machine; empty if it can."""
        if self.device == "cuda" and not torch.cuda.is_available():
            return "no CUDA device"
        if self.compiled and not any(map(shutil.which, ("c++", "g++", "clang++"))):
            return "no C++ compiler"
        return ""

    def settings(self, wanted: Sequence[Setting]) -> list[Setting]:
        """Return those that are tried here."""
        return list(COMPILED if self.compiled else wanted)


ENVIRONMENTS = (
    Environment("as it is"),
    Environment("ATen default", {"ATEN_CPU_CAPABILITY": "default"}),
    Environment("ATen AVX2", {"ATEN_CPU_CAPABILITY": "avx2"}),
    Environment("ATen AVX512", {"ATEN_CPU_CAPABILITY": "avx512"}),
    Environment("oneDNN SSE4.1", {"ONEDNN_MAX_CPU_ISA": "SSE41"}),
    Environment("oneDNN AVX2", {"ONEDNN_MAX_CPU_ISA": "AVX2"}),
    Environment("oneDNN AVX512", {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}),
    Environment("MKL compatible", {"MKL_CBWR": "COMPATIBLE"}),
    Environment("oldest", {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}),
    Environment("compiled", compiled=True),
    Environment("CUDA", device="cuda"),
    Environment("CUDA compiled", device="cuda", compiled=True),
)


def _modules_of(codec: Codec) -> Any:
    """Return the modules of a codec of runtime torch."""
    return cast("Any", codec.networks).model


def compiled(codec: Codec) -> Codec:
    """Compile every part of the networks, the integer one included, and return the codec."""
    from torch._dynamo import config

    # Else torch would quietly go on without the compiler after eight shapes or thread counts.
    config.recompile_limit = 64
    config.fail_on_recompile_limit_hit = True
    model = _modules_of(codec)
    for part in model.children():
        part.compile()
    scales = model.scale_map
    # Not its forward, which it has not: the methods that the coding loop calls.
    for name in ("base", "context", "to_rows"):
        setattr(scales, name, torch.compile(getattr(scales, name)))
    return codec
