"""What the processor is fast at: asked of torch, and no where torch cannot say."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from glc.training.engine import processor
from glc.training.engine.muon import Muon
from glc.training.engine.processor import bf16_is_fast, wants_bf16

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    processor._cpu_has_bf16.cache_clear()
    yield
    processor._cpu_has_bf16.cache_clear()


@pytest.mark.parametrize(
    ("capabilities", "fast"),
    [
        ({"avx512_bf16": True}, True),
        ({"amx_bf16": True, "avx512_bf16": False}, True),
        ({"avx512_f": True, "avx2": True}, False),
        ({}, False),
    ],
)
def test_instructions_decide(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], fast: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert bf16_is_fast(CPU) == fast
    assert wants_bf16("auto", CPU) == fast
    assert wants_bf16("true", CPU)
    assert not wants_bf16("false", CPU)


@pytest.mark.parametrize("older", [True, False, None])
def test_older_torch_is_asked_by_its_own_name(
    monkeypatch: pytest.MonkeyPatch, older: bool | None
) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    if older is not None:
        name = "_is_avx512_bf16_supported"
        monkeypatch.setattr(torch.cpu, name, lambda: older, raising=False)
    assert bf16_is_fast(CPU) == bool(older)


def test_unknown_devices_are_not_trusted() -> None:
    assert not bf16_is_fast(torch.device("meta"))


@pytest.mark.parametrize("fast", [True, False])
def test_muon_computes_in_what_is_fast(monkeypatch: pytest.MonkeyPatch, fast: bool) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": fast}, raising=False)
    used = []
    original = torch.Tensor.to

    def spy(self: torch.Tensor, *args: object, **kwargs: object) -> torch.Tensor:
        used.extend(a for a in args if isinstance(a, torch.dtype))
        return original(self, *args, **kwargs)  # type: ignore[call-overload,no-any-return]

    parameter = torch.nn.Parameter(torch.zeros(4, 6))
    parameter.grad = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
    optimiser = Muon([parameter], lr=0.1)
    monkeypatch.setattr(torch.Tensor, "to", spy)
    optimiser.step()
    assert used == [torch.bfloat16 if fast else torch.float32]
    assert parameter.dtype == torch.float32
