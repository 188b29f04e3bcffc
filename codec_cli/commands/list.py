"""``glc list``: the pictures in an archive. Loads neither torch nor numpy."""

from __future__ import annotations

import json
from collections.abc import Sequence

from codec_cli.support import exit_codes
from codec_cli.support.archives import opened
from codec_cli.support.batch import reason_of
from codec_cli.support.options import Parser
from codec_cli.support.report import one_line, say
from glc.bitstream import unpack

__all__ = ["run"]


def run(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    parser = Parser(prog="glc list", description="List the pictures in .glca archives, in order.")
    parser.add_argument("archives", nargs="+", metavar="ARCHIVE")
    parser.add_argument("--json", action="store_true", help="print one JSON object per picture")
    options = parser.parse_intermixed_args(arguments)
    code = exit_codes.OK
    for name in options.archives:
        try:
            _list(name, options.json)
        except BrokenPipeError:
            raise
        except Exception as error:
            say(f"glc list: {name}: {reason_of(error)}")
            code = exit_codes.FAILED
    return code


def _list(name: str, as_json: bool) -> None:
    with opened(name) as archive:
        if not archive.is_complete:
            say(f"glc list: {name}: note: no index, its writing was interrupted")
        for number, (key, data) in enumerate(archive):
            container = unpack(data)
            bpp = 8 * len(data) / (container.width * container.height)
            fields = {
                "archive": name,
                "number": number,
                "key": key,
                "width": container.width,
                "height": container.height,
                "quality": container.quality,
                "bytes": len(data),
                "bpp": round(bpp, 6),
            }
            print(json.dumps(fields) if as_json else _line(fields))


def _line(fields: dict[str, object]) -> str:
    return one_line(
        f"{fields['number']:>6}  {fields['width']} x {fields['height']}  "
        f"{fields['bytes']:,} bytes  {fields['bpp']:.4f} bpp  q{fields['quality']}  "
        f"{fields['key']}"
    )
