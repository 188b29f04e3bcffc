"""Novelty scores of pictures, and how well each ranks unseen kinds above familiar ones.

A likelihood confounds two things: that a picture is new, and that it is complex (arXiv 1909.11480,
whose remedy is to subtract the size of a general compressor). So each score of the model has a twin
here without what the sizes of JPEG and PNG explain, and these two stand beside them.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from eval.pictures import RGB
from glc import Codec

Scores: TypeAlias = "dict[str, NDArray[np.float64]]"
"""One value per picture under the name of each score; larger is newer."""

_NEIGHBOURS = 5
_RESAMPLES = 2000


def raw_scores(
    codec: Codec, pictures: Sequence[RGB], quality: int
) -> tuple[Scores, NDArray[np.float64]]:
    """Return scores that need no reference, and an embedding of every picture.

    Args:
        codec: the model.
        pictures: all of one size.
        quality: at which its bits are counted.

    Returns:
        ``bits`` per pixel; ``error``, the mean squared distance of l and l_hat; ``jpeg`` (quality
        75) and ``png`` bits per pixel. And (n, C_l) means of l over all positions.
    """
    files = codec.encode_batch(pictures, quality)
    latents, decoded = codec.latents_batch(pictures), codec.latents_batch(files)
    errors = [np.square(l - l_hat).mean() for l, l_hat in zip(latents, decoded, strict=True)]
    scores = {
        "bits": codec.surprise_batch(pictures, quality),
        "error": errors,
        "jpeg": [_size(p, "JPEG", quality=75, optimize=True) for p in pictures],
        "png": [_size(p, "PNG") for p in pictures],
    }
    arrays = {name: np.array(values, np.float64) for name, values in scores.items()}
    return arrays, np.stack([l.mean(axis=(0, 1)) for l in latents]).astype(np.float64)


def corrected(scores: Scores, reference: Scores) -> Scores:
    """Return the scores of the model less what their reference set's JPEG sizes explain.

    The logarithm of each is predicted from those of JPEG and PNG by least squares on the
    reference; the score is what the prediction misses, upwards (``bits-``, ``error-``), or by how
    much it misses in either direction (``|bits-|``): too cheap is strange, too.
    """

    def complexity(of: Scores) -> NDArray[np.float64]:
        return np.stack([np.log(of["jpeg"]), np.log(of["png"]), np.ones(len(of["png"]))], axis=1)

    found: Scores = {}
    for name in ("bits", "error"):
        weights, *_ = np.linalg.lstsq(complexity(reference), np.log(reference[name]), rcond=None)
        found[f"{name}-"] = np.log(scores[name]) - complexity(scores) @ weights
    found["|bits-|"] = np.abs(found["bits-"])
    return found


def distances(embedded: NDArray[np.float64], memory: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean distance to the nearest five of a memory, in units of its spread.

    The form of the episodic novelty of Never Give Up (arXiv 2002.06038, section 2), on the mean
    of l in the place of a learned embedding. (n, C), (m, C) -> (n,).
    """
    scale = memory.std(axis=0) + 1e-6
    gaps = (embedded[:, None] - memory[None]) / scale
    return np.sort(np.sqrt(np.square(gaps).sum(axis=2)), axis=1)[:, :_NEIGHBOURS].mean(axis=1)


def auc(familiar: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return the chance that a picture of the other kind scores higher; ties count one half."""
    ordered = np.sort(familiar)
    below = np.searchsorted(ordered, other, side="left")
    upto = np.searchsorted(ordered, other, side="right")
    return float((below + upto).mean() / (2 * len(familiar)))


def interval(
    familiar: NDArray[np.float64], other: NDArray[np.float64], groups: Sequence[str], seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of ``auc``.

    Args:
        familiar: scores.
        other: scores.
        groups: for each familiar picture, what it was cut from: pieces of one photograph are drawn
            together, since they are not independent.
        seed: of the resampling.
    """
    rng = np.random.default_rng(seed)
    names = sorted(set(groups))
    members = [np.flatnonzero(np.array(groups) == name) for name in names]
    found = []
    for _ in range(_RESAMPLES):
        drawn = np.concatenate([members[i] for i in rng.integers(0, len(names), len(names))])
        found.append(auc(familiar[drawn], rng.choice(other, len(other))))
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def _size(picture: RGB, kind: str, **options: object) -> float:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, kind, **options)
    return 8 * stream.tell() / (picture.shape[0] * picture.shape[1])
