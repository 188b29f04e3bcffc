"""What a docstring of a public call has to say, as far as a machine can tell."""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import glc.errors

ROOT = Path(__file__).parent.parent
MODULES = (
    "glc",
    "glc.archive.reader",
    "glc.bitstream",
    "glc.dataset",
    "glc.entropy",
    "glc.image",
    "glc.pillow",
    "glc.rate.heatmap",
    "glc.tiling.geometry",
    "glc.weights.checkpoint",
    "glc.weights.manifest",
    "glc.weights.registry",
    "eval.codecs.adapters",
    "eval.metrics.grid",
    "eval.metrics.pixels",
    "eval.metrics.registry",
    "eval.pictures",
    "eval.records",
)
"""What documentation tells others to import, and what they add to."""

ERRORS = {*glc.errors.__all__, "Unavailable"} | {
    name for name, found in vars(builtins).items() if isinstance(found, type)
}
"""Errors that a caller may catch; what others a module defines for itself stay inside of it."""


def names_of(module: ModuleType) -> list[str]:
    """Return what a module offers: what it lists, else what it defines."""
    own = (name for name, found in vars(module).items() if is_of(found, module.__name__))
    return [name for name in getattr(module, "__all__", own) if not name.startswith("_")]


def is_of(found: Any, module: str) -> bool:
    return (inspect.isfunction(found) or inspect.isclass(found)) and found.__module__ == module


def calls() -> Iterator[tuple[str, Any, str]]:
    """Yield name, callable and docstring of every function, class and method that is public."""
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        for name in names_of(module):
            found, where = getattr(module, name), f"{module_name}.{name}"
            if inspect.isfunction(found):
                yield where, found, inspect.getdoc(found) or ""
            elif inspect.isclass(found):
                yield from calls_of(found, where)


def calls_of(found: type, where: str) -> Iterator[tuple[str, Any, str]]:
    begin = vars(found).get("__init__")
    made = hasattr(found, "__dataclass_fields__") or getattr(found, "_is_protocol", False)
    written = begin is not None and not made
    of_begin = (inspect.getdoc(begin) or "") if written and begin.__doc__ else ""
    yield where, begin if written else found, f"{inspect.getdoc(found) or ''}\n{of_begin}"
    for name, member in vars(found).items():
        if isinstance(member, property):
            member = member.fget  # noqa: PLW2901 - what the property calls
        elif isinstance(member, (classmethod, staticmethod)):
            member = member.__func__  # noqa: PLW2901 - the same
        if inspect.isfunction(member) and not name.startswith("_"):
            yield f"{where}.{name}", member, inspect.getdoc(getattr(found, name)) or ""


CALLS = {name: (call, text) for name, call, text in calls()}


def test_the_calls_are_found():
    assert {"glc.Codec", "glc.Codec.encode", "glc.dataset.compress"} <= CALLS.keys()


@pytest.mark.parametrize("name", CALLS)
def test_says_what_it_does(name):
    assert CALLS[name][1].strip()


@pytest.mark.parametrize("name", CALLS)
def test_names_every_parameter(name):
    call, text = CALLS[name]
    if inspect.isclass(call):  # its fields are documented where they stand
        return
    parameters = [p for p in inspect.signature(call).parameters if p not in ("self", "cls")]
    assert [p for p in parameters if not re.search(rf"\b{p}\b", text)] == []


@pytest.mark.parametrize("name", CALLS)
def test_sends_nobody_elsewhere(name):
    assert re.findall(r"(?i)see the class|\bDESIGN\b", CALLS[name][1]) == []


def raised_by(function: ast.FunctionDef) -> set[str]:
    """Return the errors that the function's own body raises and does not catch."""
    found: set[str] = set()
    nodes: list[ast.AST] = list(function.body)
    while nodes:
        node = nodes.pop()
        if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Lambda, ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.Raise) and node.exc is not None:
            error = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            found.add(ast.unparse(error).rpartition(".")[2])
        if isinstance(node, ast.Try):  # what the handlers of a try name does not leave it
            nodes += [*node.orelse, *node.finalbody, *(n for h in node.handlers for n in h.body)]
            caught = {ast.unparse(h.type) for h in node.handlers if h.type is not None}
            inner = ast.FunctionDef(name="", args=function.args, body=node.body, decorator_list=[])
            found |= raised_by(inner) - caught
            continue
        nodes += ast.iter_child_nodes(node)
    return found & ERRORS


def public_functions(tree: ast.Module | ast.ClassDef) -> Iterator[tuple[ast.FunctionDef, str]]:
    """Yield every public function and method with what explains it: its docstring, or for
    ``__init__`` its own and that of its class.
    """
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield from public_functions(node)
        elif isinstance(node, ast.FunctionDef):
            text = ast.get_docstring(node) or ""
            if node.name == "__init__" and isinstance(tree, ast.ClassDef):
                yield node, f"{ast.get_docstring(tree) or ''}\n{text}"
            elif text and not node.name.startswith("_"):
                yield node, text


def untold(source: str) -> list[str]:
    return [
        f"{function.name}: {error}"
        for function, text in public_functions(ast.parse(source))
        for error in sorted(raised_by(function))
        if not re.search(rf"\b{error}\b", text)
    ]


@pytest.mark.parametrize("folder", ["glc", "eval"])
def test_what_a_function_raises_is_told(folder):
    sources = {p.relative_to(ROOT).as_posix(): p for p in (ROOT / folder).rglob("*.py")}
    missing = {name: untold(path.read_text(encoding="utf-8")) for name, path in sources.items()}
    assert {name: errors for name, errors in missing.items() if errors} == {}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("raise ValueError('x')", ["call: ValueError"]),
        ("raise glc.errors.LimitError", ["call: LimitError"]),
        ("try:\n    raise ValueError\nexcept ValueError:\n    pass", []),
        ("try:\n    pass\nexcept OSError as e:\n    raise TypeError from e", ["call: TypeError"]),
        ("def inner():\n    raise ValueError", []),
    ],
)
def test_finds_what_is_raised(body, expected):
    source = 'def call():\n    """Do it."""\n' + textwrap.indent(body, "    ")
    assert untold(source) == expected
