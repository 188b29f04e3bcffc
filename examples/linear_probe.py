"""What a line can read from the latents: classify pictures by their mean latent, without training.

Each class is a folder or an uncompressed tar of pictures. A linear classifier (ridge regression to
one value per class) is fitted to mean and spread of the latent vectors of each picture, and to
those of ``.glc`` files without ever making pixels from them; a thumbnail's colours are the rival.

    pip install '.[eval]'
    python examples/linear_probe.py pets=pets.tar other=photos/ --limit 150
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from eval.research.surprise import read_set
from glc import Codec

Features = NDArray[np.float64]


def pooled(latents: Sequence[NDArray[np.float32]]) -> Features:
    """(h, w, C) arrays -> (n, 2 C): mean and standard deviation over positions."""
    return np.stack([np.concatenate([l.mean((0, 1)), l.std((0, 1))]) for l in latents])


def thumbnails(pictures: Sequence[NDArray[np.uint8]], side: int) -> Features:
    """(H, W, 3) pictures -> (n, 3 side^2): the colours of a thumbnail."""
    shrunk = [Image.fromarray(p).resize((side, side), Image.Resampling.BOX) for p in pictures]
    return np.stack([np.asarray(image, np.float64).ravel() / 255 for image in shrunk])


def accuracy(
    x: Features, labels: NDArray[np.int64], groups: Sequence[str], folds: int = 5
) -> float:
    """Return the share of pictures that a probe fitted to other photographs names rightly.

    Pictures of one group (pieces of one photograph) are always in the same fold. The strength of
    the ridge is chosen on the pictures that a probe is fitted to.
    """
    names = {name: number for number, name in enumerate(dict.fromkeys(groups))}
    order = np.random.default_rng(0).permutation(len(names))
    fold = order[[names[group] for group in groups]] % folds
    right = 0
    for held in range(folds):
        fitted, tested = fold != held, fold == held
        inner = fold[fitted] == (held + 1) % folds
        xs, ys = x[fitted], labels[fitted]
        strengths = 10.0 ** np.arange(-2, 5)
        scores = [_right(xs[~inner], ys[~inner], xs[inner], ys[inner], s) for s in strengths]
        best = float(strengths[int(np.argmax(scores))])
        right += _right(xs, ys, x[tested], labels[tested], best)
    return right / len(x)


def _right(
    x: Features, y: NDArray[np.int64], x_new: Features, y_new: NDArray[np.int64], ridge: float
) -> int:
    centre, scale = x.mean(axis=0), x.std(axis=0) + 1e-6
    x, x_new = (x - centre) / scale, (x_new - centre) / scale
    targets = np.eye(int(max(y.max(), y_new.max())) + 1)[y]
    # Classes of different sizes weigh the same.
    weight = 1.0 / np.bincount(y)[y][:, None]
    mean = (weight * targets).sum(axis=0) / weight.sum()
    gram = x.T @ (weight * x) + ridge / len(x) * np.eye(x.shape[1])
    map_ = np.linalg.solve(gram, x.T @ (weight * (targets - mean)))
    return int((np.argmax(x_new @ map_ + mean, axis=1) == y_new).sum())


def main() -> None:
    """Read the sets, fit the probes, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("classes", nargs="+", metavar="NAME=DIR|TAR")
    parser.add_argument("--limit", type=int, default=150, help="pictures per class")
    parser.add_argument("--side", type=int, default=256, help="of the squares that are read")
    parser.add_argument("--quality", type=int, default=30, help="of the .glc files")
    parser.add_argument("--model", metavar="NAME|PATH")
    options = parser.parse_args()
    pairs = [text.partition("=")[::2] for text in options.classes]
    sets = [read_set(source, options.side, options.limit) for _, source in pairs]
    pictures = [picture for picture_set in sets for picture in picture_set.pictures]
    groups = [f"{n}/{group}" for n, s in enumerate(sets) for group in s.groups]
    labels = np.repeat(np.arange(len(sets)), [len(s.pictures) for s in sets])
    codec = Codec.from_pretrained(options.model)
    latents, coded = [], []
    for start in range(0, len(pictures), 32):
        batch = pictures[start : start + 32]
        latents += codec.latents_batch(batch)
        coded += codec.latents_batch(codec.encode_batch(batch, options.quality))
    features = {
        "mean and spread of l": pooled(latents),
        f"the same from .glc files, quality {options.quality}": pooled(coded),
        "thumbnail of 8 x 8": thumbnails(pictures, 8),
        "mean colour": thumbnails(pictures, 1),
    }
    counts = ", ".join(
        f"{name} {len(s.pictures)}" for (name, _), s in zip(pairs, sets, strict=True)
    )
    print(f"{counts}; guessing is right in {np.bincount(labels).max() / len(labels):.3f}\n")
    print("| features | numbers | accuracy, five folds | 95 % |\n|---|---|---|---|")
    for name, x in features.items():
        share = accuracy(x, labels, groups)
        error = 1.96 * np.sqrt(share * (1 - share) / len(x))
        print(f"| {name} | {x.shape[1]} | {share:.3f} | +- {error:.3f} |")


if __name__ == "__main__":
    main()
