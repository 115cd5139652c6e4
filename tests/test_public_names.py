"""The names users rely on, their signatures, and a stub that says what the extension has."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest
import qkern
from qkern import _core

ROOT = Path(__file__).parents[1]
STUB = ast.parse((ROOT / "python" / "qkern" / "_core.pyi").read_text())

# name: (positional or keyword, keyword only)
SIGNATURES = {
    "quantize": ("x scale zero_point", "dtype axis block_size rounding out"),
    "dequantize": ("q scale zero_point", "axis block_size out"),
    "requantize": ("acc multiplier zero_point", "dtype axis bias clamp rounding out"),
    "matmul": ("a b", "a_zero_point b_zero_point out"),
    "pack": ("b codebook", ""),
    "conv": ("x w", "strides padding dilations groups layout x_zero_point w_zero_point out"),
    "QLinear": (
        "weight weight_scale bias",
        "x_scale x_zero_point weight_zero_point y_scale y_zero_point y_dtype clamp levels",
    ),
    "QConv": (
        "weight weight_scale bias",
        "x_scale x_zero_point weight_zero_point y_scale y_zero_point y_dtype clamp"
        " strides padding dilations groups layout algorithm levels budget",
    ),
    "set_num_threads": ("n", ""),
    "get_num_threads": ("", ""),
}


def of_extension(owner) -> set[str]:
    return {name for name in vars(owner) if not name.startswith("_")}


def classes_of_stub() -> dict[str, list[ast.stmt]]:
    """What the public classes hold, that of the stub's private bases with it."""
    bodies: dict[str, list[ast.stmt]] = {}
    for node in STUB.body:
        if isinstance(node, ast.ClassDef):
            bodies[node.name] = [*node.body, *(member for base in node.bases for member in bodies[base.id])]
    return {name: body for name, body in bodies.items() if not name.startswith("_")}


def functions_of_stub(body) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in body if isinstance(node, ast.FunctionDef)}


def names(arguments: ast.arguments) -> tuple[list[str], list[str]]:
    positional = [argument.arg for argument in arguments.posonlyargs + arguments.args]
    return [name for name in positional if name != "self"], [argument.arg for argument in arguments.kwonlyargs]


def signature_in_docstring(function) -> tuple[list[str], list[str]]:
    """pybind11 writes the signature on the first line: name(self: ..., x: ..., *, out: ... = None) -> ...
    Of overloads it writes a list, of which the first takes all arguments."""
    lines = function.__doc__.splitlines()
    line = next((line for line in lines if line.startswith("1. ")), lines[0])
    inside = re.sub(r" = <[^>]*>", "", line[line.index("(") + 1 : line.rindex(") -> ")])
    while re.search(r"\[[^\[\]]*\]|\([^()]*\)", inside):
        inside = re.sub(r"\[[^\[\]]*\]|\([^()]*\)", "", inside)
    parts = [re.split(r"[:=]", part)[0].strip() for part in inside.split(",") if part.strip()]
    parts = [part for part in parts if part != "self"]
    star = parts.index("*") if "*" in parts else len(parts)
    return parts[:star], parts[star + 1 :]


@pytest.mark.parametrize("name", qkern.__all__)
def test_exported_names_exist_and_say_what_they_are(name):
    if name in ("quantize_model", "QuantizedModel", "Session"):
        pytest.importorskip("onnxscript", reason="models need the extra [onnx]")
    value = getattr(qkern, name)
    assert isinstance(value, str) or (inspect.getdoc(value) or "").strip()
    assert name in dir(qkern)


def test_names_of_the_design():
    wanted = {*SIGNATURES, "isa", "quantize_model", "Session", "PackedMatrix", "__version__"}
    assert wanted <= set(qkern.__all__)
    for name in ("available", "active", "use", "compiled"):
        assert inspect.getdoc(getattr(qkern.isa, name))
    with pytest.raises(AttributeError, match="no_such_name"):
        qkern.no_such_name  # noqa: B018


def test_observers_are_public():
    from qkern.calibration import HistogramObserver, MinMaxObserver

    for observer in (HistogramObserver, MinMaxObserver):
        assert inspect.getdoc(observer)
        for method in ("update", "merge", "quant_params"):
            assert callable(getattr(observer, method))


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures(name):
    positional, keyword = (text.split() for text in SIGNATURES[name])
    value = getattr(qkern, name)
    function = value.__init__ if inspect.isclass(value) else value
    assert signature_in_docstring(function) == (positional, keyword)


def test_stub_and_extension_list_the_same_names():
    stub = {*functions_of_stub(STUB.body), *classes_of_stub()}
    assert stub == of_extension(_core)
    for name, body in classes_of_stub().items():
        assert {m for m in functions_of_stub(body) if not m.startswith("_")} == of_extension(getattr(_core, name)), name


@pytest.mark.parametrize("name", sorted({*functions_of_stub(STUB.body)}))
def test_stub_and_extension_agree_on_arguments(name):
    assert names(functions_of_stub(STUB.body)[name].args) == signature_in_docstring(getattr(_core, name))


@pytest.mark.parametrize("name", sorted(classes_of_stub()))
def test_stub_and_extension_agree_on_methods(name):
    for method, node in functions_of_stub(classes_of_stub()[name]).items():
        found = inspect.getattr_static(getattr(_core, name), method)
        if isinstance(found, property):
            assert found.__doc__
            assert any(isinstance(d, ast.Name) and d.id == "property" for d in node.decorator_list)
        else:
            assert names(node.args) == signature_in_docstring(getattr(getattr(_core, name), method)), method


@pytest.mark.parametrize("name", sorted(of_extension(_core)))
def test_docstrings_say_more_than_the_signature(name):
    text = getattr(_core, name).__doc__
    lines = [line for line in text.splitlines() if line.strip()]
    assert len(lines) > 1 or not lines[0].startswith(f"{name}(")


def test_version():
    declared = re.search(r'^version = "([^"]+)"', (ROOT / "pyproject.toml").read_text(), re.M)
    assert qkern.__version__ == _core.__version__ == declared[1]
    assert _core.compiler()
