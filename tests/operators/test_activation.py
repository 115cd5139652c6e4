from __future__ import annotations

import math

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from qkern.operators import activation_bounds, activation_of


def model_of(body: str, outputs: str = "float[N,5] y", opset: int = 17, **arrays: np.ndarray) -> ir.Model:
    proto = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["": {opset}]> g (float[N,5] x, float b) => ({outputs}) {{ {body} }}'
    )
    arrays = {"w": np.eye(5, dtype=np.float32), "low": np.float32(-1), "high": np.float32([2]), **arrays}
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(a), n) for n, a in arrays.items())
    return ir.from_proto(proto)


def value_of(model: ir.Model, name: str) -> ir.Value:
    return next(value for node in model.graph for value in node.outputs if value.name == name)


@pytest.mark.parametrize("producer", ["Gemm(x, w)", "MatMul(x, w)", "Add(x, x)"])
@pytest.mark.parametrize(
    ("activation", "bounds"),
    [
        ("Relu(a)", (0, math.inf)),
        ("Clip(a, low, high)", (-1, 2)),
        ("Clip(a, low)", (-1, math.inf)),
        ("Clip(a, , high)", (-math.inf, 2)),
        ("Clip(a)", (-math.inf, math.inf)),
        ("Clip(a, high, low)", (-1, -1)),
    ],
)
def test_found_with_its_bounds(producer, activation, bounds):
    model = model_of(f"a = {producer} y = {activation}")
    node = activation_of(value_of(model, "a"))
    assert node is model.graph[1]
    assert activation_bounds(node) == bounds


def test_conv():
    model = model_of("c = Conv(x, w) y = Relu(c)")
    assert activation_of(value_of(model, "c")) is model.graph[1]


def test_bounds_as_attributes():
    model = model_of("a = Add(x, x) y = Clip<min=0.0, max=6.0>(a)", opset=9)
    assert activation_bounds(activation_of(value_of(model, "a"))) == (0, 6)


@pytest.mark.parametrize(
    ("body", "outputs"),
    [
        ("a = Mul(x, x) y = Relu(a)", "float[N,5] y"),  # Mul doesn't absorb
        ("a = Add(x, x) y = Tanh(a)", "float[N,5] y"),
        ("a = Add(x, x) y = Clip(a, b)", "float[N,5] y"),  # a bound that is an input
        ("a = Add(x, x) y = Clip(a, nan)", "float[N,5] y"),
        ("a = Add(x, x) r = Relu(a) y = Add(a, r)", "float[N,5] y"),  # a second reader
        ("a = Add(x, x) y = Relu(a)", "float[N,5] y, float[N,5] a"),  # an output itself
        ("a = Add(b, b) y = Clip(x, a)", "float[N,5] y"),  # read as a bound
        ("a = Add(x, x)", "float[N,5] a"),
    ],
)
def test_none(body, outputs):
    assert activation_of(value_of(model_of(body, outputs, nan=np.float32(np.nan)), "a")) is None


def test_an_input_has_no_producer():
    assert activation_of(model_of("y = Relu(x)").graph.inputs[0]) is None
