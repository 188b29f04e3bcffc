"""Gradient descent on y: it goes down, stays within its tile, and holds the rate."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from glc.coding_loop import CodingLoop
from glc.effort.descent import _RATE, Descent, _Window
from glc.effort.levels import Level
from glc.tiling.geometry import Window


@pytest.fixture(scope="module", params=["micro", "linear", "two_decoders"])
def task(request, make_picture):
    codec = request.getfixturevalue(request.param)
    picture = make_picture(100, 120)
    loop = CodingLoop(codec.networks, [picture.shape[:2]], 60)
    y, z = loop.transform(loop.latent([picture]))
    return codec, picture, y, z


def window_of(task):
    codec, picture, y, z = task
    bounds = Window.padded(*picture.shape[:2])
    return _Window(codec.networks.model, torch.device("cpu"), [picture], bounds, z, 60), bounds


def measured(task, y, wanted=None):
    """Return what is descended on, with the bits in it, and the bits."""
    window, _ = window_of(task)
    with torch.no_grad():
        y_hat, bits = window._code(torch.from_numpy(y))
        loss = window._loss(y_hat) + _RATE * bits / (wanted or float(bits))
        return float(loss), float(bits)


def test_it_goes_down_and_holds_the_bits(task):
    codec, picture, y, z = task
    before, bits = measured(task, y)
    level = Level(steps=20, move=0.1, checked=True)
    moved, _ = Descent(codec.networks)([picture], y, z, 60, np.ones(1), level)
    assert moved.shape == y.shape
    after, spent = measured(task, moved, bits)
    assert after < before
    assert spent < 1.1 * bits


def test_thrift_takes_bits_away_and_gives_them(task):
    codec, picture, y, z = task
    level = Level(steps=2, fits=3, move=0.05)
    moved, thrift = Descent(codec.networks)([picture], y, z, 60, np.ones(1), level)
    bits = [measured(task, moved + amount * thrift)[1] for amount in (-2.0, 0.0, 2.0, 4.0)]
    assert bits == sorted(bits, reverse=True)
    assert bits[0] > bits[-1]
    # Who takes what comes is not told what would be thriftier.
    level = Level(steps=2, fits=1, move=0.05)
    again, none = Descent(codec.networks)([picture], y, z, 60, np.ones(1), level)
    assert np.array_equal(again, moved)
    assert not none.any()


def test_a_step_is_as_long_as_y_is_large(task):
    codec, picture, y, z = task
    moved, _ = Descent(codec.networks)([picture], y, z, 60, np.ones(1), Level(1, move=0.1))
    inside = (slice(None), slice(None), slice(7), slice(8))
    step, size = (np.sqrt(np.square(values[inside]).mean()) for values in (moved - y, y))
    # The largest pulls are cut.
    assert 0.05 * size < step <= 0.1001 * size


def test_parameters_stay_and_need_no_gradient(task):
    codec, picture, y, z = task
    before = {n: v.clone() for n, v in codec.networks.model.state_dict().items()}
    Descent(codec.networks)([picture], y, z, 60, np.ones(1), Level(steps=1, move=0.05))
    for name, value in codec.networks.model.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(p.grad is None for p in codec.networks.model.parameters())


def test_nothing_moves_outside_of_the_tile_and_of_the_picture(task):
    _, picture, y, _ = task
    window, _ = window_of(task)
    tile = Window(0, 64, 64, 128)
    start = torch.from_numpy(y)
    moved, thrift = window.descend(start, tile, np.ones(1), Level(steps=2, move=0.1))
    changed = (moved != start).any(1)[0]
    assert changed[:4, 4:8].any()
    changed[:4, 4:8] = False
    assert not changed.any()
    saving = (thrift != 0).any(1)[0]
    assert saving[:4, 4:8].any()
    saving[:4, 4:8] = False
    assert not saving.any()
    # Rows beyond the hundredth of pixels are padding.
    below, _ = window.descend(start, Window(64, 0, 128, 128), np.ones(1), Level(2, move=0.1))
    assert not (below != start)[:, :, 7:].any()


def test_what_lies_beyond_the_picture_is_no_error(task):
    """The loss is a mean over the picture's own pixels, whatever the padding shows."""
    codec, picture, y, z = task
    window, _ = window_of(task)
    assert float(window._seen.sum()) == picture.shape[0] * picture.shape[1]
    assert float(window._coded.sum()) == 7 * 8
