"""``glc info``: what a .glc file says about itself. Loads neither torch nor numpy by itself.

With ``--heatmap`` it hands over to ``codec_cli.support.heatmap``, which decodes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from codec_cli.support import codecs, exit_codes
from codec_cli.support.archives import ARCHIVE_SUFFIX, describe, is_archive, line_of
from codec_cli.support.batch import read, reason_of, report_missing
from codec_cli.support.options import Parser, add_device, add_inputs, add_limits, limits_of, quality
from codec_cli.support.paths import expand
from codec_cli.support.report import Report, one_line
from codec_cli.support.suffixes import GLC_SUFFIXES
from glc.bitstream import ALPHA, EXIF, GREY, ICC, MEAN_COLORS, XMP, Container, unpack
from glc.errors import GlcError

__all__ = ["run"]

_CHUNK_NAMES = {
    ALPHA: "alpha",
    GREY: "grey",
    ICC: "icc",
    EXIF: "exif",
    XMP: "xmp",
    MEAN_COLORS: "mean colours",
}


def run(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    parser = Parser(
        prog="glc info",
        description="Say what is in .glc files and archives, without decoding them.",
    )
    add_inputs(parser, ".glc files and .glca archives")
    parser.add_argument("--json", action="store_true", help="print one JSON object per file")
    add_limits(parser)
    _add_heatmap(parser)
    options = parser.parse_intermixed_args(arguments)
    if options.heatmap is not None:
        from codec_cli.support import heatmap

        return heatmap.run(options)
    for name in ("quality", "force", "model", "device"):
        if getattr(options, name) not in (None, False):
            raise exit_codes.UsageError(
                f"--{name} is for --heatmap; name its output, or leave it out"
            )
    expansion = expand(options.inputs, GLC_SUFFIXES | {ARCHIVE_SUFFIX}, options.recursive)
    # Quick enough to need no progress bar.
    with Report("info", 1, options.json, quiet=False) as report:
        report_missing(expansion, report)
        for source in expansion.sources:
            try:
                if source.path is not None and is_archive(source.path):
                    print(line_of(describe(source.path), options.json))
                    continue
                data = read(source)
                container = unpack(data, limits_of(options))
            except (GlcError, OSError) as error:
                report.failed(source.name, reason_of(error), {"input": source.name})
                continue
            if options.json:
                print(json.dumps(_describe(source.name, len(data), container)))
            else:
                print(_line(source.name, len(data), container))
        return report.exit_code


def _add_heatmap(parser: Parser) -> None:
    """Add the options that draw where the bits went."""
    parser.add_argument(
        "--heatmap",
        metavar="OUT",
        help="draw the bits of every 16 x 16 pixels over the picture: of one .glc file, or of one "
        "picture as it would be encoded",
    )
    parser.add_argument(
        "-q", "--quality", type=quality, metavar="Q", help="of a picture: 0 to 100 (default: 50)"
    )
    parser.add_argument("-f", "--force", action="store_true", help="replace OUT if it exists")
    add_device(parser, "default: the one that the file was made with")
    # To tell what was given: all of these mean nothing without --heatmap.
    parser.set_defaults(device=None)


def _describe(name: str, size: int, container: Container) -> dict[str, object]:
    in_chunks = sum(len(chunk.data) for chunk in container.chunks)
    return {
        "input": name,
        "format_version": container.version,
        "width": container.width,
        "height": container.height,
        "bytes": size,
        "bpp": round(_bpp(size, container), 6),
        "quality": container.quality,
        "model": container.model.hex(),
        "model_name": codecs.installed_name(container.model),
        "payload_bytes": len(container.payload),
        "header_bytes": size - len(container.payload) - in_chunks,
        "chunks": {_CHUNK_NAMES.get(c.tag, c.tag): len(c.data) for c in container.chunks},
        "checksum": f"{container.checksum:08x}",
    }


def _line(name: str, size: int, container: Container) -> str:
    model = codecs.installed_name(container.model) or "not installed"
    extras = (f", {_CHUNK_NAMES.get(c.tag, c.tag)} {len(c.data):,} B" for c in container.chunks)
    return one_line(
        f"{name}: GLC {container.version}, {container.width} x {container.height}, {size:,} bytes, "
        f"{_bpp(size, container):.4f} bpp, q{container.quality}, "
        f"model {container.model.hex()} ({model}){''.join(extras)}"
    )


def _bpp(size: int, container: Container) -> float:
    return 8 * size / (container.width * container.height)
