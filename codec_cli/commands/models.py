"""``glc models``: which models are installed, and what they cost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from codec_cli.support import exit_codes
from codec_cli.support.batch import reason_of
from codec_cli.support.options import Parser
from codec_cli.support.report import one_line, say
from glc.errors import GlcError

if TYPE_CHECKING:
    from glc.weights.registry import ModelInfo

__all__ = ["run"]


def run(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    parser = Parser(
        prog="glc models",
        description="List the installed models. * are the defaults: one makes small files, the "
        "other those from a quality on.",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object per model")
    parser.add_argument(
        "--cost",
        action="store_true",
        help="parameters and thousands of multiplications per pixel of every part instead",
    )
    options = parser.parse_args(arguments)
    if options.cost:
        return _print_costs(options.json)
    from glc.weights import registry

    try:
        models = registry.installed()
    except (GlcError, OSError) as error:
        say(f"glc models: {reason_of(error)}")
        return exit_codes.FAILED
    if not models:
        say("glc models: no model is installed; glc encode --model PATH takes a weight file")
        return exit_codes.FAILED
    for model in models:
        # Names come from the weights files, which may be anybody's.
        print(json.dumps(_describe(model)) if options.json else one_line(_line(model)))
    return exit_codes.OK


def _describe(model: ModelInfo) -> dict[str, object]:
    return {
        "name": model.name,
        "default": model.default,
        "from_quality": model.from_quality,
        "path": str(model.path),
        "identity": model.identity.hex(),
        "parameters": model.parameters,
        "bytes": model.size_bytes,
        "summary": model.summary,
    }


def _line(model: ModelInfo) -> str:
    mark = "*" if model.default or model.from_quality is not None else " "
    place = "" if model.from_quality is None else f" (from quality {model.from_quality} on)"
    return (
        f"{mark} {model.name:<12} {model.identity.hex()[:6]}  {model.parameters / 1e6:6.2f} M "
        f"parameters  {model.size_bytes / 1e6:6.2f} MB  {model.summary}{place}"
    )


def _print_costs(as_json: bool) -> int:
    from glc.config import PRESETS
    from glc.networks.cost import cost_table

    for name, config in PRESETS.items():
        rows = cost_table(config)
        if as_json:
            parts = [
                {"part": part, "parameters": parameters, "kmac_per_pixel": kmac}
                for part, parameters, kmac in rows
            ]
            print(json.dumps({"name": name, "parts": parts}))
            continue
        print(f"{name:<28}{'parameters':>14}{'kMAC/pixel':>14}")
        for part, parameters, kmac in rows:
            print(f"  {part:<26}{parameters:>14,}{kmac:>14.3f}")
    return exit_codes.OK
