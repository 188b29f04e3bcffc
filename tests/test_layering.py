"""Who may import whom, read from the source, and what a bare import costs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from glc.bitstream import Container, pack

ROOT = Path(__file__).parent.parent
STDLIB = sys.stdlib_module_names

# What the run-time library may load: the dependencies of pyproject.toml but for the progress bar.
LIBRARY = {"numpy", "onnxruntime", "PIL", "constriction", "safetensors"}

# Where torch may be imported, and ONNX Runtime, whose telemetry is forbidden there.
WITH_TORCH = (
    *("glc.networks", "glc.training", "glc.dataset.decoding", "glc.dataset.torch"),
    *("glc.runtime.precision", "glc.networks.quantize", "glc.runtime.torch"),
    *("glc.effort.descent", "glc.effort.differentiable_rate", "glc.effort.look"),
    *("glc.effort.perception", "glc.effort.texture"),
)
WITH_ONNXRUNTIME = {"glc.runtime.graphs.session"}

# The archive, from its bytes to its use: each module knows only those before it.
ARCHIVE = ("format", "entry", "records", "random_access", "scan", "writer", "reader")

# Layers with a closed list: other packages, and modules of glc beside their own.
CLOSED = {
    "glc.errors": (set(), set()),
    "glc.config": (set(), {"glc.errors"}),
    "glc.bitstream": (set(), {"glc.errors", "glc.image.sniff"}),
    "glc.entropy": ({"numpy", "constriction"}, {"glc.errors"}),
    "glc.partition": (set(), set()),
    "glc.networks": (
        {"numpy", "torch"},
        {"glc.errors", "glc.config", "glc.networks.quantize", "glc.partition"},
    ),
    "glc.tiling": (set(), {"glc.config"}),
    "glc.tiling.sizes": (set(), {"glc.config"}),
    "glc.install_hint": (set(), set()),
    "glc.image.inputs": ({"numpy", "PIL"}, {"glc.image"}),
    "glc.latents.bottleneck": ({"numpy"}, set()),
    "glc.runtime.protocol": ({"numpy"}, {"glc.config"}),
    "glc.runtime.mixture": ({"numpy"}, {"glc.runtime.protocol"}),
    "glc.coding_loop": (
        {"numpy"},
        {
            *(
                "glc.config",
                "glc.entropy",
                "glc.runtime.protocol",
                "glc.tiling.sizes",
                "glc.partition",
            ),
            "glc.tiling",
        },
    ),
    "glc.coding.payload": (
        {"numpy"},
        {
            *("glc.bitstream", "glc.entropy", "glc.coding_loop", "glc.runtime.protocol"),
            *("glc.tiling.sizes", "glc.tiling", "glc.coding.tables", "glc.coding.versions"),
        },
    ),
    "glc.effort.levels": (set(), {"glc.install_hint", "glc.arguments"}),
    "glc.effort.perception": ({"torch"}, {"glc.install_hint", "glc.errors"}),
    "glc.effort.texture": ({"torch"}, set()),
    "glc.effort.look": (
        {"torch"},
        {"glc.effort.perception", "glc.effort.texture", "glc.errors"},
    ),
    "glc.effort.differentiable_rate": ({"torch"}, {"glc.entropy", "glc.networks.quantize"}),
    "glc.runtime.graphs": (
        {"numpy", "onnxruntime"},
        {
            *("glc.errors", "glc.config", "glc.partition"),
            *("glc.runtime.mixture", "glc.runtime.scale_map"),
        },
    ),
    "glc.runtime.scale_map": ({"numpy"}, {"glc.errors", "glc.config"}),
    "glc.coding.assembly": (
        {"numpy", "PIL"},
        {"glc.bitstream", "glc.config", "glc.errors", "glc.image"},
    ),
    "glc.coding.versions": (set(), {"glc.entropy"}),
    "glc.networks.quantize": ({"numpy", "torch"}, {"glc.errors"}),
    "glc.image.sniff": (set(), set()),
    "glc.arguments": (set(), {"glc.config"}),
    "glc.image.strict": ({"PIL"}, set()),
    "glc.image.bands": ({"numpy", "PIL"}, set()),
    "glc.image.exif": ({"PIL"}, {"glc.image.metadata"}),
    "glc.image.wide_samples": ({"numpy", "PIL"}, {"glc.image.bands", "glc.image.tiff"}),
    "glc.image.srgb": ({"numpy", "PIL"}, {"glc.image.bands", "glc.image.untagged_color"}),
    "glc.weights.manifest": (set(), set()),
    "glc.weights.extras": ({"numpy"}, {"glc.config", "glc.errors"}),
    "glc.weights.checkpoint": (
        {"numpy", "safetensors"},
        {"glc.config", "glc.errors", "glc.weights.extras", "glc.weights.manifest"},
    ),
    "glc.weights.registry": (
        set(),
        {"glc.errors", "glc.weights.checkpoint", "glc.weights.manifest"},
    ),
    "glc.coding.tables": (set(), {"glc.entropy", "glc.errors"}),
    "glc.rate.rate_map": (
        {"numpy"},
        {"glc.config", "glc.entropy", "glc.coding_loop", "glc.tiling.sizes"},
    ),
    "glc.rate.heatmap": ({"numpy", "PIL"}, set()),
    "glc.latents.arrays": ({"numpy"}, {"glc.config"}),
    "glc.latents.sampling": (
        {"numpy"},
        {"glc.entropy", "glc.coding_loop", "glc.runtime.protocol"},
    ),
    "glc.image.depth": ({"numpy"}, {"glc.errors"}),
    "glc.image.tiff": ({"PIL"}, {"glc.errors"}),
    "glc.image.untagged_color": ({"numpy", "PIL"}, set()),
    "glc.image.metadata": ({"PIL"}, set()),
    "glc.archive.lock": (set(), set()),
    "glc.dataset.notices": (set(), set()),
    "glc.image": (
        {"numpy", "PIL"},
        {
            *("glc.image.metadata", "glc.image.untagged_color", "glc.image.depth", "glc.errors"),
            *("glc.image.sniff", "glc.image.strict", "glc.image.tiff"),
        },
    ),
    **{
        f"glc.archive.{name}": (
            set(),
            {
                *("glc.errors", "glc.bitstream", "glc.archive.lock"),
                *(f"glc.archive.{part}" for part in ARCHIVE[: position + 1]),
            },
        )
        for position, name in enumerate(ARCHIVE)
    },
}

# The subpackages of glc that command line and evaluation may use; the rest is for the library.
PRIVATE_LAYERS = {"glc.entropy", "glc.networks", "glc.runtime.graphs", "glc.networks.quantize"}

# What commands may take from those layers: ``glc models --cost`` prints a table made there, and
# ``glc export`` writes files made there.
EXCEPTIONS = {
    ("codec_cli.commands.models", "glc.networks.cost"),
    ("codec_cli.commands.export", "glc.runtime.graphs.export"),
}

# What trains, or measures training.
TRAINERS = {
    *("codec_cli.commands.train", "codec_cli.commands.finetune"),
    *("eval.research.gpu_run", "eval.research.learning", "eval.speed.bench_training"),
}

# An example for those who do without this library.
ALONE = "examples.decode_onnx"


class Import(NamedTuple):
    """One imported module and where."""

    importer: str
    module: str
    names: tuple[str, ...]
    lazy: bool
    where: str

    @property
    def package(self) -> str:
        """The first part of the name."""
        return self.module.partition(".")[0]


def imports_of(folder: str) -> Iterator[Import]:
    """Yield every import below a folder, those inside functions marked as lazy."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        relative = path.relative_to(ROOT)
        parts = relative.with_suffix("").parts
        importer = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        yield from _walk(ast.parse(path.read_text(encoding="utf-8")), importer, relative, False)


