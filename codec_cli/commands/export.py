"""``glc export``: a model as ONNX files, for programs in other languages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from codec_cli.support import exit_codes
from codec_cli.support.atomic_output import Outputs
from codec_cli.support.batch import reason_of
from codec_cli.support.options import Parser
from codec_cli.support.report import say
from glc.errors import GlcError
from glc.weights import checkpoint, registry

__all__ = ["run"]


def run(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    parser = Parser(
        prog="glc export",
        description="Write the networks of a model as ONNX files, its integers as one file of "
        "arrays, and model.json, which says what goes where. docs/web.md describes them, "
        "examples/decode_onnx.py decodes with them.",
    )
    parser.add_argument("--onnx", metavar="DIR", required=True, help="a folder for the files")
    parser.add_argument("--model", metavar="NAME", help="by name or path (default: the default)")
    parser.add_argument("-f", "--force", action="store_true", help="replace files that exist")
    options = parser.parse_args(arguments)
    folder = Path(options.onnx)
    try:
        from glc.runtime.graphs.export import model_files

        weights = checkpoint.load(registry.locate(options.model))
        files = model_files(weights.config, weights.tensors, weights.name, weights.identity)
        with Outputs(options.force) as outputs:
            for name, data in files.items():
                outputs.write(folder / name, data)
    except (GlcError, OSError) as error:
        say(f"glc export: {reason_of(error)}")
        return exit_codes.FAILED
    total = sum(map(len, files.values()))
    say(f"{folder}: model {weights.name}, {len(files)} files, {total / 1e6:.1f} MB")
    return exit_codes.OK
