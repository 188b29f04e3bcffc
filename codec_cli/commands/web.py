"""``glc web``: the codec in a browser, as a folder for any static host or on this computer."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from codec_cli.support import exit_codes
from codec_cli.support.atomic_output import Outputs
from codec_cli.support.batch import reason_of
from codec_cli.support.options import Parser
from codec_cli.support.report import say
from codec_cli.support.serve import open_server
from codec_cli.support.site import INDEX, find_runtime, site_files
from glc.errors import GlcError, WeightsError
from glc.weights import registry

if TYPE_CHECKING:
    from glc.weights.registry import ModelInfo

__all__ = ["run"]

_PORT = 8642
_PORT_MAX = 65_535


def run(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    options = _parser().parse_args(arguments)
    if options.folder is None and not options.serve:
        raise exit_codes.UsageError("name a folder for the site, or show it with --serve")
    if options.port is not None and not options.serve:
        raise exit_codes.UsageError("--port is for --serve")
    port = _PORT if options.port is None else options.port
    try:
        models = _models(options.model)
        runtime = find_runtime(None if options.runtime is None else Path(options.runtime))
        if options.folder is not None:
            folder = Path(options.folder)
            _check(folder, options.force)
            _write(folder, models, runtime)
            return _serve(folder, port) if options.serve else exit_codes.OK
        with tempfile.TemporaryDirectory(prefix="glc-web-") as name:
            _write(Path(name), models, runtime)
            return _serve(Path(name), port)
    except (GlcError, OSError) as error:
        say(f"glc web: {reason_of(error)}")
        return exit_codes.FAILED


def _parser() -> Parser:
    parser = Parser(
        prog="glc web",
        description="Write a page that opens and makes .glc files in a browser, with no server "
        "behind it: page, library, runtime and models, for any host of static files. "
        "docs/web.md has more.",
    )
    parser.add_argument("folder", nargs="?", metavar="DIR", help="of the site")
    parser.add_argument(
        "--model",
        action="append",
        metavar="NAME",
        help="a model to ship, by name or path; may be given several times, the first is the one "
        "that encodes (default: all that are installed, and the quality says which one encodes)",
    )
    parser.add_argument(
        "--runtime", metavar="DIR", help="where npm has put onnxruntime-web (default: here)"
    )
    parser.add_argument(
        "--serve", action="store_true", help="show it on this computer; without DIR it is temporary"
    )
    parser.add_argument("--port", type=_port, help=f"of --serve (default: {_PORT}; 0: a free one)")
    parser.add_argument(
        "-f", "--force", action="store_true", help="write into a folder that holds other files"
    )
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > _PORT_MAX:
        raise argparse.ArgumentTypeError(f"expected 0 to {_PORT_MAX}, found {text!r}")
    return int(text)


def _models(names: Sequence[str] | None) -> list[ModelInfo]:
    """Return the models that are asked for.

    Raises:
        WeightsError: one of them is not installed, or none is.
    """
    installed = registry.installed()
    if names is None:
        if not installed:
            raise WeightsError("no model is installed; --model PATH takes a weights file")
        return installed
    return [registry.describe(registry.locate(name)) for name in names]


def _check(folder: Path, force: bool) -> None:
    """Refuse a folder that is something else than such a site."""
    if force or not folder.exists() or (folder / INDEX).is_file():
        return
    if not folder.is_dir():
        raise exit_codes.UsageError(f"{folder} is no folder")
    if any(folder.iterdir()):
        raise exit_codes.UsageError(f"{folder} holds other files; -f writes between them")


def _write(folder: Path, models: Sequence[ModelInfo], runtime: Path) -> None:
    files = site_files(models, runtime)
    total = 0
    with Outputs(force=True) as outputs:
        for name, read in files.items():
            data = read()
            outputs.write(folder / name, data)
            total += len(data)
    names = ", ".join(model.name for model in models)
    say(f"{folder}: {len(files)} files, {total / 1e6:.1f} MB, with {names}")


def _serve(folder: Path, port: int) -> int:
    """Answer requests until Ctrl-C, which is how this is meant to end."""
    with open_server(folder, port) as server:
        say(f"http://localhost:{server.server_address[1]}/  (Ctrl-C ends it)")
        server.serve_forever()
    return exit_codes.OK
