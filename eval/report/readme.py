"""The results in README and docs, made from a run of eval.rd by one command.

    python -m eval.report --run OUT [--images DIR] [--strip DIR] [--readme README.md]
                          [--assets docs/results]

With --images the run is made (or finished) first. The pictures of the strip come from the run, or
from --strip where those of the run may not be published. Writes into --assets `curves.png`
(PSNR, LPIPS(alex) and DISTS against the rate), `crops.png` (crops: the original, the codec, HEIC
and JPEG at the closest file size), and all points with both into its `README.md`, between the lines
`<!-- results:begin -->` and `<!-- results:end -->`. The README gets the curve and one row for the
codec and each of its rivals, at the rates nearest to each other, between the same lines.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from eval import pictures, rd
from eval.codecs import adapters
from eval.codecs.adapters import Codec
from eval.metrics.backbones import Unavailable
from eval.metrics.registry import COLUMNS, HEADLINE, TRAINED_ON
from eval.pictures import Source, load
from eval.report import results, summary
from eval.report.comparison_strip import shown_quality
from eval.report.page import kilobytes
from eval.report.results import Results
from eval.report.sheet import CROP, Cell, draw, same_size
from eval.report.summary import Point

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
RIVALS = ("heic", "jpeg@1/2", "jpeg")
_TABLE = (*HEADLINE, TRAINED_ON)
_SHORT = ("psnr", "lpips_alex", "dists", "recognised", TRAINED_ON)
_SHORT_RIVALS = ("heic", "avif", "jpeg@1/2", "jpeg")
_ROWS = 5
_FIGURES = ("psnr", "lpips_alex", "dists")


def table(found: Results) -> list[list[str]]:
    """Return every point of the codec under test, and of each rival the one nearest to its rate."""
    tested = results.under_test(found.points)
    rivals = [point for point in _at_one_rate(found) if point.codec != tested]
    return _lines([*summary.by_codec(found.points)[tested], *rivals], _TABLE)


def short_table(found: Results) -> list[list[str]]:
    """Return a row for the codec under test, and for those rivals that people have first."""
    tested = results.under_test(found.points)
    points = {point.codec: point for point in _at_one_rate(found)}
    order = [name for name in (*_SHORT_RIVALS, *points) if name in points and name != tested]
    chosen = [tested, *dict.fromkeys(order)][:_ROWS]
    return _lines([points[name] for name in chosen], _SHORT)


def _at_one_rate(found: Results) -> list[Point]:
    """Return the point of the codec under test that reports show, and those nearest to it."""
    tested = results.under_test(found.points)
    curves = summary.by_codec(found.points)
    quality = shown_quality([r for r in found.records if r.codec == tested])
    rate = next(p.bpp for p in curves[tested] if p.quality == quality)
    return [min(curve, key=lambda p: abs(math.log(p.bpp / rate))) for curve in curves.values()]


def _lines(points: Sequence[Point], wanted: Sequence[str]) -> list[list[str]]:
    keys = [key for key in wanted if any(key in p.values for p in points)]
    rows = [["codec", "quality", "bpp", *(COLUMNS[key].title for key in keys)]]
    for point in points:
        figures = [summary.show(point.values.get(k, math.nan), COLUMNS[k].digits) for k in keys]
        rows.append([point.codec, f"{point.quality:g}", f"{point.bpp:.4f}", *figures])
    return rows


def crops(found: Results, sources: Sequence[Source]) -> Image.Image:
    """Return the strip: a row per picture, a column per version, each under its file size.

    The tested codec runs at the quality shown in the report; a rival is encoded at whatever quality
    makes its file nearest in size.
    """
    tested = results.under_test(found.points)
    quality = shown_quality([r for r in found.records if r.codec == tested])
    codec = adapters.build(found.run["codecs"][tested])
    rows: list[list[Cell]] = []
    for source in sources:
        image = load(source.path)
        data = codec.encode(image, quality)
        row = [
            (f"original, {kilobytes(source.path.stat().st_size)}", _middle(image)),
            (f"{tested}, {kilobytes(len(data))}", _middle(codec.decode(data))),
        ]
        for name in RIVALS:
            if name in found.run["codecs"] and name != tested:
                row.append(_matched(adapters.build(name), image, len(data)))
        rows.append(row)
    return draw(rows)


def fill(text: str, results_text: str) -> str:
    """Return a README with the part between the two marks replaced.

    Raises:
        ValueError: the marks are not both there, in this order.
    """
    begin, end = text.find(BEGIN), text.find(END)
    if begin < 0 or end < begin:
        raise ValueError(f"the README needs the lines {BEGIN} and {END}")
    return f"{text[: begin + len(BEGIN)]}\n{results_text}\n{text[end:]}"


def main(argv: Sequence[str] | None = None) -> int:
    """Make the figures; 0 when all went well, else the exit code of the run, or 2."""
    parser = _parser()
    arguments, for_rd = parser.parse_known_args(argv)
    if for_rd and not arguments.images:
        parser.error(f"{' '.join(for_rd)}: what is for eval.rd needs --images")
    if arguments.images:
        code = rd.main(["--images", str(arguments.images), "--out", str(arguments.run), *for_rd])
        if code != 0:
            return code
    try:
        _write(arguments)
    except (ValueError, Unavailable) as error:
        print(f"eval.report.readme: {error}", file=sys.stderr)
        return 2
    return 0


def _write(arguments: argparse.Namespace) -> None:
    from eval.report import plots
    from eval.report.published import for_pictures

    found = results.read(arguments.run)
    assets: Path = arguments.assets
    assets.mkdir(parents=True, exist_ok=True)
    measured = summary.columns_of(found.points)
    shown = [key for key in _FIGURES if key in measured]
    published = {key: for_pictures(found.run["names"], key) for key in shown}
    plots.side_by_side(shown, found.points, published).savefig(assets / "curves.png", dpi=150)
    sources = found.sources if arguments.strip is None else pictures.find(arguments.strip)
    if arguments.crops or arguments.strip is None:
        names = arguments.crops or _spread(found.sources)
        sources = [source for source in sources if source.name in names]
    crops(found, sources).save(assets / "crops.png")
    run = found.run
    where = f"{run['pictures']} pictures of {Path(run['images']).name}"
    made = f"Measured {run['date'][:10]} on {run['hardware']}, {where}."
    page = assets / "README.md"
    text = page.read_text(encoding="utf-8") if page.exists() else f"# Results\n\n{BEGIN}\n{END}\n"
    strip = "![Crops at the closest file size](crops.png)"
    full = f"\n{_curve('')}\n\n{_markdown(table(found))}\n\n{strip}\n\n{made}\n"
    page.write_text(fill(text, full), encoding="utf-8")
    if arguments.readme:
        folder = assets.resolve()
        home = arguments.readme.resolve().parent
        link = folder.relative_to(home).as_posix() if folder.is_relative_to(home) else str(folder)
        part = f"\n{_curve(link + '/')}\n\n{_markdown(short_table(found))}\n\n{made}\n"
        text = arguments.readme.read_text(encoding="utf-8")
        arguments.readme.write_text(fill(text, part), encoding="utf-8")


def _curve(folder: str) -> str:
    return f"![Rate and distortion]({folder}curves.png)"


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    return summary.markdown(rows) + summary.footnotes(rows)


def _matched(codec: Codec, image: Image.Image, size_bytes: int) -> Cell:
    data = same_size(codec, image, size_bytes)
    return f"{codec.name}, {kilobytes(len(data))}", _middle(codec.decode(data))


def _middle(image: Image.Image) -> Image.Image:
    """Return the middle square at native size, on white when the picture is smaller."""
    left, top = (image.width - CROP) // 2, (image.height - CROP) // 2
    sheet = Image.new("RGB", (CROP, CROP), "white")
    sheet.paste(image, (-left, -top))
    return sheet


def _spread(sources: Sequence[Source]) -> list[str]:
    """Return three names spread over the set."""
    count = len(sources)
    return [sources[i].name for i in sorted({count // 6, count // 2, count * 5 // 6})]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m eval.report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Further options go to eval.rd.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--run", type=Path, required=True, metavar="DIR", help="folder of a run of eval.rd")
    add("--images", type=Path, metavar="DIR", help="run eval.rd on these pictures first")
    add("--strip", type=Path, metavar="DIR", help="pictures of the strip; default: of the run")
    add("--readme", type=Path, metavar="FILE", help="README whose results are replaced")
    add("--assets", type=Path, default=Path("docs/results"), metavar="DIR")
    add("--crops", type=lambda text: text.split(","), metavar="A,B", help="pictures of the strip")
    return parser


if __name__ == "__main__":
    sys.exit(main())
