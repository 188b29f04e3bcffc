"""Pictures through JavaScript and onnxruntime-web, in Node: pixels and bytes are Python's."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from glc.runtime.mixture import mix
from tests.web.conftest import levels

pytestmark = pytest.mark.system

SIZES = ((64, 64), (45, 130), (200, 150))
QUALITIES = (15, 60, 95)


@pytest.mark.parametrize("side", [None, 64, 128], ids=["whole", "tiles of 64", "tiles of 128"])
def test_pixels_and_bytes(side, code, request, make_picture):
    for kind in ("micro", "linear", "two_decoders"):
        codec, path = (request.getfixturevalue(name) for name in (kind, f"{kind}_path"))
        pictures = [make_picture(*size, seed) for seed, size in enumerate(SIZES)]
        pairs = [(picture, quality) for picture in pictures for quality in QUALITIES]
        files = [codec.encode(*pair) for pair in pairs]
        shown, coded = code(path, files, pairs, side=side)
        for data, pixels in zip(files, shown, strict=True):
            assert np.abs(pixels - levels(codec.decode(data))).max() <= 1
        assert coded == files


@pytest.mark.parametrize("realism", [0, 40, 100])
@pytest.mark.parametrize("kind", ["linear", "two_decoders"])
def test_realism(kind, realism, code, request, make_picture):
    codec, path = (request.getfixturevalue(name) for name in (kind, f"{kind}_path"))
    data = codec.encode(make_picture(100, 150), 60)
    ((shown,), _) = code(path, [data], realism=realism)
    assert np.abs(shown - levels(codec.decode(data, realism))).max() <= 1
    if not realism:
        assert np.abs(shown - levels(codec.decode(data, 100))).max() > 1


def test_mixtures_are_those_of_python(probe):
    """At every realism, of every two levels."""
    faithful, realistic = (a.astype(np.uint8) for a in np.mgrid[:256, :256])
    mixed = [mix(faithful, realistic, realism / 100) for realism in range(101)]
    expected = [hashlib.sha256(pixels.tobytes()).hexdigest() for pixels in mixed]
    assert probe("mixtures", 100) == expected


def test_grey_and_alpha(code, micro, micro_path, make_picture):
    masked = make_picture(64, 72, 3, channels=4)
    masked[..., 3] = np.where(np.add.outer(np.arange(64), np.arange(72)) < 60, 255, 40)
    files = [micro.encode(masked, 40), micro.encode(make_picture(64, 80, 1, channels=1), 40)]
    shown, (coded,) = code(micro_path, files, [(masked, 40)])
    for data, pixels in zip(files, shown, strict=True):
        assert np.abs(pixels - levels(micro.decode(data))).max() <= 1
    assert np.array_equal(shown[0][:, 3], masked[..., 3].ravel())
    assert (shown[1][:, :1] == shown[1][:, :3]).all()
    # Only the coding of the mask differs: Python has VP8L.
    back = micro.decode(coded)
    assert np.array_equal(levels(back), levels(micro.decode(files[0])))
