"""The error tree: one root, one class per defect, drawn as it is."""

from __future__ import annotations

import inspect

import pytest

import glc
from glc import errors

TREE = {
    "GlcError": Exception,
    "BitstreamError": errors.GlcError,
    "NotGlcError": errors.BitstreamError,
    "VersionError": errors.BitstreamError,
    "TruncatedError": errors.BitstreamError,
    "CorruptError": errors.BitstreamError,
    "LimitError": errors.BitstreamError,
    "WeightsError": errors.GlcError,
    "ImageError": errors.GlcError,
}


def test_the_tree() -> None:
    found = {
        name: cls.__base__
        for name, cls in inspect.getmembers(errors, inspect.isclass)
        if cls.__module__ == errors.__name__
    }
    assert found == TREE
    assert sorted(errors.__all__) == sorted(TREE)


@pytest.mark.parametrize("name", TREE)
def test_every_error_is_drawn_explained_and_exported(name: str) -> None:
    assert errors.__doc__ is not None
    assert f" {name}" in errors.__doc__
    assert getattr(errors, name).__doc__
    assert getattr(glc, name) is getattr(errors, name)


def test_bad_data_is_not_a_wrong_call() -> None:
    assert not issubclass(errors.GlcError, (ValueError, TypeError))


def test_exports_exist_and_are_sorted() -> None:
    assert glc.__all__ == sorted(glc.__all__)
    assert set(glc.__all__) <= set(dir(glc))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = glc.nothing
