"""``glc eval``: hands everything to ``eval.rd``, which needs the extra eval."""

from __future__ import annotations

from collections.abc import Sequence

from codec_cli.support.extras import hand_over

__all__ = ["run"]


def run(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    return hand_over("eval", "eval.rd", "eval", arguments)
