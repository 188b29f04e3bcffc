"""Fit the model of the codec `pca16` on pictures.

    python -m eval.codecs.pca16_fit --pictures SOURCE --out FILE.npz [--limit 200]

SOURCE is a folder, a tar or a pattern of tars, as `glc compress` takes it. It must hold nothing of
the pictures that the codec is measured on.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from eval.codecs.pca16 import (
    ANCHORS,
    BASIS_BITS,
    BLOCK,
    COMPONENTS,
    FEATURES,
    FINE_BITS,
    SCALE_BITS,
    STAGES,
    VALUES,
    Int64,
    Model,
    passes_of,
    quantise,
)
from eval.pictures import RGB, pixels
from glc.dataset.inputs import list_items
from glc.entropy import ROWS, ScaleTables

LARGEST_STEP, SMALLEST_STEP = 1100, 90
STEPS = np.round(np.geomspace(LARGEST_STEP, SMALLEST_STEP, 101)).astype(np.int64)
THRESHOLDS = np.round(np.geomspace(0.0015, 48, ROWS - 2) * (1 << SCALE_BITS)).astype(np.int64)
_ANCHOR_QUALITIES = tuple(20 * anchor for anchor in range(ANCHORS))
_WIDEST = 400
"""Largest magnitude that is counted as what it is; larger ones count as escapes."""


def fit(pictures: Sequence[RGB]) -> Model:
    """Return a model fitted to pictures of at least one block each."""
    mean, basis = _components(pictures)
    model = Model(
        steps=STEPS,
        mean=mean,
        basis=basis,
        prediction=np.zeros((COMPONENTS, STAGES, 2), np.int64),
        magnitude=np.zeros((ANCHORS, COMPONENTS, STAGES, FEATURES), np.int64),
        thresholds=THRESHOLDS,
        tables=ScaleTables.build(),
    )
    analysed = [model.analyse(Image.fromarray(picture)) for picture in pictures]
    model = replace(model, prediction=_prediction(analysed))
    model = replace(model, magnitude=_magnitude(model, analysed))
    return replace(model, tables=_tables(model, analysed))


Analysed = tuple[NDArray[np.float64], int, int]
"""Coefficients of a picture, rows and columns of blocks."""


def _components(pictures: Sequence[RGB]) -> tuple[Int64, Int64]:
    """Return the mean colour and the principal components of all blocks, as a model has them."""
    count, total = 0, np.zeros(VALUES)
    products = np.zeros((VALUES, VALUES))
    for picture in pictures:
        height, width = picture.shape[0] // BLOCK, picture.shape[1] // BLOCK
        whole = picture[: height * BLOCK, : width * BLOCK].astype(np.float64)
        blocks = whole.reshape(height, BLOCK, width, BLOCK, 3).transpose(0, 2, 1, 3, 4)
        blocks = blocks.reshape(-1, VALUES)
        # The mirror image is as likely, and makes the components symmetric.
        mirrored = blocks.reshape(-1, BLOCK, BLOCK, 3)[:, :, ::-1].reshape(-1, VALUES)
        for half in (blocks, mirrored):
            count += len(half)
            total += half.sum(axis=0)
            products += half.T @ half
    mean = (total / count).reshape(-1, 3).mean(axis=0)
    centre = np.tile(mean, VALUES // 3)
    average = total / count
    spread = products / count - np.outer(average, centre) - np.outer(centre, average)
    _, vectors = np.linalg.eigh(spread + np.outer(centre, centre))
    basis = vectors[:, ::-1].T[:COMPONENTS]
    signs = np.sign(basis[np.arange(COMPONENTS), np.abs(basis).argmax(axis=1)])
    return (
        np.round(mean * 256).astype(np.int64),
        np.round(basis * signs[:, None] * (1 << BASIS_BITS)).astype(np.int64),
    )


def _prediction(analysed: Sequence[Analysed]) -> Int64:
    """Return the weights of the two pairs of neighbours by least squares."""
    products = np.zeros((COMPONENTS, STAGES, 2, 2))
    targets = np.zeros((COMPONENTS, STAGES, 2))
    step = STEPS[_ANCHOR_QUALITIES[ANCHORS // 2]]
    for values, height, width in analysed:
        decoded = np.round(values / step) * step
        for part in passes_of(height, width)[1:]:
            pairs = (decoded[part.near[0::2]] + decoded[part.near[1::2]]) / 2
            products[:, part.stage] += np.einsum("ank,bnk->kab", pairs, pairs)
            targets[:, part.stage] += np.einsum("ank,nk->ka", pairs, values[part.blocks])
    ridge = 1e-3 * np.trace(products, axis1=2, axis2=3)[..., None, None] + 1e-9
    weights = np.linalg.solve(products + ridge * np.eye(2), targets[..., None])[..., 0]
    return np.round(weights * (1 << FINE_BITS)).astype(np.int64)


def _magnitude(model: Model, analysed: Sequence[Analysed]) -> Int64:
    """Return the weights that give the expected magnitude, none of them negative."""
    weights = np.zeros((ANCHORS, COMPONENTS, STAGES, FEATURES))
    for anchor in range(ANCHORS):
        products = np.zeros((COMPONENTS, STAGES, FEATURES, FEATURES))
        targets = np.zeros((COMPONENTS, STAGES, FEATURES))
        for component, stage, features, symbols in _walks(model, analysed, anchor):
            products[component, stage] += features.T @ features
            targets[component, stage] += features.T @ np.abs(symbols)
        everywhere = products.sum(axis=1), targets.sum(axis=1)
        for component in range(COMPONENTS):
            for stage in range(STAGES):
                # What all stages have in common steadies those with few blocks.
                weights[anchor, component, stage] = non_negative(
                    products[component, stage] + 0.02 * everywhere[0][component],
                    targets[component, stage] + 0.02 * everywhere[1][component],
                )
    return np.round(weights * (1 << SCALE_BITS)).astype(np.int64)


def _tables(model: Model, analysed: Sequence[Analysed]) -> ScaleTables:
    counts = np.zeros((ROWS, 2 * _WIDEST + 1), np.int64)
    for anchor in range(ANCHORS):
        for component, stage, features, symbols in _walks(model, analysed, anchor):
            rows = model.rows(anchor, component, stage, features)
            np.add.at(counts, (rows, np.clip(symbols, -_WIDEST, _WIDEST) + _WIDEST), 1)
    return ScaleTables.build(counts, prior_strength=16.0)


def _walks(
    model: Model, analysed: Sequence[Analysed], anchor: int
) -> Iterator[tuple[int, int, Int64, Int64]]:
    """Yield (component, stage, features, symbols) of every pass over every picture."""
    for values, height, width in analysed:
        scaled = values * ((1 << FINE_BITS) / STEPS[_ANCHOR_QUALITIES[anchor]])
        seen: list[tuple[int, int, Int64, Int64]] = []

        def note(
            component: int,
            stage: int,
            at: NDArray[np.intp],
            predicted: Int64,
            features: Int64,
            scaled: NDArray[np.float64] = scaled,
            seen: list[tuple[int, int, Int64, Int64]] = seen,
        ) -> Int64:
            symbols = quantise(scaled[at, component] - predicted)
            seen.append((component, stage, features, symbols))
            return symbols

        model.code(height, width, COMPONENTS, note)
        yield from seen


def non_negative(
    products: NDArray[np.float64], targets: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return least-squares weights >= 0 for normal equations: negative ones are dropped in turn."""
    kept = list(range(len(targets)))
    weights = np.zeros(len(targets))
    while kept:
        ridge = 1e-6 * np.diag(np.diag(products)[kept]) + 1e-9 * np.eye(len(kept))
        found = np.linalg.solve(products[np.ix_(kept, kept)] + ridge, targets[kept])
        if found.min() >= 0:
            weights[kept] = found
            break
        kept.pop(int(found.argmin()))
    return weights


