"""``glc eval``: hands everything to ``eval.rd``, which needs the packages of glc[eval]."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from codec_cli import exits
from codec_cli.report import say

__all__ = ["run"]


def run(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    try:
        return import_module("eval.rd").main(list(arguments)) or exits.OK
    except ModuleNotFoundError as error:
        say(f"glc eval: no module {error.name}; pip install 'glc[eval]' brings what it needs")
        return exits.FAILED
