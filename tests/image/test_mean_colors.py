"""Mean colours of 64 x 64 pixels: what is missing, and the integers that add it."""

from __future__ import annotations

import numpy as np
import pytest

from glc.image.mean_colors import CELL, STEPS, add, missing
from glc.tiling.sizes import grid_of

SIZES = ((1, 1), (64, 64), (65, 130))


def photo(height: int, width: int, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = 128 + 60 * np.sin(x[..., None] / (17, 31, 23)) * np.cos(y[..., None] / (29, 13, 41))
    return (waves + rng.normal(0, 8, waves.shape)).clip(0, 255).astype(np.uint8)


def by_the_text(pixels: np.ndarray, symbols: np.ndarray) -> np.ndarray:
    """docs/format.md, section 5.3, pixel by pixel, in Python's unbounded integers."""
    height, width, _ = pixels.shape
    rows, columns = grid_of(height, width)

    def colours(y: int, x: int) -> list[int]:
        ky, kb, kr = (int(v) for v in symbols[:, y, x])
        units = (
            65536 * 12 * ky + 91881 * 6 * kr,
            65536 * 12 * ky - 22554 * 6 * kb - 46802 * 6 * kr,
            65536 * 12 * ky + 116130 * 6 * kb,
        )
        return [min(max((unit + 512) // 1024, -16320), 16320) for unit in units]

    def near(p: int, count: int) -> list[tuple[int, int]]:
        n = (2 * p + 1 - 64) // 128
        w = 2 * p + 1 - 64 - 128 * n
        return [(min(max(n, 0), count - 1), 128 - w), (min(max(n + 1, 0), count - 1), w)]

    result = np.empty_like(pixels)
    for p in range(height):
        for q in range(width):
            total = [0, 0, 0]
            for y, a in near(p, rows):
                for x, b in near(q, columns):
                    total = [t + a * b * c for t, c in zip(total, colours(y, x), strict=True)]
            for channel, t in enumerate(total):
                value = int(pixels[p, q, channel]) + (t + 2**19) // 2**20
                result[p, q, channel] = min(max(value, 0), 255)
    return result


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("largest", [3, 32767])
def test_adding_is_what_the_format_says(size, largest):
    rng = np.random.default_rng(3)
    pixels = photo(*size)
    symbols = rng.integers(-largest, largest + 1, (3, *grid_of(*size)), np.int32)
    before = pixels.copy()
    assert np.array_equal(add(pixels, symbols), by_the_text(pixels, symbols))
    assert np.array_equal(pixels, before)


def test_zeros_change_nothing():
    pixels = photo(100, 70)
    assert np.array_equal(add(pixels, np.zeros((3, 2, 2), np.int32)), pixels)


@pytest.mark.parametrize("size", SIZES)
def test_mean_colours_come_near_the_original(size):
    """A drift in brightness and tint is found, and less than a step of it is left."""
    original = photo(*size)
    drift = np.array((25, -20, 35))
    decoded = (original.astype(int) + drift).clip(0, 255).astype(np.uint8)
    again = add(decoded, missing(original, decoded))
    cells = [
        (again[y : y + CELL, x : x + CELL].astype(int) - original[y : y + CELL, x : x + CELL])
        for y in range(0, size[0], CELL)
        for x in range(0, size[1], CELL)
    ]
    largest = max(np.abs(cell.mean(axis=(0, 1))).max() for cell in cells)
    # Each of the three is within .62 of its step; blue is brightness and 1.772 of a difference.
    assert largest < 0.62 * (STEPS[0] + 1.772 * STEPS[1]) + 1
    assert largest < np.abs(drift).max() / 2


def test_a_drift_that_changes_over_the_picture():
    original = photo(256, 320)
    slope = np.linspace(-40, 40, 320)[None, :, None]
    decoded = (original + slope).clip(0, 255).astype(np.uint8)
    again = add(decoded, missing(original, decoded))

    def error(picture: np.ndarray) -> float:
        return float(np.square(picture.astype(int) - original).mean())

    assert error(again) < 0.15 * error(decoded)


def test_a_picture_that_is_right_needs_nothing():
    original = photo(130, 90)
    noise = np.random.default_rng(5).integers(-20, 21, original.shape)
    decoded = (original + noise).clip(0, 255).astype(np.uint8)
    assert not missing(original, original).any()
    assert not missing(original, decoded).any()


def test_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match="decoded"):
        missing(photo(64, 64), photo(64, 65))
    with pytest.raises(ValueError, match="symbols"):
        add(photo(64, 65), np.zeros((3, 1, 1), np.int32))
