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
    """How much an encoder searches, beyond its one pass.

    All levels take the same steps, so that who takes more of them comes through every y that the
    others come through. Where the best of these is looked for, it is never worse, by what is
    descended on, than that of any level below; what the fit of the rate changes comes after that.
    """

    steps: int = 0
    """Of gradient descent on y; 0 is one pass, and nothing else of this then counts."""
    fits: int = 4
    """How often, at most, symbols are chosen to have the wanted bits."""
    checked: bool = True
    """Whether the best y on the way is taken, the first included, which takes half of a step."""


_ONE_STEP = Level(1, fits=3, checked=False)
LEVELS = (
    Level(),
    # Up to nine times one pass nothing else was found that pays.
    *(_ONE_STEP, _ONE_STEP, _ONE_STEP, _ONE_STEP),
    Level(3),
    Level(5),
    Level(6, fits=6),
    Level(14, fits=6),
    Level(28, fits=6),
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
