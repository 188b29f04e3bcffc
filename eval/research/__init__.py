"""Experiments behind docs/: no tools for users, and not in the wheel."""
