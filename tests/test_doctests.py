"""The examples in docstrings: every public call has one, and what it shows is what happens."""

from __future__ import annotations

import doctest
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import glc
import glc.pillow
from eval import pictures
from eval.codecs import adapters
from eval.metrics import grid, pixels
from glc import bitstream, dataset, image
from glc.weights import checkpoint, registry

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

WITHOUT = {
    "glc.weights.checkpoint.save",
    "glc.weights.checkpoint.read_with_metadata",
    "glc.weights.registry.model_folders",
}
"""What is for training, or for other modules of ``glc.weights``, alone."""


def public_calls() -> Iterator[tuple[str, Any]]:
    """Yield name and object of every function, and every method of a class, that is public."""
    modules = {"glc": glc, "glc.bitstream": bitstream, "glc.image": image}
    modules |= {"glc.weights.checkpoint": checkpoint, "glc.weights.registry": registry}
    for module_name, module in modules.items():
        for name in module.__all__:
            found = getattr(module, name)
            if inspect.isfunction(found):
                yield f"{module_name}.{name}", found
    for name, found in vars(glc.Codec).items():
        if not name.startswith("_") and (
            inspect.isfunction(found) or isinstance(found, classmethod)
        ):
            yield f"glc.Codec.{name}", getattr(glc.Codec, name)
    for name in ("Archive", "ArchiveWriter", "BatchDecoder", "GlcDataset", "GlcStream"):
        yield f"glc.dataset.{name}", getattr(dataset, name)
    for name in ("GlcDecoder", "GlcEncoder", "compress"):
        yield f"glc.dataset.{name}", getattr(dataset, name)
    yield "glc.Codec", glc.Codec
    yield "glc.bitstream.Container.checksum_of", bitstream.Container.checksum_of
    yield "glc.pillow.register", glc.pillow.register
    for call in (adapters.build, grid.grid_score_db, pictures.find, pictures.load):
        yield f"{call.__module__}.{call.__name__}", call
    for call in (pixels.psnr_db, pixels.colour16, pixels.ms_ssim_db):
        yield f"{call.__module__}.{call.__name__}", call


CALLS = {name: found for name, found in public_calls() if name not in WITHOUT}


@pytest.fixture(scope="module")
def codec():
    return glc.Codec.from_pretrained(runtime="onnxruntime")


@pytest.fixture
def world(codec, tmp_path, monkeypatch, make_picture):
    """The names that examples use, in a folder with the pictures that they read."""
    (tmp_path / "pictures").mkdir()
    for number, name in enumerate(("photo", "a", "b", "pictures/one", "pictures/two")):
        Image.fromarray(make_picture(64, 96, number)).save(tmp_path / f"{name}.jpg", quality=95)
    monkeypatch.chdir(tmp_path)
    # What a user has who chooses nothing.
    monkeypatch.delenv("GLC_RUNTIME", raising=False)
    data = codec.encode("photo.jpg")
    return {"glc": glc, "codec": codec, "data": data, "np": np, "Path": Path}


@pytest.mark.parametrize("name", CALLS)
def test_the_example_of(name, world):
    finder = doctest.DocTestFinder(recurse=False)
    (found,) = finder.find(CALLS[name], name, globs=world)
    assert found.examples, "every public call has an example"
    said: list[str] = []
    doctest.DocTestRunner(optionflags=FLAGS).run(found, out=said.append)
    assert not said, "".join(said)
