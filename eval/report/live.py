"""A report that decodes: the codec for browsers beside it, and the encoded files in it.

What lies beside it is the site of ``glc web``. Nothing is decoded here.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from pathlib import Path

from codec_cli.support.site import RuntimeMissingError, find_runtime, site_files
from eval.report.curves import is_ours
from glc.bitstream import unpack
from glc.config import REALISM_MAX
from glc.errors import WeightsError
from glc.weights import registry
from glc.weights.registry import ModelInfo

FOLDER = "live"
"""Of the site, beside the report."""


@dataclass(frozen=True)
class Live:
    """The models of a report's files, and where a browser finds them."""

    models: tuple[ModelInfo, ...]
    realism: int
    runtime: Path

    def address_for(self, coded: str) -> str:
        """Return where the weights of an encoded file are, seen from the report.

        Args:
            coded: the file, as ``data_uri`` gives it.

        Raises:
            WeightsError: it was made with another model.
        """
        model = unpack(base64.b64decode(coded.partition(",")[2])).model
        for info in self.models:
            if info.identity.startswith(model):
                return f"{FOLDER}/models/{info.identity.hex()[:16]}.safetensors"
        raise WeightsError(f"--live: a file was made with model {model.hex()}, which is not here")

    def write(self, out: Path) -> None:
        """Write the site into the folder of the report."""
        for name, read in site_files(self.models, self.runtime).items():
            target = out / FOLDER / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(read())


def prepare(recipe: str) -> Live:
    """Find what a browser needs to decode the files of a codec.

    Args:
        recipe: of the codec, as in ``--codecs``.

    Raises:
        ValueError: the codec is none of this project, or onnxruntime-web is not installed; the
            message says how to get it.
        WeightsError: the model is not there.
    """
    if not is_ours(recipe):
        raise ValueError(f"--live is for files of glc, and the report is about {recipe}")
    name = recipe.partition("@")[0].partition(":")[2]
    realism = re.search(r"@realism=(\d+)", recipe)
    try:
        runtime = find_runtime(None)
    except RuntimeMissingError as error:
        raise ValueError(f"--live: {error}") from error
    named = (registry.describe(registry.locate(name)),) if name else tuple(registry.defaults())
    if not named:
        raise WeightsError("--live: no default model is installed")
    return Live(named, int(realism[1]) if realism else REALISM_MAX, runtime)


def data_uri(data: bytes) -> str:
    """Return an encoded file as an address that holds it."""
    return "data:application/octet-stream;base64," + base64.b64encode(data).decode("ascii")
