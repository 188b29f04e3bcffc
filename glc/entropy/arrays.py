"""Checked reading and checksums of the integer arrays that hold tables.

Knows nothing of what the integers mean.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glc.errors import WeightsError

IntArray = NDArray[np.integer[Any]]
Int32Array = NDArray[np.int32]


def frozen_int32(array: object, name: str, ndim: int) -> Int32Array:
    """Return a read-only, contiguous int32 copy of an array of a checkpoint.

    Raises:
        WeightsError: not an array of integers, of another rank, or with values beyond int32.
    """
    if not isinstance(array, np.ndarray) or not np.issubdtype(array.dtype, np.integer):
        found = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise WeightsError(f"{name}: expected an integer array, found {found}; reinstall the model")
    if array.ndim != ndim:
        raise WeightsError(
            f"{name}: expected {ndim} dimensions, found shape {array.shape}; reinstall the model"
        )
    limits = np.iinfo(np.int32)
    if array.size and (int(array.min()) < limits.min or int(array.max()) > limits.max):
        raise WeightsError(f"{name}: values beyond 32 bits; reinstall the model")
    copy = np.array(array, dtype=np.int32, order="C")
    copy.setflags(write=False)
    return copy


def entries(arrays: Mapping[str, NDArray[Any]], names: tuple[str, ...]) -> list[NDArray[Any]]:
    """Return the named arrays, in order.

    Raises:
        WeightsError: one is missing, or there are others.
    """
    if set(arrays) != set(names):
        raise WeightsError(
            f"probability tables: expected the arrays {sorted(names)}, found {sorted(arrays)}; "
            "reinstall the model"
        )
    return [arrays[name] for name in names]


def message_integers(array: object, name: str) -> IntArray:
    """Return the argument of a coding call, checked to be a vector of integers.

    Raises:
        TypeError: not an array of integers.
        ValueError: not one-dimensional.
    """
    if not isinstance(array, np.ndarray) or not np.issubdtype(array.dtype, np.integer):
        found = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise TypeError(f"{name}: expected an integer numpy array, found {found}")
    if array.ndim != 1:
        raise ValueError(f"{name}: expected one dimension, found shape {array.shape}")
    return array


def checksum(*arrays: Int32Array) -> int:
    """Return the CRC-32 of the arrays' shapes and values, as little-endian int32."""
    crc = 0
    for array in arrays:
        shape = np.array([array.ndim, *array.shape], dtype="<i4")
        crc = zlib.crc32(array.astype("<i4").tobytes(), zlib.crc32(shape.tobytes(), crc))
    return crc
