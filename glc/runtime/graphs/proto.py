"""ONNX models as bytes: the few messages of the format that a feed-forward network needs.

Knows nothing of the codec. Field numbers are those of onnx.proto (IR version 8, operator set 17),
which never change their meaning; writing them here spares a dependency and its import.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Graph"]

_IR_VERSION = 8
_OPSET = 17
_TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7}
_FLOAT, _INT, _STRING, _INTS = 1, 2, 3, 7

_Attribute: TypeAlias = "int | float | str | Sequence[int]"
_Shape: TypeAlias = "Sequence[int | str]"


class Graph:
    """Collects operators and constants. Values are named by the strings that the methods return.

    Constants are kept as they come, and floats become float32 in ``to_bytes``, so that a graph that
    is never run costs next to nothing.

    Attributes:
        inputs: name, shape and kind of each, in order.
        outputs: the same of what comes out.
    """

    def __init__(self) -> None:
        self.inputs: list[tuple[str, _Shape, str]] = []
        self.outputs: list[tuple[str, _Shape, str]] = []
        self._nodes: list[bytes] = []
        self._constants: list[tuple[str, NDArray[np.generic]]] = []
        self._names = 0

    def input(self, name: str, shape: _Shape, kind: str = "float32") -> str:
        """Declare an input; sizes that may vary are given as names. Returns ``name``."""
        self.inputs.append((name, shape, kind))
        return name

    def output(self, name: str, value: str, shape: _Shape, kind: str = "float32") -> None:
        """Declare a value an output, called ``name`` outside."""
        self._add("Identity", (value,), (name,), {})
        self.outputs.append((name, shape, kind))

    def constant(self, array: NDArray[np.generic]) -> str:
        """Add a constant: uint8, int8, int32, int64, or float32 whatever float it is here."""
        name = self._fresh()
        self._constants.append((name, array))
        return name

    def scalar(self, value: float) -> str:
        """Add a constant of no dimensions."""
        return self.constant(np.array(value, np.float32))

    def node(self, operator: str, *inputs: str, **attributes: _Attribute) -> str:
        """Apply an operator that has one output."""
        name = self._fresh()
        self._add(operator, inputs, (name,), attributes)
        return name

    def to_bytes(self) -> bytes:
        """Return the model file."""
        graph = [_bytes(1, node) for node in self._nodes]
        graph.append(_text(2, "glc"))
        for name, array in self._constants:
            graph += _tensor(name, array)
        graph += [_bytes(11, _value(*value)) for value in self.inputs]
        graph += [_bytes(12, _value(*value)) for value in self.outputs]
        opset = _bytes(8, _text(1, "") + _integer(2, _OPSET))
        size = _varint(sum(map(len, graph)))
        return b"".join([_integer(1, _IR_VERSION), opset, _tag(7, 2), size, *graph])

    def _fresh(self) -> str:
        self._names += 1
        return f"v{self._names}"

    def _add(
        self,
        operator: str,
        inputs: Iterable[str],
        outputs: Iterable[str],
        attributes: dict[str, _Attribute],
    ) -> None:
        node = b"".join(_text(1, name) for name in inputs)
        node += b"".join(_text(2, name) for name in outputs)
        node += _text(4, operator)
        node += b"".join(_bytes(5, _attribute(*item)) for item in attributes.items())
        self._nodes.append(node)


def _tensor(name: str, array: NDArray[np.generic]) -> list[bytes]:
    """Return an initializer as pieces, so that its data is not copied more than once."""
    kind = "float32" if array.dtype.kind == "f" else array.dtype.name
    data = array.astype(np.dtype(kind).newbyteorder("<")).tobytes()
    head = b"".join(_integer(1, size) for size in array.shape)
    head += _integer(2, _TYPES[kind]) + _text(8, name) + _tag(9, 2) + _varint(len(data))
    return [_tag(5, 2), _varint(len(head) + len(data)), head, data]


def _value(name: str, shape: _Shape, kind: str) -> bytes:
    sizes = b"".join(
        _bytes(1, _text(2, size) if isinstance(size, str) else _integer(1, size)) for size in shape
    )
    tensor = _integer(1, _TYPES[kind]) + _bytes(2, sizes)
    return _text(1, name) + _bytes(2, _bytes(1, tensor))


def _attribute(name: str, value: _Attribute) -> bytes:
    head = _text(1, name)
    if isinstance(value, int):
        return head + _integer(3, value) + _integer(20, _INT)
    if isinstance(value, float):
        return head + _tag(2, 5) + struct.pack("<f", value) + _integer(20, _FLOAT)
    if isinstance(value, str):
        return head + _text(4, value) + _integer(20, _STRING)
    return head + b"".join(_integer(8, item) for item in value) + _integer(20, _INTS)


def _tag(field: int, wire: int) -> bytes:
    return _varint(field << 3 | wire)


def _varint(value: int) -> bytes:
    # Negative numbers count as their 64-bit two's complement.
    value &= (1 << 64) - 1
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _integer(field: int, value: int) -> bytes:
    return _tag(field, 0) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _tag(field, 2) + _varint(len(value)) + value


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())