def _walk(node: ast.AST, importer: str, path: Path, lazy: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        where = f"{path}:{getattr(child, 'lineno', 0)}"
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(importer, alias.name, (), lazy, where)
        elif isinstance(child, ast.ImportFrom):
            names = tuple(alias.name for alias in child.names)
            yield Import(importer, child.module or ".", names, lazy, where)
        elif isinstance(child, ast.Constant) and is_module(child.value):
            # import_module, whether called here or by whom the name is handed to.
            yield Import(importer, child.value.rstrip("."), (), True, where)
        elif isinstance(child, ast.Call) and _calls_import_module(child):
            yield from _imported_by_name(child, importer, lazy, where)
            yield from _walk(child, importer, path, lazy)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            # Never executed; mypy needs it.
            yield from _walk(ast.Module(child.orelse, []), importer, path, lazy)
        else:
            function = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            yield from _walk(child, importer, path, lazy or function)


def is_module(value: object) -> bool:
    """Say whether a text is the dotted name of a module of this project, or begins such names."""
    if not isinstance(value, str) or not re.fullmatch(r"(glc|codec_cli|eval)(\.\w+)+\.?", value):
        return False
    path = ROOT.joinpath(*value.rstrip(".").split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def _calls_import_module(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)
    return name in {"import_module", "__import__"}


def _imported_by_name(call: ast.Call, importer: str, lazy: bool, where: str) -> Iterator[Import]:
    """Yield the package of somebody else that a call names; those of this project are seen."""
    for argument in call.args[:1]:
        if isinstance(argument, ast.Constant) and not is_module(argument.value):
            yield Import(importer, str(argument.value), (), lazy, where)


def inside(module: str, layer: str) -> bool:
    return module == layer or module.startswith(layer + ".")


def complain(offenders: list[Import], rule: str) -> None:
    lines = [f"{item.where}: imports {item.module}" for item in offenders]
    assert not lines, "\n".join([rule, *lines])


GLC = list(imports_of("glc"))
CLI = list(imports_of("codec_cli"))
EVAL = list(imports_of("eval"))


def test_the_reader_of_imports_sees_this_file() -> None:
    own = [item for item in imports_of("tests") if item.importer == "tests.test_layering"]
    assert {"ast", "glc.bitstream"} <= {item.module for item in own}
    assert any(item.lazy for item in _walk(ast.parse("def f():\n import a"), "", Path(), False))


@pytest.mark.parametrize(
    ("code", "module"),
    [
        ("import_module('glc.training')", "glc.training"),
        ("importlib.import_module('torch')", "torch"),
        ("_LAZY = {'Codec': 'glc.codec'}", "glc.codec"),
        ("import_module(f'codec_cli.commands.{name}')", "codec_cli.commands"),
        ("hand_over('train', 'glc.training', 'train', arguments)", "glc.training"),
    ],
)
def test_the_reader_of_imports_sees_names_in_strings(code: str, module: str) -> None:
    assert [item.module for item in _walk(ast.parse(code), "", Path(), False)] == [module]


def test_the_reader_of_imports_takes_no_other_string_for_a_module() -> None:
    code = "print('photo.glc', 'glc.js', 'glc.training is a package', 'glc')"
    assert not list(_walk(ast.parse(code), "", Path(), False))


@pytest.mark.parametrize("layer", CLOSED)
def test_closed_layers(layer: str) -> None:
    packages, modules = CLOSED[layer]
    offenders = [
        item
        for item in GLC
        if inside(item.importer, layer)
        and item.package not in STDLIB | packages
        and not any(inside(item.module, allowed) for allowed in {layer, *modules})
    ]
    complain(offenders, f"{layer} may import {sorted(packages | modules) or 'nothing'}")


def test_the_library_needs_only_its_dependencies() -> None:
    offenders = [
        item
        for item in GLC
        if not inside(item.importer, "glc.training")
        and not (inside(item.importer, "glc.dataset") and item.lazy)
        and item.package not in STDLIB | LIBRARY | {"glc", "torch"}
    ]
    complain(offenders, f"the library may import {sorted(LIBRARY)}, and torch where it is named")


def test_runtimes_are_imported_in_few_places() -> None:
    offenders = [
        item
        for item in GLC
        if (item.package == "torch" and not any(inside(item.importer, w) for w in WITH_TORCH))
        or (item.package == "onnxruntime" and item.importer not in WITH_ONNXRUNTIME)
    ]
    complain(offenders, "torch and onnxruntime are imported where that was decided")
    everywhere = [*GLC, *CLI, *EVAL, *imports_of("examples"), *imports_of("tests")]
    named = [item for item in everywhere if item.package == "onnxruntime"]
    assert [item.lazy for item in named if item.importer != ALONE] == [True]
    torch = [item for item in GLC if item.module == "glc.runtime.torch"]
    offenders = [
        item for item in torch if not item.lazy and not inside(item.importer, "glc.training")
    ]
    complain(offenders, "what needs torch is imported when it is asked for")


def test_the_example_of_exported_graphs_needs_two_packages() -> None:
    found = {item.package for item in imports_of("examples") if item.importer == ALONE}
    assert found - STDLIB == {"numpy", "onnxruntime"}


def test_the_library_knows_neither_the_command_nor_the_evaluation() -> None:
    offenders = [item for item in GLC if item.package in {"codec_cli", "eval", "tests", "rich"}]
    complain(offenders, "glc may not import what is built on it")


def test_nothing_imports_training() -> None:
    offenders = [
        item
        for item in GLC + CLI + EVAL
        if inside(item.module, "glc.training")
        or (item.module == "glc" and "training" in item.names)
        if not inside(item.importer, "glc.training")
        if not (item.importer in TRAINERS and item.lazy)
    ]
    complain(offenders, f"only {sorted(TRAINERS)} may import glc.training, and lazily")


def test_nothing_is_built_on_experiments() -> None:
    offenders = [
        item
        for item in GLC + CLI + EVAL
        if inside(item.module, "eval.research")
        if not inside(item.importer, "eval.research")
    ]
    complain(offenders, "eval.research is not in the wheel")


def test_the_command_and_the_evaluation_use_public_names() -> None:
    offenders = [
        item
        for item in CLI + EVAL
        if item.package == "glc"
        and any(
            part.startswith("_") for name in (*item.names, item.module) for part in name.split(".")
        )
    ]
    complain(offenders, "codec_cli and eval use public names")
    offenders = [
        item
        for item in CLI
        if any(inside(item.module, layer) for layer in PRIVATE_LAYERS)
        and not (item.lazy and (item.importer, item.module) in EXCEPTIONS)
    ]
    complain(offenders, "codec_cli goes through Codec, not through its layers")


def test_the_command_imports_torch_nowhere_at_the_top() -> None:
    heavy = {"torch", "lpips", "torchvision", "constriction"}
    offenders = [item for item in CLI if item.package in heavy and not item.lazy]
    complain(offenders, "codec_cli imports heavy packages lazily")


def test_imports_are_absolute() -> None:
    complain([item for item in GLC + CLI + EVAL if item.module == "."], "imports are absolute")


def run_python(code: str, *arguments: str) -> str:
    """Run code in a new interpreter in the root of the project and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


HEAVY = "print(sorted({'torch', 'lpips', 'torchvision'} & set(sys.modules)))"


@pytest.mark.system
@pytest.mark.parametrize(
    "module",
    [
        "glc",
        "glc.codec",
        "glc.errors",
        "glc.bitstream",
        "glc.weights.checkpoint",
        "glc.dataset",
        "glc.pillow",
        "codec_cli.main",
    ],
)
def test_importing_costs_no_torch(module: str) -> None:
    assert run_python(f"import sys, {module}\n{HEAVY}").strip() == "[]"


@pytest.mark.system
def test_importing_the_bitstream_costs_no_numpy() -> None:
    code = "import sys, glc.bitstream\nprint({'numpy', 'PIL'} & set(sys.modules))"
    assert run_python(code).strip() == "set()"


@pytest.mark.system
def test_info_costs_no_torch(tmp_path: Path) -> None:
    path = tmp_path / "photo.glc"
    path.write_bytes(pack(Container(768, 512, 50, b"\x01\x02\x03", b"payload")))
    code = """
import sys
from codec_cli.main import main
sys.argv = ["glc", "info", sys.argv[1]]
try:
    main()
except SystemExit:
    pass
print("torch" in sys.modules)
"""
    lines = run_python(code, str(path)).splitlines()
    assert lines[-1] == "False"
    assert any("768" in line for line in lines)


@pytest.mark.system
def test_encoding_and_decoding_need_no_package_of_an_extra() -> None:
    code = """
import sys
import glc
glc.Codec
print(sorted({'lpips', 'torchvision', 'compressai', 'matplotlib'} & set(sys.modules)))
"""
    assert run_python(code).strip() == "[]"
