"""``glc train``: hands everything to ``glc.training``, which needs the packages of glc[train]."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from codec_cli import exits
from codec_cli.report import say

__all__ = ["run"]


def run(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    try:
        return import_module("glc.training").main(list(arguments)) or exits.OK
    except ModuleNotFoundError as error:
        say(f"glc train: no module {error.name}; pip install 'glc[train]' brings what it needs")
        return exits.FAILED
