"""A network of random weights in place of SqueezeNet's, which are not part of the repository."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _without_files(random_perception):
    """What every test here looks through."""
