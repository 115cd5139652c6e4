"""Sums, differences, products, quotients and extremes of floats and integers; the error function."""

from __future__ import annotations

import math

import numpy as np
import pytest
import qkern
from onnx_text import f32, graph, network, run_as_written
from qkern.operators.erf import erf
from qkern.operators.gelu import Gelu
from qkern.operators.unary import table_for
from qkern.scheme import QuantParams

OPERATORS = ["Add", "Sub", "Mul", "Div", "Max", "Min"]
SHAPES = [((2, 3, 4), (2, 3, 4)), ((2, 3, 4), (3, 1)), ((1,), (4, 1, 2)), ((), (2, 3)), ((0, 3), (1, 3))]
SPECIAL = np.float32([0.0, -0.0, 1.0, -2.5, np.inf, -np.inf, np.nan, 1e-45, 3e38])


@pytest.mark.parametrize("op_type", OPERATORS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int64])
def test_broadcasting(same_as_onnxruntime, rng, op_type, dtype):
    for a, b in SHAPES:
        x, y = (np.asarray(10 * f32(rng, *shape), dtype) for shape in (a, b))
        if op_type == "Div" and np.dtype(dtype).kind == "i":
            y = np.where(y == 0, -3, y).astype(dtype)
        for constants in ([], [1]):
            same_as_onnxruntime(op_type, [x, y], constants=constants, exact=True)


@pytest.mark.parametrize("op_type", OPERATORS)
def test_special_numbers(same_as_onnxruntime, op_type):
    a, b = (each.ravel().copy() for each in np.meshgrid(SPECIAL, SPECIAL))
    same_as_onnxruntime(op_type, [a, b], exact=True, opset=13)


@pytest.mark.parametrize("op_type", ["Max", "Min"])
@pytest.mark.parametrize("count", [1, 3, 4])
def test_any_number_of_operands(same_as_onnxruntime, rng, op_type, count):
    inputs = [f32(rng, *shape) for shape in [(2, 3, 4), (4,), (3, 1), (2, 1, 1)][:count]]
    same_as_onnxruntime(op_type, inputs, exact=True, opset=12)
    same_as_onnxruntime(op_type, inputs, constants=list(range(1, count, 2)), exact=True)


def test_integers_are_divided_towards_0(same_as_onnxruntime):
    a, b = (each.ravel().copy() for each in np.meshgrid(np.arange(-7, 8), np.array([-3, -2, -1, 1, 2, 3])))
    for dtype in (np.int32, np.int64):
        same_as_onnxruntime("Div", [a.astype(dtype), b.astype(dtype)])
    same_as_onnxruntime("Div", [(a + 7).astype(np.uint64), np.abs(b).astype(np.uint64)])
    huge = np.array([2**62 + 1, -(2**62) - 1])
    same_as_onnxruntime("Div", [huge, np.array([3, 7])])


def test_integers_wrap():
    proto = graph("(int64[2] x) => (int64[2] y) { s = Add(x, x) y = Mul(s, c) }", c=np.array([3, 3]))
    x = np.array([2**62, -(2**62)])
    session = qkern.Session(proto)
    assert {step.kind for step in session.steps} == {"float"}
    np.testing.assert_array_equal(session.run(None, {"x": x})[0], (x + x) * 3)


@pytest.mark.parametrize("constant", [(), (1,), (4, 1, 1), (1, 4, 1, 1), (6,), (4, 6, 6)])
@pytest.mark.parametrize("op_type", OPERATORS)
def test_images_stay_channels_last(rng, op_type, constant):
    text = f"(float[2, 4, 6, 6] x) => (float[] y) {{ a = Conv(x, w) b = {op_type}(a, c) y = Conv(b, w) }}"
    proto, x = network(text, w=f32(rng, 4, 4, 1, 1), c=1 + np.abs(f32(rng, *constant))), f32(rng, 2, 4, 6, 6)
    session = qkern.Session(proto)
    assert len([step for step in session.steps if step.reason == "order of axes"]) == 2
    expected = run_as_written(proto, {"x": x})[0]
    np.testing.assert_allclose(session.run(None, {"x": x})[0], expected, rtol=1e-5, atol=1e-5)


def test_a_sum_absorbs_its_activation_in_float(rng):
    proto = network("(float[2, 3] x, float[2, 3] z) => (float[2, 3] y) { s = Add(x, z) y = Relu(s) }")
    session = qkern.Session(proto)
    assert [step.op_type for step in session.steps] == ["Add"]
    x, z = f32(rng, 2, 3), f32(rng, 2, 3)
    np.testing.assert_array_equal(session.run(None, {"x": x, "z": z})[0], np.maximum(x + z, 0))


def test_other_types_have_no_kernel():
    proto = graph("(float16[2] x) => (float16[2] y) { y = Sub(x, x) }")
    (step,) = qkern.Session(proto).steps
    assert (step.kind in ("float", "int8"), step.reason) == (False, "its operands are float16")


exact_erf = np.vectorize(math.erf, otypes=[np.float64])


def test_erf_is_math_erf_after_rounding(rng):
    """Each range and their ends, the smallest and largest numbers, and random ones."""
    ends = np.float32([0.46875, 4, 6])
    near = np.concatenate([ends, np.nextafter(ends, np.float32(0)), np.nextafter(ends, np.float32(9))])
    samples = [
        np.linspace(-6.5, 6.5, 130001, dtype=np.float32),
        np.exp(rng.uniform(-103, 3, 30000)).astype(np.float32),
        np.concatenate([near, -near, np.float32([0.0, -0.0, np.inf, -np.inf, 1e-45, 3e38])]),
    ]
    for x in samples:
        wide = x.astype(np.float64)
        np.testing.assert_array_equal(erf(wide).astype(np.float32), exact_erf(wide).astype(np.float32))
        np.testing.assert_array_max_ulp(erf(wide), exact_erf(wide), 4)
    assert np.isnan(erf(np.array([np.nan]))).all()
    assert np.signbit(erf(np.array([-0.0]))).all()


def test_tables_of_gelu_are_those_of_math_erf(rng):
    import onnx_ir as ir

    function = Gelu().function(ir.Node("", "Gelu", []))

    def definition(x):
        return x / 2 * (1 + exact_erf(x / np.sqrt(2)))

    for scale in np.exp(rng.uniform(-8, 1, 300)).astype(np.float32):
        x = QuantParams(np.asarray(scale), np.asarray(rng.integers(0, 256), np.uint8))
        for factor in (0.3, 1.0):
            y = QuantParams(np.asarray(np.float32(scale * factor)), np.asarray(rng.integers(-128, 128), np.int8))
            np.testing.assert_array_equal(table_for(function, x, y), table_for(definition, x, y))
