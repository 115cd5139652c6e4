"""Conversion: which nodes get which QuantizeLinear and DequantizeLinear."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from qdq_graphs import (
    SYMMETRIC,
    X86,
    f32,
    output_params,
    params_of,
    producer,
    quantizer,
    types,
)
from qkern.conversion import convert, tensors_to_observe
from qkern.graph_values import constant_of

pytestmark = pytest.mark.usefixtures("operators")


class TestStructure:
    def test_pairs_around_a_residual_block(self, build, ranges, qdq_form, rng):
        model = build(
            """(float[N,4,6,6] x) => (float[N,4,6,6] y) {
                c = Conv<pads=[1,1,1,1]>(x, w, b)
                r = Relu(c)
                d = Conv<pads=[1,1,1,1]>(r, w2)
                s = Add(d, r)
                y = Relu(s)
            }""",
            w=f32(rng, 4, 4, 3, 3),
            b=f32(rng, 4),
            w2=f32(rng, 4, 4, 3, 3),
        )
        x = f32(rng, 2, 4, 6, 6)
        table = ranges(model, {"x": x})
        converted, report = convert(model, table, X86)
        qdq_form(converted)
        assert types(converted) == ["Conv", "Conv", "Add"]  # both Relu went
        assert sorted(set(table.asked)) == sorted(tensors_to_observe(model)) == ["d", "r", "x", "y"]
        assert [(layer.name, layer.op_type, layer.quantized) for layer in report] == [
            ("c", "Conv", True),
            ("r", "Relu", True),
            ("d", "Conv", True),
            ("s", "Add", True),
            ("y", "Relu", True),
        ]
        assert report.layers[0].weight_shape == (4, 4, 3, 3)
        assert (report.layers[0].scale, report.layers[0].zero_point) == output_params(converted, "c")
        assert report.layers[1].reason == "dropped: the 8-bit range ends at its bounds"
        weight = producer(converted, "c").inputs[1].producer()
        assert weight.attributes.get_int("axis") == 0
        assert constant_of(weight.inputs[1]).shape == (4,)
        bias = producer(converted, "c").inputs[2].producer()
        assert constant_of(bias.inputs[0]).dtype == np.int32
        x_scale = np.float32(params_of(quantizer(converted.graph.inputs[0]))[0])
        np.testing.assert_array_equal(constant_of(bias.inputs[1]), x_scale * constant_of(weight.inputs[1]))

    def test_an_activation_stays_where_codes_reach_beyond_its_bounds(self, build, ranges, qdq_form, rng):
        model = build("(float[N,5] x) => (float[N,6] y) { g = Gemm(x, w) y = Relu(g) }", w=f32(rng, 5, 6))
        x = f32(rng, 9, 5)
        converted, report = convert(model, ranges(model, {"x": x}), SYMMETRIC)
        qdq_form(converted)
        assert types(converted) == ["Gemm", "Relu"]
        assert quantizer(producer(converted, "g").outputs[0]) is None
        assert report.layers[1].reason == "runs at the end of 'g'"

    def test_dropped_activation_gives_the_same_outputs(self, build, ranges, run, rng):
        model = build(
            "(float[N,5] x) => (float[N,6] y) { g = Gemm(x, w) y = Clip(g, low, high) }",
            w=f32(rng, 5, 6),
            low=np.float32(0),
            high=np.float32(6),
        )
        x = 4 * f32(rng, 99, 5)
        table = ranges(model, {"x": x})
        assert table.low_high["y"] == (0, 6)
        dropped, _ = convert(model, table, X86)
        assert types(dropped) == ["Gemm"]
        kept, _ = convert(model, table, X86, exclude=["y"])
        assert types(kept) == ["Gemm", "Clip"]
        # Reference: the clip in float on top of the codes' own arithmetic.
        np.testing.assert_array_less(run(dropped, {"x": x})[0], 6 + 1e-5)
        assert run(dropped, {"x": x})[0].min() == 0

    def test_inputs_and_outputs_keep_names_and_types(self, build, ranges, qdq_form, rng):
        # an output in the middle, read by a float and by an 8-bit node
        model = build(
            """(float[N,5] x) => (float[N,6] g, float[N,6] t, float[N,6] y) {
                g = Gemm(x, w)
                t = Tanh(g)
                y = Gemm(g, v)
            }""",
            w=f32(rng, 5, 6),
            v=f32(rng, 6, 6),
        )
        converted, report = convert(model, ranges(model, {"x": f32(rng, 9, 5)}), X86)
        qdq_form(converted)
        assert [value.name for value in converted.graph.outputs] == ["g", "t", "y"]
        assert {value.dtype for value in converted.graph.outputs} == {ir.DataType.FLOAT}
        assert converted.graph.outputs[0].producer().op_type == "DequantizeLinear"
        # Tanh can only read what is there: the dequantized value
        assert producer(converted, "t").inputs[0].producer().op_type == "DequantizeLinear"
        assert [(layer.name, layer.reason) for layer in report.left_float] == [("t", "Tanh has no int8 kernel")]

    def test_a_float_value_stays_float_for_float_readers(self, build, ranges, qdq_form, rng):
        model = build(
            "(float[N,5] x) => (float[N,5] t, float[N,6] y) { h = Tanh(x) t = Tanh(h) y = Gemm(h, w) }",
            w=f32(rng, 5, 6),
        )
        converted, _ = convert(model, ranges(model, {"x": f32(rng, 9, 5)}), X86)
        qdq_form(converted)
        assert producer(converted, "t").inputs[0] is producer(converted, "h").outputs[0]

    def test_one_value_read_twice_by_one_node(self, build, ranges, qdq_form, rng):
        model = build("(float[N,5] x) => (float[N,6] y) { g = Gemm(x, w) y = Add(g, g) }", w=f32(rng, 5, 6))
        converted, _ = convert(model, ranges(model, {"x": f32(rng, 9, 5)}), X86)
        qdq_form(converted)
        left, right = producer(converted, "y").inputs
        assert left.producer() is not right.producer()
        assert left.producer().inputs[0] is right.producer().inputs[0]

    def test_shared_weight(self, build, ranges, run, qdq_form, rng):
        model = build(
            "(float[N,5] x) => (float[N,5] y) { h = Gemm(x, w, b) y = Gemm(h, w, b) }", w=f32(rng, 5, 5), b=f32(rng, 5)
        )
        x = f32(rng, 9, 5)
        converted, _ = convert(model, ranges(model, {"x": x}), X86)
        qdq_form(converted)
        first, second = (producer(converted, name).inputs[1].producer().inputs[0] for name in "hy")
        assert first is second
        assert "w" not in converted.graph.initializers
        before = run(model, {"x": x})[0]
        assert np.abs(run(converted, {"x": x})[0] - before).max() < 0.04 * np.abs(before).max()

    def test_weight_that_a_float_node_reads_too(self, build, ranges, qdq_form, rng):
        model = build(
            "(float[5,5] x) => (float[5,5] y, float[5,5] t) { y = MatMul(x, w) t = Mul(x, w) }", w=f32(rng, 5, 5)
        )
        converted, _ = convert(model, ranges(model, {"x": f32(rng, 5, 5)}), X86)
        qdq_form(converted)
        assert producer(converted, "t").inputs[1].name == "w"

    def test_matmul_of_two_activations(self, build, ranges, run, qdq_form, rng):
        model = build("(float[N,5] a, float[5,6] b) => (float[N,6] y) { y = MatMul(a, b) }")
        feeds = {"a": f32(rng, 9, 5), "b": f32(rng, 5, 6)}
        assert tensors_to_observe(model) == ["a", "b", "y"]
        converted, report = convert(model, ranges(model, feeds), X86)
        qdq_form(converted)
        assert report.layers[0].weight_shape is None
        for value in converted.graph.inputs:
            assert constant_of(quantizer(value).inputs[1]).shape == ()
        before = run(model, feeds)[0]
        assert np.abs(run(converted, feeds)[0] - before).max() < 0.03 * np.abs(before).max()

    def test_gemm_of_two_activations_with_a_bias(self, build, ranges, run, qdq_form, rng):
        model = build("(float[N,5] a, float[5,6] b) => (float[N,6] y) { y = Gemm(a, b, c) }", c=f32(rng, 6))
        feeds = {"a": f32(rng, 9, 5), "b": f32(rng, 5, 6)}
        converted, _ = convert(model, ranges(model, feeds), X86)
        qdq_form(converted)
        before = run(model, feeds)[0]
        assert np.abs(run(converted, feeds)[0] - before).max() < 0.03 * np.abs(before).max()

    def test_constant_operand(self, build, ranges, qdq_form, rng):
        model = build("(float[N,5] x) => (float[N,5] y) { y = Add(x, c) }", c=np.float32([-1, 0, 1, 2, 3]))
        assert tensors_to_observe(model) == ["x", "y"]
        converted, _ = convert(model, ranges(model, {"x": f32(rng, 9, 5)}), X86)
        qdq_form(converted)
        constant = producer(converted, "y").inputs[1].producer()
        assert constant_of(constant.inputs[0]).dtype == np.uint8
        scale, zero = params_of(constant)
        np.testing.assert_allclose(
            (constant_of(constant.inputs[0]).astype(int) - zero) * scale, [-1, 0, 1, 2, 3], atol=scale / 2
        )

    def test_a_subgraph_reads_the_dequantized_value(self, build, ranges, run, rng):
        model = build(
            """(float[2,5] x, bool cond) => (float[2,6] y) {
                g = Gemm(x, w)
                y = If(cond) <
                    then_branch = yes () => (float[2,6] a) { a = Neg(g) },
                    else_branch = no () => (float[2,6] b) { b = Abs(g) }
                >
            }""",
            w=f32(rng, 5, 6),
        )
        feeds = {"x": f32(rng, 2, 5), "cond": np.array(True)}
        g = feeds["x"] @ constant_of(model.graph.initializers["w"])
        table = ranges(
            build("(float[2,5] x) => (float[2,6] g) { g = Gemm(x, w) }", w=constant_of(model.graph.initializers["w"])),
            {"x": feeds["x"]},
        )
        converted, _ = convert(model, table, X86)
        inner = converted.graph[-1].attributes["then_branch"].as_graph()[0]
        assert inner.inputs[0].producer().op_type == "DequantizeLinear"
        np.testing.assert_allclose(run(converted, feeds)[0], -g, atol=0.03 * np.abs(g).max())
