"""``python -m eval.research.surprise``: are pictures of an unseen kind ranked above familiar
ones?
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from eval.pictures import RGB, SUFFIXES, pixels
from eval.provenance import hardware
from eval.research import ood_scores, synthetic
from glc import Codec

ORDER = ("bits", "bits-", "|bits-|", "error", "error-", "nearest", "jpeg", "png")
"""Scores in the order of the table."""


@dataclass(frozen=True)
class PictureSet:
    """Square pictures of one size, and what each was cut from."""

    name: str
    pictures: list[RGB]
    groups: list[str]


def read_set(source: str, side: int, limit: int) -> PictureSet:
    """Read the middle squares of the pictures of a folder, a tar, or a kind made here.

    Args:
        source: a folder, an uncompressed tar, or a name of ``eval.research.synthetic.KINDS``.
        side: pixels; smaller pictures are left out.
        limit: at most so many, spread evenly over the names.

    Raises:
        ValueError: no such source, or fewer than ten pictures in it.
    """
    if source in synthetic.KINDS:
        made = [synthetic.make(source, number, side) for number in range(limit)]
        return PictureSet(source, made, [str(number) for number in range(limit)])
    path = Path(source)
    if not path.exists():
        kinds = ", ".join(synthetic.KINDS)
        raise ValueError(f"{source}: expected a folder, a tar or one of {kinds}")
    entries = sorted(_names(path))
    chosen, groups = [], []
    for index in np.linspace(0, len(entries) - 1, min(limit, len(entries))).astype(int):
        square = _middle(_read(path, entries[index]), side)
        if square is not None:
            chosen.append(square)
            # Pieces of one photograph are called PHOTOGRAPH-PIECE.
            groups.append(Path(entries[index]).stem.rsplit("-", 1)[0])
    if len(chosen) < 10:
        raise ValueError(f"{source}: expected ten pictures of {side} pixels, found {len(chosen)}")
    return PictureSet(path.name, chosen, groups)


def halves(picture_set: PictureSet) -> tuple[list[int], list[int]]:
    """Return positions of two halves that share no photograph: for reference, and for the test."""
    order = {group: number for number, group in enumerate(sorted(set(picture_set.groups)))}
    parity = [order[group] % 2 for group in picture_set.groups]
    return [i for i, p in enumerate(parity) if p == 0], [i for i, p in enumerate(parity) if p == 1]


def compare(
    codec: Codec, familiar: PictureSet, others: Sequence[PictureSet], quality: int
) -> list[dict[str, object]]:
    """Return one record per set: its number of pictures, mean bits, and AUC and interval per score.

    One half of the familiar pictures is what scores are fitted to; the other half is compared.
    """
    scores, embedded = ood_scores.raw_scores(codec, familiar.pictures, quality)
    fitted, held = halves(familiar)
    reference = {name: values[fitted] for name, values in scores.items()}
    memory = embedded[fitted]

    def complete(raw: ood_scores.Scores, points: NDArray[np.float64]) -> ood_scores.Scores:
        near = {"nearest": ood_scores.distances(points, memory)}
        return {**raw, **ood_scores.corrected(raw, reference), **near}

    known = complete({name: values[held] for name, values in scores.items()}, embedded[held])
    groups = [familiar.groups[i] for i in held]
    records: list[dict[str, object]] = []
    for other in others:
        raw, points = ood_scores.raw_scores(codec, other.pictures, quality)
        found = complete(raw, points)
        results = {
            name: [
                ood_scores.auc(known[name], found[name]),
                *ood_scores.interval(known[name], found[name], groups),
            ]
            for name in ORDER
        }
        means = {name: float(found[name].mean()) for name in ("bits", "error", "jpeg", "png")}
        records.append({"set": other.name, "n": len(other.pictures), **means, "auc": results})
    means = {name: float(known[name].mean()) for name in ("bits", "error", "jpeg", "png")}
    return [{"set": familiar.name, "n": len(held), **means}, *records]


def table(records: Sequence[dict[str, object]]) -> str:
    """Return the records as a Markdown table of AUC and interval."""
    head = ["set", "n", "bpp", *(f"`{name}`" for name in ORDER)]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for record in records:
        cells = [str(record["set"]), str(record["n"]), f"{record['bits']:.4f}"]
        results = record.get("auc")
        for name in ORDER:
            if isinstance(results, dict):
                mean, low, high = results[name]
                cells.append(f"{mean:.2f} ({low:.2f}-{high:.2f})")
            else:
                cells.append("")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, or 2 for wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m eval.research.surprise", description=__doc__)
    parser.add_argument("--familiar", required=True, metavar="DIR|TAR", help="of the training kind")
    parser.add_argument(
        "--other",
        required=True,
        action="append",
        metavar="DIR|TAR|KIND",
        help=f"another kind; may be repeated; made here: {', '.join(synthetic.KINDS)}",
    )
    parser.add_argument("--quality", type=int, default=50)
    parser.add_argument("--side", type=int, default=256, help="of the squares (default: 256)")
    parser.add_argument("--limit", type=int, default=100, help="pictures per set (default: 100)")
    parser.add_argument("--model", metavar="NAME|PATH")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures here as well")
    options = parser.parse_args(argv)
    try:
        familiar = read_set(options.familiar, options.side, options.limit)
        others = [read_set(source, options.side, options.limit) for source in options.other]
    except (ValueError, OSError, tarfile.TarError) as error:
        print(f"eval.research.surprise: {error}", file=sys.stderr)
        return 2
    codec = Codec.from_pretrained(options.model, device=options.device)
    records = compare(codec, familiar, others, options.quality)
    print(table(records))
    print(
        f"\nAUC (95 % interval) at quality {options.quality}, squares of {options.side} pixels, "
        f"model {codec.name} ({codec.identity[:3].hex()}), {hardware(codec.device)}"
    )
    if options.json is not None:
        options.json.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    return 0


def _names(path: Path) -> Iterator[str]:
    if path.is_dir():
        found = (entry for entry in path.rglob("*") if entry.is_file())
        yield from (str(e.relative_to(path)) for e in found if e.suffix.lower() in SUFFIXES)
    else:
        with tarfile.open(path, "r:") as archive:
            yield from (m.name for m in archive if Path(m.name).suffix.lower() in SUFFIXES)


def _read(path: Path, name: str) -> Image.Image:
    if path.is_dir():
        return Image.open(path / name)
    with tarfile.open(path, "r:") as archive:
        member = archive.extractfile(name)
        if member is None:
            raise ValueError(f"{path}: {name} is no file")
        return Image.open(io.BytesIO(member.read()))


def _middle(image: Image.Image, side: int) -> RGB | None:
    array = pixels(image)
    top, left = (array.shape[0] - side) // 2, (array.shape[1] - side) // 2
    if min(top, left) < 0:
        return None
    return np.ascontiguousarray(array[top : top + side, left : left + side])


if __name__ == "__main__":
    sys.exit(main())
