"""The bytes of ONNX models."""

from __future__ import annotations

import numpy as np

from glc.runtime.graphs.proto import Graph
from glc.runtime.graphs.session import open_session


def run(graph: Graph, **inputs: np.ndarray) -> list[np.ndarray]:
    return open_session(graph, False).run(None, inputs)


def test_the_bytes_of_a_small_graph() -> None:
    graph = Graph()
    x = graph.input("x", (1, "w"))
    graph.output("y", graph.node("Elu", graph.node("Add", x, graph.scalar(2.0)), alpha=0.5), (1,))
    expected = (
        "0808"  # IR version 8
        "4204 0a00 1011"  # operator set: domain "", version 17
        "3a7f"  # the graph
        "0a10 0a0178 0a027631 12027632 2203416464"  # v2 = Add(x, v1)
        "0a1e 0a027632 12027633 2203456c75"  # v3 = Elu(v2)
        "2a0f 0a05616c706861 150000003f a00101"  # alpha = 0.5, a float
        "0a11 0a027633 120179 22084964656e74697479"  # y = Identity(v3)
        "1203 676c63"  # its name, "glc"
        "2a0c 1001 42027631 4a0400000040"  # v1: float32, no dimensions, 2.0
        "5a14 0a0178 120f 0a0d 0801 1209 0a020801 0a03120177"  # x: float32, (1, "w")
        "620f 0a0179 120a 0a08 0801 1204 0a020801"  # y: float32, (1,)
    )
    assert graph.to_bytes().hex() == expected.replace(" ", "")


def test_a_runtime_accepts_every_kind_of_attribute_and_type() -> None:
    graph = Graph()
    x = graph.input("x", ("n", 4, "h", "w"), "uint8")
    shuffled = graph.node("DepthToSpace", graph.node("Cast", x, to=1), blocksize=2, mode="CRD")
    scaled = graph.node("LeakyRelu", shuffled, alpha=0.25)
    added = graph.node("Add", scaled, graph.constant(np.full((1, 1, 1, 1), -1.5, np.float16)))
    graph.output("y", graph.node("ReduceSum", added, keepdims=1), (1, 1, 1, 1))
    graph.output("z", graph.node("Transpose", added, perm=[0, 2, 3, 1]), ("n", "H", "W", 1))
    values = np.arange(24, dtype=np.uint8).reshape(1, 4, 2, 3)
    total, pixels = run(graph, x=values)
    assert total.item() == values.sum() - 1.5 * 24
    expected = values.reshape(2, 2, 2, 3).transpose(2, 0, 3, 1).reshape(1, 4, 6, 1) - 1.5
    assert np.array_equal(pixels, expected)


def test_negative_and_large_integers() -> None:
    graph = Graph()
    x = graph.input("x", ("n", 300))
    first, second = "Softmax", "ReduceMax"
    graph.output("y", graph.node(second, graph.node(first, x, axis=-1), axes=[-1]), ("n", 1))
    (found,) = run(graph, x=np.zeros((2, 300), np.float32))
    assert np.allclose(found, 1 / 300)
