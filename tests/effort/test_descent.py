"""Gradient descent on y: it goes down, stays within its tile, and holds the rate."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from glc.coding_loop import CodingLoop
from glc.effort.descent import _MOVE, _RATE, Descent, _better, _Window
from glc.effort.levels import EFFORT_MAX, LEVELS, Level
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
        errors = window._errors(y_hat)
        loss = window._loss(errors, errors) + _RATE * bits / (wanted or float(bits))
        return float(loss), float(bits)


def badness(task, y):
    """Return what the best y has least of: errors, in view of those of one pass, and bits."""
    _, _, start, _ = task
    window, _ = window_of(task)
    with torch.no_grad():
        (first, one_pass), (errors, bits) = (
            (window._errors(y_hat), bits)
            for y_hat, bits in (window._code(torch.from_numpy(each)) for each in (start, y))
        )
        none = torch.full_like(bits, torch.inf)
        loss, rate = window._loss(errors, first), bits / one_pass
        return float(_better(torch.zeros(1, 1, 1, 1), none, torch.zeros(1, 1, 1, 1), loss, rate)[1])


def test_it_goes_down_and_holds_the_bits(task, monkeypatch):
    # Steps of the length that ships are too long for some random networks.
    monkeypatch.setattr("glc.effort.descent._MOVE", 0.02)
    codec, picture, y, z = task
    before, bits = measured(task, y)
    level = Level(steps=20)
    moved, _ = Descent(codec.networks)([picture], y, z, 60, np.ones(1), level)
    assert moved.shape == y.shape
    after, spent = measured(task, moved, bits)
    assert after < before
    assert spent < 1.1 * bits


def test_thrift_takes_bits_away_and_gives_them(task, monkeypatch):
    monkeypatch.setattr("glc.effort.descent._MOVE", 0.05)
    codec, picture, y, z = task
    level = Level(steps=2, fits=3, checked=False)
    moved, thrift = Descent(codec.networks)([picture], y, z, 60, np.ones(1), level)
    bits = [measured(task, moved + amount * thrift)[1] for amount in (-2.0, 0.0, 2.0, 4.0)]
    assert bits == sorted(bits, reverse=True)
    assert bits[0] > bits[-1]


def test_a_step_is_as_long_as_y_is_large(task):
    codec, picture, y, z = task
    moved, _ = Descent(codec.networks)([picture], y, z, 60, np.ones(1), Level(1, checked=False))
    inside = (slice(None), slice(None), slice(7), slice(8))
    step, size = (np.sqrt(np.square(values[inside]).mean()) for values in (moved - y, y))
    # The largest pulls are cut.
    assert 0.5 * _MOVE * size < step <= 1.001 * _MOVE * size


def test_parameters_stay_and_need_no_gradient(task):
    codec, picture, y, z = task
    before = {n: v.clone() for n, v in codec.networks.model.state_dict().items()}
    Descent(codec.networks)([picture], y, z, 60, np.ones(1), Level(steps=1))
    for name, value in codec.networks.model.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(p.grad is None for p in codec.networks.model.parameters())


def test_nothing_moves_outside_of_the_tile_and_of_the_picture(task):
    _, picture, y, _ = task
    window, _ = window_of(task)
    tile = Window(0, 64, 64, 128)
    start = torch.from_numpy(y)
    moved, thrift = window.descend(start, tile, np.ones(1), Level(steps=2, checked=False))
    changed = (moved != start).any(1)[0]
    assert changed[:4, 4:8].any()
    changed[:4, 4:8] = False
    assert not changed.any()
    saving = (thrift != 0).any(1)[0]
    assert saving[:4, 4:8].any()
    saving[:4, 4:8] = False
    assert not saving.any()
    # Rows beyond the hundredth of pixels are padding.
    below, _ = window.descend(start, Window(64, 0, 128, 128), np.ones(1), Level(2, checked=False))
    assert not (below != start)[:, :, 7:].any()


def test_what_lies_beyond_the_picture_is_no_error(task):
    """The loss is a mean over the picture's own pixels, whatever the padding shows."""
    codec, picture, y, z = task
    window, _ = window_of(task)
    assert float(window._seen.sum()) == picture.shape[0] * picture.shape[1]
    assert float(window._coded.sum()) == 7 * 8


def test_a_level_that_takes_longer_is_never_worse(task, monkeypatch):
    monkeypatch.setattr("glc.effort.descent._MOVE", 0.02)
    codec, picture, y, z = task
    made = []
    errors = _Window._errors

    def counted(self, y_hat):
        made[-1] += 1
        return errors(self, y_hat)

    bad = []
    for level in LEVELS:
        if not level.steps:
            found = y
        else:
            with monkeypatch.context() as patch:
                patch.setattr(_Window, "_errors", counted)
                made.append(0)
                found, _ = Descent(codec.networks)([picture], y, z, 60, np.ones(1), level)
        bad.append(badness(task, found))
    # Pictures that were decoded on the way are the time.
    assert made == sorted(made)
    assert len(set(made)) == 6
    # What is not checked may be worse than one pass; nothing that takes longer is worse than it.
    checked = next(effort for effort in range(1, EFFORT_MAX + 1) if LEVELS[effort].checked)
    assert checked == 5
    later = bad[checked:]
    assert later == sorted(later, reverse=True)
    assert later[0] <= min(bad[:checked])
    assert later[-1] < bad[0]


def test_what_is_worse_than_one_pass_is_not_taken(task, monkeypatch):
    codec, picture, y, z = task
    monkeypatch.setattr("glc.effort.descent._MOVE", 50.0)
    moved, _ = Descent(codec.networks)([picture], y, z, 60, np.ones(1), Level(2))
    assert np.array_equal(moved, y)
    moved, _ = Descent(codec.networks)([picture], y, z, 60, np.ones(1), Level(2, checked=False))
    assert badness(task, moved) > badness(task, y)


def test_losing_colours_or_pixels_costs_more_than_winning_them_brings(task):
    window, _ = window_of(task)
    first = torch.tensor([[-3.0], [-4.0], [-2.0]])
    for number in (0, 1):
        change = torch.zeros(3, 1)
        change[number] = 0.1
        less, same, more = (
            float(window._loss(first + sign * change, first)) for sign in (-1.0, 0.0, 1.0)
        )
        assert more - same > 1.5 * (same - less) > 0.0


def test_a_false_colour_counts_and_so_does_noise_less(task):
    """Errors of one mean square are worse where they are the same all over an area."""
    window, _ = window_of(task)
    noise = torch.from_numpy(np.random.default_rng(3).normal(size=window._x.shape)).float()
    found = []
    for error in (noise, noise.square().mean().sqrt() * torch.ones_like(noise)):
        shown = window._x + 0.1 * error
        window._model, model = _Shows(shown), window._model
        found.append(window._errors(torch.zeros(1)))
        window._model = model
    (noisy, flat) = found
    assert abs(float(noisy[0] - flat[0])) < 0.01
    assert flat[1] > noisy[1] + 3.0


class _Shows:
    """A model that decodes everything to one picture."""

    def __init__(self, picture):
        self._picture = picture

    def synthesis(self, y_hat, quality):
        return y_hat

    def show(self, l_hat):
        return self._picture
