"""What the package index calls this project, and how its extras are installed."""

from __future__ import annotations

__all__ = ["DISTRIBUTION", "install_command"]

DISTRIBUTION = "glc-codec"
"""The plain name belongs to something else there. The import and the command are ``glc``."""


def install_command(extra: str = "") -> str:
    """Return the command that brings an extra; without one, that brings the package."""
    return f"pip install '{DISTRIBUTION}[{extra}]'" if extra else f"pip install {DISTRIBUTION}"
