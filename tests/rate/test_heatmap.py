"""Colours that rise in lightness, at the right places."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from glc.rate.heatmap import colours, draw


def lightness(colour: np.ndarray) -> np.ndarray:
    """CIE L* of sRGB."""
    c = colour / 255.0
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    y = linear @ np.array([0.2126, 0.7152, 0.0722])
    return np.where(y > 0.008856, 116 * np.cbrt(y) - 16, 903.3 * y)


def test_more_is_always_lighter_and_about_evenly_so():
    steps = np.diff(lightness(colours(np.linspace(0.0, 1.0, 11))))
    assert steps.min() > 0.5 * steps.mean()
    assert steps.max() < 2.0 * steps.mean()


def test_each_square_has_the_colour_of_its_value():
    values = np.array([[0.0, 10.0, 5.0], [2.0, 0.0, 10.0]])
    picture = Image.new("RGB", (40, 30), (200, 30, 30))
    drawn = np.asarray(draw(picture, values, 16, "things"))
    assert drawn.shape[1] == 40
    assert drawn.shape[0] > 30
    light = lightness(drawn[:30].astype(float))
    centres = light[[8, 24]][:, [8, 24, 36]]
    assert np.array_equal(np.argsort(centres[0]), [0, 2, 1])
    assert centres[0, 1] == pytest.approx(centres[1, 2])
    assert centres[0, 0] < centres[1, 0] < centres[0, 2]


@pytest.mark.parametrize(("size", "values"), [((1, 1), 0.0), ((300, 16), 7.3), ((20, 20), 1e-5)])
def test_any_size_and_any_values(size, values):
    grid = np.full((-(-size[1] // 16), -(-size[0] // 16)), values)
    drawn = draw(Image.new("L", size, 90), grid, 16, "things")
    assert (drawn.mode, drawn.width) == ("RGB", size[0])
