"""Metrics, one file per kind; ``registry`` has all of them by name."""
