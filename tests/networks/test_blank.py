"""Networks that are built only to be overwritten."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from glc.networks.blank import WithoutRandomNumbers
from glc.networks.model import GlcModel

ROOT = Path(__file__).parent.parent.parent


def test_the_generator_does_not_move(micro_config):
    before = torch.get_rng_state()
    with WithoutRandomNumbers():
        blank = GlcModel(micro_config)
        assert not torch.rand(3).any()
        assert torch.nn.init.uniform_(tensor=torch.ones(2)).tolist() == [1.0, 1.0]
    assert torch.equal(torch.get_rng_state(), before)
    drawn = GlcModel(micro_config)
    assert not torch.equal(torch.get_rng_state(), before)
    shapes = {name: value.shape for name, value in drawn.state_dict().items()}
    assert {name: value.shape for name, value in blank.state_dict().items()} == shapes


@pytest.mark.system
def test_loading_a_codec_imports_no_compiler(micro_path):
    """Which torch does by itself for some operations, and which takes a second."""
    code = """
import sys
from glc import Codec
codec = Codec.from_pretrained(sys.argv[1], device="cpu")
print(sorted({"sympy", "triton", "torch._dynamo", "torch._inductor"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(micro_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "[]", done.stderr
