"""Without files of others an encoder searches all the same."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from PIL import Image

from glc.effort import look
from glc.effort.look import looks_through
from glc.effort.perception import installed
from glc.effort.texture import Texture
from tests.perception import random_network


@pytest.fixture
def nothing_there(tmp_path, monkeypatch):
    """A hub folder of torch without anything in it."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setattr(look, "installed", installed)
    installed.cache_clear()
    yield tmp_path
    installed.cache_clear()


def test_the_network_comes_first(monkeypatch):
    network = random_network()
    monkeypatch.setattr(look, "installed", lambda device: network)
    assert looks_through(shrink=2) == look.Smaller(network, 2)


def test_without_it_there_are_textures(nothing_there):
    assert isinstance(looks_through(), Texture)


@pytest.mark.parametrize("factor", [1, 2])
def test_a_look_at_smaller_pictures_is_one_at_smaller_pictures(factor):
    x = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    small = x.unflatten(2, (-1, factor)).unflatten(4, (-1, factor)).mean((3, 5))
    textures = Texture()
    found, expected = look.Smaller(textures, factor).features(x), textures.features(small)
    assert all(torch.allclose(a, b, atol=1e-3) for a, b in zip(found, expected, strict=True))
    seen, other = torch.ones(1, 1, 64, 96), textures.features(small.flip(3))
    seen[..., 50:] = 0.0
    distance = textures.distance(found, other, seen)
    assert distance > 0.0
    assert torch.equal(look.Smaller(textures, factor).distance(found, other, seen), distance)


_ELSEWHERE = """
import sys
from glc import Codec
codec = Codec.from_pretrained(sys.argv[1], runtime="torch", device="cpu")
sys.stdout.buffer.write(codec.encode(sys.argv[2], 50, effort=int(sys.argv[3])))
"""


@pytest.mark.parametrize("effort", [1, 5])
def test_the_same_bytes_twice_and_in_another_process(
    effort, nothing_there, micro, micro_path, make_picture, tmp_path
):
    path = tmp_path / "a.png"
    Image.fromarray(make_picture(70, 90)).save(path)
    data = micro.encode(path, 50, effort=effort)
    assert micro.encode(path, 50, effort=effort) == data
    micro.verify(data)
    command = [sys.executable, "-c", _ELSEWHERE, str(micro_path), str(path), str(effort)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    found = subprocess.run(command, env=environment, capture_output=True, check=True)
    assert found.stdout == data
