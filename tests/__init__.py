"""A package, so that the `tests` of some other distribution cannot take its place."""
