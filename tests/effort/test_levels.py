"""The levels, and what they ask for."""

from __future__ import annotations

import pytest

from glc.effort import levels
from glc.effort.levels import EFFORT_MAX, LEVELS, check_effort, check_torch


def test_there_are_ten_and_each_does_at_least_what_the_one_before_does():
    assert EFFORT_MAX == 9
    assert LEVELS[0].steps == 0
    # More steps; with as many the rate met more closely, or the best of them looked for.
    asked = [(level.steps, level.checked, level.fits) for level in LEVELS]
    assert asked[1:] == sorted(asked[1:])
    # As docs/cli.md says.
    assert LEVELS[1] == LEVELS[2] == LEVELS[3] == LEVELS[4]
    assert len(set(asked)) == 7


@pytest.mark.parametrize("effort", [-1, 10, 1.5, "much", None, True])
def test_what_is_no_effort_is_refused(effort):
    with pytest.raises((ValueError, TypeError), match="effort"):
        check_effort(effort)


def test_without_torch_the_message_says_what_brings_it(monkeypatch):
    monkeypatch.setattr(levels, "find_spec", lambda name: None)
    check_torch(0)
    for effort in range(1, 10):
        with pytest.raises(
            ModuleNotFoundError, match=r"pip install 'glc-codec\[effort\]'"
        ) as found:
            check_torch(effort)
        assert found.value.name == "torch"
