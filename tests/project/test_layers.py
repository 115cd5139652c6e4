"""Folders are layers: a file uses only its own layer and those below it (docs/architecture.md)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CSRC = ROOT / "csrc"
PACKAGE = ROOT / "python" / "qkern"

# Top to bottom.
CPP_LAYERS = ["bindings", "program", "ops", "isa", "conv", "gemm", "elementwise", "cpu", "threading", "tensor"]
PYTHON_LAYERS = [
    "cli",
    "golden",
    "backend",
    "demo",
    "pipeline",
    "report",
    "conversion",
    "calibration",
    "runtime",
    "fusion",
    "operators",
    "program",
    "graph_values",
    "reference_list",
    "model_file",
    "node_schema",
    "tensor_data",
    "atomic_file",
    "target",
    "codebook",
    "qarray",
    "scheme",
    "profiling",
    "timing",
    "isa",
    "threadpoolctl_controller",
    "locks",
    "_core",
]

# The list of tiers as CMake writes it: data that two layers are made from, not code of the upper one.
GENERATED = {"isa/tier_list.inc", "isa/foreign_tiers.inc"}

# What the package exports under its own name is from the bottom layer, except for these.
EXPORTS = {
    "quantize_model": "pipeline",
    "QuantizedModel": "pipeline",
    "analyze": "report",
    "Session": "runtime",
    "QArray": "qarray",
    "asquantized": "qarray",
    "Codebook": "codebook",
}


def test_every_folder_of_csrc_is_a_layer():
    assert {path.name for path in CSRC.iterdir() if path.is_dir()} == set(CPP_LAYERS)


def test_every_part_of_the_package_is_a_layer():
    parts = {path.stem for path in PACKAGE.glob("*.py*")} | {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert parts - {"__init__", "__main__", "py"} <= set(PYTHON_LAYERS)


@pytest.mark.parametrize("path", sorted(CSRC.rglob("*.[hc]*")), ids=lambda path: str(path.relative_to(CSRC)))
def test_includes_go_down(path: Path):
    if path.suffix not in {".h", ".cc"}:
        return
    own = CPP_LAYERS.index(path.relative_to(CSRC).parts[0])
    for target in re.findall(r'^\s*#\s*include\s+"([^"]+)"', path.read_text(), re.MULTILINE):
        if target in GENERATED:
            continue
        assert (CSRC / target).exists(), f'"{target}": includes are written from csrc/'
        assert CPP_LAYERS.index(Path(target).parts[0]) >= own, f"{target} is in a layer above"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path: Path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    if parts[0] in {"__init__", "__main__"}:  # the package itself names everything
        return
    own = PYTHON_LAYERS.index(parts[0])
    for line, layer in imported_layers(ast.parse(path.read_text()), parts):
        assert PYTHON_LAYERS.index(layer) >= own, f"{path.name}:{line} imports {layer}, a layer above {parts[0]}"


def test_no_module_imports_itself_through_others():
    """Imports for types only are imports too."""
    modules = {module_of(path): path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem[0] != "_"}
    graph = {name: set(imported_modules(name, path, modules)) for name, path in modules.items()}
    while leaves := {name for name, others in graph.items() if not others}:
        graph = {name: others - leaves for name, others in graph.items() if name not in leaves}
    assert not graph, f"circles among {', '.join(sorted(graph))}"


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def imported_modules(name: str, path: Path, modules: dict[str, Path]) -> Iterator[str]:
    """The modules of the package that one imports, wherever it is in the file."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for each in absolute(node, parts):
                found = each if each in modules else each.rpartition(".")[0]
                if found in modules and found != name:
                    yield found


def imported_layers(tree: ast.Module, parts: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Line and layer of every import of the package, wherever it is in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.split(".")[0] == "qkern"]
        elif isinstance(node, ast.ImportFrom):
            names = absolute(node, parts)
        else:
            continue
        for name in names:
            inside = name.split(".")[1:]
            if inside:
                yield node.lineno, inside[0] if inside[0] in PYTHON_LAYERS else EXPORTS.get(inside[0], "_core")


def absolute(node: ast.ImportFrom, parts: tuple[str, ...]) -> list[str]:
    """Dotted names that a from-import binds, from the package down; empty for another package."""
    if node.level == 0:
        base = (node.module or "").split(".")
        if base[0] != "qkern":
            return []
    else:
        base = ["qkern", *parts][: len(parts) + 1 - node.level] + (node.module.split(".") if node.module else [])
    return [".".join([*base, alias.name]) for alias in node.names]


@pytest.mark.parametrize(
    ("source", "parts", "layers"),
    [
        ("from ..scheme import Scheme", ("fusion", "pad"), ["scheme"]),
        ("from . import constant", ("fusion", "pad"), ["fusion"]),
        ("from .. import isa, matmul, Session", ("fusion", "pad"), ["isa", "_core", "runtime"]),
        ("from .runtime.session import Session", ("pipeline",), ["runtime"]),
        ("import numpy, qkern.cli", ("pipeline",), ["cli"]),
        ("def f():\n    from ..runtime import builder", ("operators", "conv"), ["runtime"]),
        ("if TYPE_CHECKING:\n    from ..runtime import builder", ("operators", "conv"), ["runtime"]),
    ],
)
def test_the_scan_sees_every_kind_of_import(source: str, parts: tuple[str, ...], layers: list[str]):
    assert [layer for _, layer in imported_layers(ast.parse(source), parts)] == layers
