"""The same bits as ONNX Runtime's integer operators, in its exact mode: without VNNI its default saturates."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import qkern
from oracle.samples import codes, ends, name_of

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

PAIRS = [(np.uint8, np.int8), (np.uint8, np.uint8), (np.int8, np.int8)]
pairs = pytest.mark.parametrize(("x_type", "w_type"), PAIRS, ids=lambda d: name_of(d))


def run(op, inputs, **attributes):
    """One node of ONNX Runtime on these inputs, in order.

    Its exact mode asks for constant weights, and makes them uint8; for int8 inputs it has no kernel then and
    needs none: their default is exact.
    """
    names = [f"i{i}" for i in range(len(inputs))]
    node = onnx.helper.make_node(op, names, ["y"], **attributes)
    dtype = onnx.helper.np_dtype_to_tensor_dtype(inputs[0].dtype)
    x = onnx.helper.make_tensor_value_info(names[0], dtype, inputs[0].shape)
    constants = [onnx.numpy_helper.from_array(array, name) for name, array in zip(names[1:], inputs[1:], strict=True)]
    graph = onnx.helper.make_graph([node], "g", [x], [onnx.ValueInfoProto(name="y")], constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    options = ort.SessionOptions()
    if inputs[0].dtype == np.uint8:
        options.add_session_config_entry("session.x64quantprecision", "1")
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {names[0]: inputs[0]})[0]


def parameters(scale, zero_point, dtype):
    return np.array(scale, np.float32), np.array(zero_point, dtype)


@pairs
def test_qlinear_matmul(isa, rng, x_type, w_type):
    for rows, depth, cols in ((1, 64, 33), (17, 131, 70), (5, 700, 16)):
        x, w = codes(rng, x_type, (rows, depth)), codes(rng, w_type, (depth, cols))
        for _ in range(4):
            x_scale, w_scale = rng.uniform(0.001, 0.1, 2).astype(np.float32)
            y_scale = np.float32(x_scale * w_scale * 74 * depth**0.5)
            x_zero, w_zero, y_zero = ends(x_type)[2], ends(w_type)[2], ends(x_type)[rng.integers(3)]
            inputs = [x, *parameters(x_scale, x_zero, x_type), w, *parameters(w_scale, w_zero, w_type)]
            expected = run("QLinearMatMul", [*inputs, *parameters(y_scale, y_zero, x_type)])
            layer = qkern.QLinear(
                w.T, w_scale, x_scale=x_scale, x_zero_point=x_zero, weight_zero_point=w_zero, y_scale=y_scale,
                y_zero_point=y_zero, y_dtype=x_type,
            )  # fmt: skip
            np.testing.assert_array_equal(layer(x), expected)
            acc = qkern.matmul(x, w, a_zero_point=x_zero, b_zero_point=w_zero)
            result = qkern.requantize(acc, x_scale * w_scale / y_scale, y_zero, dtype=x_type)
            np.testing.assert_array_equal(result, expected)


@pairs
@pytest.mark.parametrize(("groups", "depth", "out"), [(1, 13, 21), (2, 8, 10), (16, 1, 16), (67, 1, 67)])
def test_qlinear_conv(isa, rng, x_type, w_type, groups, depth, out):
    x, w = codes(rng, x_type, (2, groups * depth, 7, 8)), codes(rng, w_type, (out, depth, 3, 3))
    bias = rng.integers(-3000, 3000, out).astype(np.int32)
    per_channel = rng.uniform(0.001, 0.1, out).astype(np.float32)
    for w_scale, stride in itertools.product((np.float32(0.02), per_channel), (1, 2)):
        x_scale, y_scale = np.float32(0.037), np.float32(0.037 * 0.02 * 74 * (9 * depth) ** 0.5)
        w_zero = np.zeros(np.shape(w_scale), w_type) if w_type is np.int8 else np.full(np.shape(w_scale), 128, w_type)
        x_zero, y_zero = ends(x_type)[2], ends(x_type)[rng.integers(3)]
        inputs = [x, *parameters(x_scale, x_zero, x_type), w, np.asarray(w_scale), w_zero]
        expected = run(
            "QLinearConv", [*inputs, *parameters(y_scale, y_zero, x_type), bias],
            strides=[stride, stride], pads=[1, 0, 2, 1], group=groups,
        )  # fmt: skip
        layer = qkern.QConv(
            w, w_scale, bias, x_scale=x_scale, x_zero_point=x_zero, weight_zero_point=w_zero, y_scale=y_scale,
            y_zero_point=y_zero, y_dtype=x_type, strides=stride, padding=[(1, 2), (0, 1)], groups=groups, layout="NCHW",
        )  # fmt: skip
        np.testing.assert_array_equal(layer(x), expected)


def test_conv_integer(isa, rng):
    x, w = codes(rng, np.uint8, (2, 5, 9, 8)), codes(rng, np.uint8, (7, 5, 3, 2))
    expected = run(
        "ConvInteger",
        [x, w, np.array(200, np.uint8), np.array(7, np.uint8)],
        strides=[2, 1],
        dilations=[1, 2],
        pads=[1, 2, 0, 1],
    )
    result = qkern.conv(
        x, w, strides=(2, 1), dilations=(1, 2), padding=[(1, 0), (2, 1)], x_zero_point=200, w_zero_point=7
    )
    np.testing.assert_array_equal(result, expected)


@pairs
def test_matmul_integer(isa, rng, x_type, w_type):
    a, b = codes(rng, x_type, (3, 17, 65)), codes(rng, w_type, (65, 33))
    a_zero, b_zero = np.array(ends(x_type)[1], x_type), codes(rng, w_type, 33)
    result = qkern.matmul(a, b, a_zero_point=a_zero, b_zero_point=b_zero)
    np.testing.assert_array_equal(result, run("MatMulInteger", [a, b, a_zero, b_zero]))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8], ids=name_of)
def test_quantize_and_dequantize(isa, rng, dtype):
    for scale in rng.uniform(0.001, 1, 10).astype(np.float32):
        x = (rng.standard_normal((7, 301)) * 100 * scale).astype(np.float32)
        x[0, :8] = np.float32([0.5, 1.5, 2.5, -0.5, np.inf, -np.inf, 1e30, -1e30]) * scale
        for zero in ends(dtype):
            q = qkern.quantize(x, scale, zero, dtype=dtype)
            np.testing.assert_array_equal(q, run("QuantizeLinear", [x, *parameters(scale, zero, dtype)]))
            np.testing.assert_array_equal(
                qkern.dequantize(q, scale, zero), run("DequantizeLinear", [q, *parameters(scale, zero, dtype)])
            )


@pytest.mark.parametrize("dtype", [np.int8, np.uint8], ids=name_of)
def test_max_pool(isa, rng, dtype):
    x = codes(rng, dtype, (2, 17, 9, 8))
    expected = run("MaxPool", [x], kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1], dilations=[1, 2])
    result = qkern.max_pool(x, kernel=(3, 2), strides=(2, 1), padding=[(1, 1), (0, 1)], dilations=(1, 2))
    np.testing.assert_array_equal(result, expected)
