"""``glc train``: hands everything to ``glc.training``, which needs the extra train."""

from __future__ import annotations

from collections.abc import Sequence

from codec_cli.support.extras import hand_over

__all__ = ["run"]


def run(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    return hand_over("train", "glc.training", "train", arguments)
