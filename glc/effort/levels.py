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
    fits: int = 4
    """How often, at most, symbols are chosen to have the wanted bits; 1 takes what comes."""
    move: float = 0.1
    """Root mean square of what the first step adds to y, against that of y."""
    shrink: int = 2
    """By how much the pictures are smaller that are looked at as a network sees them."""
    checked: bool = False
    """Whether the last y is compared with those before, which takes half of a step."""


LEVELS = (
    Level(),
    Level(1, fits=1, move=0.07),
    Level(1, fits=2, move=0.08),
    Level(1, fits=2, move=0.09),
    Level(1, fits=3, move=0.09),
    Level(2, fits=3, move=0.09, checked=True),
    Level(4, move=0.08, checked=True),
    Level(6, move=0.07, checked=True),
    Level(14, move=0.05, checked=True),
    Level(24, move=0.04, shrink=1, checked=True),
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
