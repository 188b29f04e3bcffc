"""Which elements of y each coding step codes; docs/format.md, 7.3. Knows no arrays."""

from __future__ import annotations

STEP_CORNERS = ((0, 3, 2, 1), (3, 0, 1, 2), (1, 2, 3, 0), (2, 1, 0, 3))
"""STEP_CORNERS[step][quarter]: corner of the 2x2 cell (0 upper left, 1 upper right, 2 lower left,
3 lower right) that this quarter of the channels codes in this step. Columns are permutations, so
that every element is coded once."""

STEPS = len(STEP_CORNERS)
