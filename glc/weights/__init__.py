"""Weights files: their identity, where models are found, and those that are loaded already.

Importing this package loads neither numpy nor torch.
"""
