"""Without files of others an encoder searches all the same."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from PIL import Image

from glc.effort import descent, look
from glc.effort.look import looks_through
from glc.effort.perception import installed
from glc.effort.texture import Texture
from tests.perception import random_network


@pytest.fixture
def nothing_there(tmp_path, monkeypatch):
    """A hub folder of torch without anything in it."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setattr(descent, "looks_through", looks_through)
    installed.cache_clear()
    yield tmp_path
    installed.cache_clear()


def test_the_network_comes_first(monkeypatch):
    network = random_network()
    monkeypatch.setattr(look, "installed", lambda device: network)
    assert looks_through() is network


def test_without_it_there_are_textures(nothing_there):
    assert isinstance(looks_through(), Texture)


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
