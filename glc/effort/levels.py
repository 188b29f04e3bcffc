"""What each level of ``effort`` does. Numbers only; ``glc.effort.search`` acts on them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from glc.arguments import whole_number
from glc.install_hint import install_command

__all__ = ["EFFORT_MAX", "LEVELS", "Level", "check_effort", "check_torch"]


@dataclass(frozen=True)
class Level:
    """How much an encoder searches, beyond its one pass."""

    steps: int = 0
    """Of gradient descent on y; 0 is one pass, and nothing else of this then counts."""
    fits: int = 5
    """How often, at most, all symbols are chosen anew to have no more than the wanted bits."""
    move: float = 0.05
    """Root mean square of what the first step adds to y, whose quantisation steps are around 1."""


LEVELS = (
    Level(),
    Level(1),
    Level(2),
    Level(3),
    Level(4),
    Level(5, move=0.045),
    Level(6, move=0.04),
    Level(8, move=0.035),
    Level(14, move=0.025),
    Level(30, move=0.015),
)
EFFORT_MAX = len(LEVELS) - 1


def check_effort(effort: Any) -> int:
    """Return an effort as an int, of whatever type it is.

    Raises:
        ValueError: it is not a whole number from 0 to 9.
    """
    return whole_number("effort", effort, 0, EFFORT_MAX)


def check_torch(effort: int) -> None:
    """Refuse an effort that needs torch where that is not installed.

    Raises:
        ModuleNotFoundError: with what brings it.
    """
    if LEVELS[effort].steps and find_spec("torch") is None:
        raise ModuleNotFoundError(
            f"effort {effort} descends on gradients, for which it needs torch; "
            f"{install_command('effort')} brings it; effort 0 does without",
            name="torch",
        )
