"""The targets by name; each is loaded when it is asked for, since some need torch."""

from __future__ import annotations

from importlib import import_module

from tests.fuzz.ledger import Target

NAMES = ("container", "entropy", "alpha", "info", "picture", "decode", "weights", "archive")


def load(name: str) -> Target:
    """Return a target, ready to run."""
    target: Target = import_module(f"tests.fuzz.targets.{name}").make()
    return target
