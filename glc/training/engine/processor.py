"""What the device at hand is fast at, so that one configuration fits every machine.

Knows nothing of networks or settings.
"""

from __future__ import annotations

from functools import cache

import torch


def wants_bf16(choice: str, device: torch.device) -> bool:
    """Say whether bf16 is to be used.

    Args:
        choice: auto, which follows the device, true or false.
        device: where the networks run.
    """
    return bf16_is_fast(device) if choice == "auto" else choice == "true"


def bf16_is_fast(device: torch.device) -> bool:
    """Say whether the device multiplies matrices faster in bf16 than in float32.

    Without instructions of its own for bf16 a processor converts to float32 and back, which takes
    several times as long. What torch cannot say counts as no.
    """
    if device.type == "cuda":
        return _cuda_has_bf16()
    return device.type == "cpu" and _cpu_has_bf16()


@cache
def _cuda_has_bf16() -> bool:
    # Version 8 (Ampere) is the first with bf16; later torch would also count emulation.
    return torch.version.hip is not None or torch.cuda.get_device_capability()[0] >= 8


@cache
def _cpu_has_bf16() -> bool:
    """Look for AVX512-BF16 or AMX; by the names of torch 2.6 and later, then by older ones."""
    capabilities = getattr(torch.cpu, "get_capabilities", None)
    if capabilities is not None:
        found = capabilities()
        return bool(found.get("avx512_bf16") or found.get("amx_bf16"))
    older = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(older()) if older is not None else False
