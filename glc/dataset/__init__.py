"""Whole datasets: compress them in one call, keep them in one file, read them back.

Importing this package loads neither torch nor numpy.
"""
