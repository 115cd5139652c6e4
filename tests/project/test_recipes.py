"""The recipes of CONTRIBUTING.md: what belongs together is there, or this fails and names what is missing."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest
import qkern

ROOT = Path(__file__).parents[2]
CSRC = ROOT / "csrc"
PACKAGE = ROOT / "python" / "qkern"
TESTS = ROOT / "tests"

# Parts of operators; none is one.
PARTS_OF_OPERATORS = {
    "formulas",
    "conv_cost",
    "conv_depthwise",
    "conv_groups",
    "conv_image",
    "conv_source",
    "conv_winograd",
}


@cache
def text_of_tests(folder: str = "") -> str:
    here = Path(__file__).parent
    paths = sorted(path for path in (TESTS / folder).rglob("*.py") if here not in path.parents)
    return "\n".join(path.read_text() for path in paths)


def mentioned(name: str, text: str) -> bool:
    return re.search(rf"\b{re.escape(name)}\b", text) is not None


# --- a new ISA ----------------------------------------------------------------

TABLE = (CSRC / "isa" / "CMakeLists.txt").read_text().partition("set(QKERN_TIERS")[2].partition("\n)")[0]
TIERS = re.findall(r'^\s*"(\w+)\s*\|\s*(\w+)\s*\|([^|]*)\|', TABLE, re.MULTILINE)


def test_the_table_lists_the_files_of_the_tiers():
    files = {path.stem for path in (CSRC / "isa").glob("*.cc")} - {"kernel_table"}
    assert {name for name, _, _ in TIERS} == files


@pytest.mark.parametrize("tier", [name for name, _, _ in TIERS])
def test_a_tier_has_one_spelling(tier: str):
    source = (CSRC / "isa" / f"{tier}.cc").read_text()
    assert f'name = "{tier}"' in source
    assert f"kernel_table_{tier}()" in source
    assert mentioned(tier, (ROOT / "README.md").read_text()), "missing in the README's table"
    assert mentioned(tier, (ROOT / "docs" / "micro_kernels.md").read_text()), "missing in docs/micro_kernels.md"


def test_the_features_of_a_tier_are_detected():
    detection = (CSRC / "cpu" / "features.cc").read_text()
    asked = {feature for _, _, features in TIERS for feature in features.split()}
    assert {feature for feature in asked if f'"{feature}"' not in detection} == set()


def test_the_build_has_the_tiers_of_its_processor_in_the_table_s_order():
    compiled = qkern.isa.compiled()
    assert compiled == [name for name, _, _ in TIERS if name in compiled]
    assert compiled[-1] == "scalar"


# --- a new operator -----------------------------------------------------------


def test_every_source_file_is_built():
    listed = set(re.findall(r"csrc/\S+\.cc", (ROOT / "CMakeLists.txt").read_text()))
    sources = {str(path.relative_to(ROOT)) for path in CSRC.rglob("*.cc") if path.parent.name != "isa"}
    assert listed == sources


OPERATORS = sorted({path.stem for path in (CSRC / "ops").glob("*.cc")} - PARTS_OF_OPERATORS)


@pytest.mark.parametrize("operator", OPERATORS)
def test_an_operator_has_header_and_binding(operator: str):
    assert (CSRC / "ops" / f"{operator}.h").exists()
    assert (CSRC / "bindings" / f"bind_{operator}.cc").exists()


BINDINGS = sorted(path.stem for path in (CSRC / "bindings").glob("bind_*.cc"))


@pytest.mark.parametrize("binding", BINDINGS)
def test_a_binding_is_in_the_module_the_stub_and_the_tests(binding: str):
    source = (CSRC / "bindings" / f"{binding}.cc").read_text()
    binds = f"  {binding}(m);" in (CSRC / "bindings" / "module.cc").read_text()
    makes = f"  {binding.replace('bind', 'add_native')}(calls);" in (CSRC / "bindings" / "bind_program.cc").read_text()
    assert binds or makes
    functions = re.findall(r'm\.def\(\s*"(\w+)"', source)
    classes = re.findall(r'(?:class_|BoundClass|bind_layer)<[^;(]*>\s*\(m, "(\w+)"', source)
    natives = re.findall(r'def_static\(\s*"(\w+)"', source)
    assert bool(functions or classes) == binds
    assert bool(natives) == makes
    stub = (PACKAGE / "_core.pyi").read_text()
    exported = "\n".join(path.read_text() for path in PACKAGE.glob("*.py"))
    for name in (*functions, *classes):
        assert re.search(rf"^(?:def|class) {name}\b", stub, re.MULTILINE), f"{name} is not in _core.pyi"
        # What the package wraps in a function of its own is tested through that.
        wrapped = re.search(rf"_core\.{name}\b", exported) is not None
        assert wrapped or mentioned(name, text_of_tests()), f"{name} has no test"
    for name in natives:
        assert re.search(rf"^    def {name}\b", stub, re.MULTILINE), f"NativeCall.{name} is not in _core.pyi"
        assert f"NativeCall.{name}(" in calls_of_the_package(), f"nothing makes a NativeCall.{name}"


def calls_of_the_package() -> str:
    """Sources of the calls, each of which tests/program/test_calls.py compares with its native one."""
    return "\n".join(path.read_text() for part in ("program", "operators") for path in (PACKAGE / part).glob("*.py"))


def list_of(folder: str) -> str:
    return (PACKAGE / folder / "__init__.py").read_text()


ONNX_OPERATORS = sorted(
    path.stem for path in (PACKAGE / "operators").glob("*.py") if path.stem not in {"__init__", "operator"}
)


@pytest.mark.parametrize("operator", ONNX_OPERATORS)
def test_an_onnx_operator_is_listed_and_tested(operator: str):
    assert mentioned(operator, list_of("operators")), "not in operators/__init__.py"
    source = (PACKAGE / "operators" / f"{operator}.py").read_text()
    types = re.findall(r'\bop_type(?:: str)? = "(\w+)"', source)
    assert not [op_type for op_type in types if not re.search(rf'"{op_type}"', text_of_tests())], "no test names it"


# --- a new fusion pass, observer or correction --------------------------------


def functions_of(path: Path) -> dict[str, ast.FunctionDef]:
    tree = ast.parse(path.read_text())
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def is_pass(function: ast.FunctionDef) -> bool:
    """`(model) -> list[Fused]`."""
    returns = "" if function.returns is None else ast.unparse(function.returns)
    return returns == "list[Fused]" and [argument.arg for argument in function.args.args] == ["model"]


PASSES = sorted(
    (name, path.name)
    for path in (PACKAGE / "fusion").glob("*.py")
    if path.stem != "__init__"
    for name, function in functions_of(path).items()
    if is_pass(function) and not name.startswith("_")
)


@pytest.mark.parametrize(("name", "file"), PASSES)
def test_a_fusion_pass_is_listed_and_tested(name: str, file: str):
    passes = re.search(r"^PASSES\b[^=]*=\s*\(([^)]*)\)", list_of("fusion"), re.MULTILINE)
    assert passes
    assert mentioned(name, passes[1]), f"{file}: {name} is not in PASSES"
    assert (TESTS / "fusion" / f"test_{file}").exists()
    assert ast.get_docstring(functions_of(PACKAGE / "fusion" / file)[name]), "its docstring is its pattern"


def test_the_scan_finds_the_passes():
    assert PASSES


OBSERVERS = sorted(
    (node.name, path.name)
    for path in (PACKAGE / "calibration").glob("*.py")
    for node in ast.parse(path.read_text()).body
    if isinstance(node, ast.ClassDef) and re.fullmatch(r"\w+Observer", node.name)
)


@pytest.mark.parametrize(("name", "file"), OBSERVERS)
def test_an_observer_is_listed_and_tested(name: str, file: str):
    assert mentioned(name, list_of("calibration")), f"{file}: {name} is not in calibration/__init__.py"
    assert mentioned(name, text_of_tests("calibration")), f"{file}: no test in tests/calibration names {name}"


def test_the_scan_finds_the_observers():
    assert OBSERVERS
