"""Conversion: the QDQ graph against integer arithmetic, its structure, what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from qdq_graphs import (
    ARM,
    ASYMMETRIC_WEIGHT,
    PER_TENSOR,
    SYMMETRIC,
    X86,
    f32,
    output_params,
    params_of,
    producer,
    quantizer,
)
from qkern.conversion import convert, tensors_to_observe
from qkern.graph_values import constant_of
from qkern.scheme import Scheme

pytestmark = pytest.mark.usefixtures("operators")


class TestAgainstNumPy:
    """The converted graph computes what integer arithmetic says, up to one step where a float sum meets a half."""

    NET = """(float[N,3,8,8] x) => (float[N,5] y) {
        c = Conv<pads=[1,1,1,1]>(x, w, b)
        r = Relu(c)
        p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(r)
        f = Flatten(p)
        y = Gemm<transB=1>(f, v, d)
    }"""

    @pytest.mark.parametrize("target", [X86, ARM, SYMMETRIC, PER_TENSOR, ASYMMETRIC_WEIGHT])
    def test_network(self, build, ranges, run, qdq_form, rng, target):
        arrays = {"w": f32(rng, 4, 3, 3, 3), "b": f32(rng, 4), "v": f32(rng, 5, 64), "d": f32(rng, 5)}
        model = build(self.NET, **arrays)
        x = f32(rng, 8, 3, 8, 8)
        table = ranges(model, {"x": x})
        converted, report = convert(model, table, target)
        qdq_form(converted)
        assert not report.left_float

        def codes(array, scale, zero_point):
            limits = np.iinfo(target.activation.dtype)
            steps = np.rint(array.astype(np.float32) / np.float32(scale)).astype(np.int64)
            return np.clip(steps + zero_point, limits.min, limits.max)

        def integers(node, index):
            dequantize = producer(converted, node).inputs[index].producer()
            array, scale, zero = (constant_of(value) for value in dequantize.inputs)
            return array.astype(np.int64), scale.astype(np.float64), zero.astype(np.int64)

        x_scale, x_zero = params_of(quantizer(converted.graph.inputs[0]))
        h_scale, h_zero = output_params(converted, "f")
        y_node = producer(converted, "y").outputs[0].consumers()[0]
        y_scale, y_zero = params_of(y_node)

        w, w_scale, w_zero = integers("c", 1)
        b, _, _ = integers("c", 2)
        w = w - (w_zero.reshape(-1, 1, 1, 1) if w_zero.ndim else w_zero)
        padded = np.pad(codes(x, x_scale, x_zero) - x_zero, ((0, 0), (0, 0), (1, 1), (1, 1)))
        windows = sliding_window_view(padded, (3, 3), axis=(2, 3))
        acc = np.einsum("nchwij,ocij->nohw", windows, w) + b.reshape(-1, 1, 1)
        multiplier = np.reshape(x_scale * w_scale, (-1, 1, 1) if w_scale.ndim else ())
        hidden = codes(np.maximum(acc * multiplier, 0), h_scale, h_zero)
        hidden = hidden.reshape(8, 4, 4, 2, 4, 2).max(axis=(3, 5)).reshape(8, -1)

        v, v_scale, v_zero = integers("y", 1)
        d, _, _ = integers("y", 2)
        v = v - (v_zero.reshape(-1, 1) if v_zero.ndim else v_zero)
        acc = (hidden - h_zero) @ v.T + d
        expected = codes(acc * (h_scale * v_scale), y_scale, y_zero)

        actual = np.rint(run(converted, {"x": x})[0] / np.float32(y_scale)).astype(np.int64) + y_zero
        assert np.abs(actual - expected).max() <= 1
        assert (actual == expected).mean() > 0.9

        # and the whole is close to the float network
        float_y = run(model, {"x": x})[0]
        error = run(converted, {"x": x})[0] - float_y
        assert 10 * np.log10(np.square(float_y).sum() / np.square(error).sum()) > 25

    def test_weights_are_rounded_half_to_even(self, build, ranges, rng):
        w = np.array([[127.0, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, -127.0]], np.float32).T
        model = build("(float[N,8] x) => (float[N,1] y) { y = MatMul(x, w) }", w=w)
        converted, _ = convert(model, ranges(model, {"x": f32(rng, 4, 8)}), ARM)
        codes = constant_of(producer(converted, "y").inputs[1].producer().inputs[0])
        assert codes.dtype == np.int8
        assert codes.ravel().tolist() == [127, 0, 2, 2, 0, -2, -2, -127]

    def test_grouped_conv_transpose(self, build, ranges, run, qdq_form, rng):
        model = build(
            "(float[N,4,5,5] x) => (float[N,6,7,7] y) { y = ConvTranspose<group=2>(x, w, b) }",
            w=f32(rng, 4, 3, 3, 3),
            b=f32(rng, 6),
        )
        x = f32(rng, 4, 4, 5, 5)
        converted, _ = convert(model, ranges(model, {"x": x}), X86)
        qdq_form(converted)
        bias = producer(converted, "y").inputs[2].producer()
        assert constant_of(bias.inputs[1]).shape == (6,)
        before, after = run(model, {"x": x})[0], run(converted, {"x": x})[0]
        assert np.abs(before - after).max() < 0.03 * np.abs(before).max()


class TestBadInput:
    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("name", ["w", "b"])
    def test_weights_that_are_not_finite(self, build, ranges, rng, bad, name):
        arrays = {"w": f32(rng, 5, 6), "b": f32(rng, 6)}
        model = build("(float[N,5] x) => (float[N,6] y) { y = Gemm(x, w, b) }", **arrays)
        table = ranges(model, {"x": f32(rng, 9, 5)})
        arrays[name].flat[3] = bad
        model = build("(float[N,5] x) => (float[N,6] y) { y = Gemm(x, w, b) }", **arrays)
        with pytest.raises(ValueError, match=f"'{name}' holds NaN or inf"):
            convert(model, table, X86)

    def test_a_range_that_is_missing(self, build, ranges, rng):
        model = build("(float[N,5] x) => (float[N,6] y) { y = MatMul(x, w) }", w=f32(rng, 5, 6))
        table = ranges(model, {"x": f32(rng, 9, 5)})
        del table.low_high["y"]
        with pytest.raises(ValueError, match="no range for 'y'"):
            convert(model, table, X86)

    def test_a_model_that_is_quantized(self, build, ranges, rng):
        model = build("(float[N,5] x) => (float[N,6] y) { y = MatMul(x, w) }", w=f32(rng, 5, 6))
        table = ranges(model, {"x": f32(rng, 9, 5)})
        converted, _ = convert(model, table, X86)
        with pytest.raises(ValueError, match="quantized already"):
            convert(converted, table, X86)
        with pytest.raises(ValueError, match="quantized already"):
            tensors_to_observe(converted)

    def test_a_target_with_activations_per_channel(self, build, rng):
        model = build("(float[N,5] x) => (float[N,6] y) { y = MatMul(x, w) }", w=f32(rng, 5, 6))
        with pytest.raises(ValueError, match="per channel"):
            convert(model, None, replace(X86, activation=Scheme("uint8", per_channel=True)))

    def test_a_table_that_answers_in_another_type(self, build, ranges, rng):
        model = build("(float[N,5] x) => (float[N,6] y) { y = MatMul(x, w) }", w=f32(rng, 5, 6))
        table = ranges(model, {"x": f32(rng, 9, 5)})
        answer = table.quant_params
        table.quant_params = lambda name, scheme, method: answer(name, Scheme("int8"), method)
        with pytest.raises(ValueError, match="'x' parameters that don't fit"):
            convert(model, table, X86)


class TestFiles:
    def test_the_input_is_not_changed(self, build, ranges, rng):
        model = build(
            "(float[N,5] x) => (float[N,6] y) { g = Gemm(x, w, b) y = Relu(g) }", w=f32(rng, 5, 6), b=f32(rng, 6)
        )
        table = ranges(model, {"x": f32(rng, 9, 5)})
        before = ir.to_proto(model).SerializeToString(deterministic=True)
        convert(model, table, X86)
        tensors_to_observe(model)
        assert ir.to_proto(model).SerializeToString(deterministic=True) == before

    def test_is_the_same_every_time(self, build, ranges, rng):
        model = build(
            "(float[N,5] x) => (float[N,6] y) { g = Gemm(x, w, b) y = Relu(g) }", w=f32(rng, 5, 6), b=f32(rng, 6)
        )
        table = ranges(model, {"x": f32(rng, 9, 5)})
        first, second = (
            ir.to_proto(convert(model, table, X86)[0]).SerializeToString(deterministic=True) for _ in range(2)
        )
        assert first == second

    @pytest.mark.parametrize(("opset", "ir_version"), [(9, 4), (11, 6), (12, 7), (13, 7), (21, 10), (23, 11), (25, 13)])
    def test_versions(self, build, ranges, qdq_form, rng, opset, ir_version):
        text = "(float[N,5] x) => (float[N,6] y) { g = Gemm(x, w, b) y = Relu(g) }"
        arrays = {"w": f32(rng, 5, 6), "b": f32(rng, 6)}
        table = ranges(build(text, **arrays), {"x": f32(rng, 9, 5)})
        converted, _ = convert(build(text, opset, ir_version, **arrays), table, X86)
        qdq_form(converted)

    def test_names_that_are_taken(self, build, ranges, qdq_form, rng):
        model = build(
            "(float[N,5] x) => (float[N,6] y) { q = Gemm(x, w) s = Relu(q) y = Gemm(s, v) }",
            w=f32(rng, 5, 6),
            v=f32(rng, 6, 6),
        )
        for node, name in zip(model.graph, ("x.quantized", "x.scale"), strict=False):
            node.outputs[0].name = name
        converted, _ = convert(model, ranges(model, {"x": f32(rng, 9, 5)}), X86)
        qdq_form(converted)