def read(source: str, limit: int) -> list[RGB]:
    """Return `limit` pictures spread over a source; broken and tiny ones are passed over.

    Raises:
        ValueError: there is none.
    """
    items = list(list_items(source))
    found = []
    for item in items[:: max(1, len(items) // limit)]:
        try:
            with Image.open(io.BytesIO(item.read())) as opened:
                picture = pixels(opened)
        except (OSError, ValueError):
            continue
        if min(picture.shape[:2]) >= BLOCK:
            found.append(picture)
    if not found:
        raise ValueError(f"--pictures: no picture of at least {BLOCK} pixels in {source}")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Fit and write; 0 when all went well, 2 on wrong usage."""
    parser = argparse.ArgumentParser(
        prog="python -m eval.codecs.pca16_fit",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--pictures", required=True, metavar="SOURCE", help="folder, tar or pattern of tars")
    add("--out", type=Path, required=True, metavar="FILE.npz", help="where the model goes")
    add("--limit", type=int, default=200, metavar="N", help="pictures to use (default 200)")
    arguments = parser.parse_args(argv)
    try:
        pictures = read(arguments.pictures, arguments.limit)
        fit(pictures).save(arguments.out)
    except (OSError, ValueError) as error:
        print(f"eval.codecs.pca16_fit: {error}", file=sys.stderr)
        return 2
    print(f"{arguments.out}: fitted to {len(pictures)} pictures", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
