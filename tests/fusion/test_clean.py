"""The graph before any fusion: constants folded, dead nodes gone."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from qkern.fusion import fuse
from qkern.graph_values import constant_of


def f32(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


class TestCleaning:
    def test_identity_and_dropout_go(self, check, ops, rng):
        model, _ = check(
            """(float[N,5] x) => (float[N,6] y) {
                a = Identity(x) d = Dropout(a) m = Gemm(d, w) e = Dropout(m, ratio) y = Identity(e)
            }""",
            w=f32(rng, 5, 6),
            ratio=np.float32(0.5),
        )
        assert ops(model) == ["Gemm"]

    def test_two_outputs_of_one_value_keep_their_names(self, check, ops):
        model, _ = check("(float[N,5] x) => (float[N,5] a, float[N,5] b) { a = Relu(x) b = Identity(a) }")
        assert ops(model) == ["Relu", "Identity"]

    def test_an_input_that_is_an_output(self, check, ops):
        model, _ = check("(float[N,5] x) => (float[N,5] y) { y = Identity(x) }")
        assert ops(model) == ["Identity"]

    def test_constant_nodes_and_their_arithmetic_become_weights(self, check, ops):
        model, _ = check(
            """(float[N,2] x) => (float[N,2] y) {
                c = Constant<value = float[2,2] {1.0, 2.0, 3.0, 4.0}>()
                t = Transpose<perm=[1,0]>(c)
                y = Gemm(x, t)
            }"""
        )
        assert ops(model) == ["Gemm"]
        np.testing.assert_array_equal(constant_of(model.graph[0].inputs[1]), [[1, 3], [2, 4]])

    def test_option_a_shortcut_with_a_symbolic_batch(self, check, ops):
        # As PyTorch exports F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2)).
        model, _ = check(
            """(float[N,3,8,8] x) => (float[N,7,4,4] y) {
                s0 = Slice(x, zero, end, axis2, two)
                s1 = Slice(s0, zero, end, axis3, two)
                shape = Shape(given)
                n = Gather<axis=0>(shape, first)
                rest = Sub(eight, n)
                rest1 = Unsqueeze(rest, zero)
                zeros = ConstantOfShape<value = int64[1] {0}>(rest1)
                all = Concat<axis=0>(given, zeros)
                pairs = Reshape(all, minus1_2)
                flipped = Slice(pairs, minus1, lowest, zero, minus1)
                columns = Transpose<perm=[1,0]>(flipped)
                amounts = Reshape(columns, minus1)
                y = Pad(s1, amounts)
            }""",
            zero=np.array([0]),
            end=np.array([2**63 - 1]),
            axis2=np.array([2]),
            axis3=np.array([3]),
            two=np.array([2]),
            given=np.array([0, 0, 0, 0, 2, 2]),
            first=np.array(0),
            eight=np.array(8),
            minus1_2=np.array([-1, 2]),
            minus1=np.array([-1]),
            lowest=np.array([-(2**63) + 1]),
        )
        assert ops(model) == ["Slice", "Pad"]
        assert constant_of(model.graph[1].inputs[1]).tolist() == [0, 2, 0, 0, 0, 2, 0, 0]

    def test_dead_nodes_and_unused_weights_go(self, check, ops, rng):
        model, _ = check(
            "(float[N,5] x) => (float[N,6] y) { y = Gemm(x, w) dead = Gemm(x, unused) }",
            w=f32(rng, 5, 6),
            unused=f32(rng, 5, 6),
        )
        assert ops(model) == ["Gemm"]
        assert list(model.graph.initializers) == ["w"]

    def test_an_overridable_default_is_no_constant(self, check, ops, rng):
        model, _ = check(
            "(float[N,5] x, float[5,6] w) => (float[N,6] y) { m = MatMul(x, w) y = Add(m, b) }",
            w=f32(rng, 5, 6),
            b=f32(rng, 6),
        )
        assert ops(model) == ["MatMul", "Add"]
        assert [value.name for value in model.graph.inputs] == ["x", "w"]

    @pytest.mark.parametrize("opset", [8, 9, 10, 11, 12])
    def test_older_opsets_are_raised(self, check, rng, opset):
        clip = "Clip<min=0.0, max=6.0>(n)" if opset < 11 else "Clip(n, low, high)"
        bounds = {} if opset < 11 else {"low": np.float32(0), "high": np.float32(6)}
        model, report = check(
            f"""(float[N,3,8,8] x) => (float[N,4] y) {{
                c = Conv(x, w)
                n = BatchNormalization(c, s, s, s, s)
                a = {clip}
                y = ReduceMean<axes=[2,3], keepdims=0>(a)
            }}""",
            opset=opset,
            w=f32(rng, 4, 3, 3, 3),
            s=rng.uniform(0.5, 1, 4).astype(np.float32),
            **bounds,
        )
        assert model.opset_imports[""] >= 13
        assert [fused.pass_name for fused in report] == ["batch_norm", "reduce_mean"]

    def test_a_custom_operator_stays(self, rng):
        proto = onnx.parser.parse_model(
            """<ir_version: 8, opset_import: ["": 17, "vendor": 1]> g (float[N,5] x) => (float[N,6] y) {
                v = vendor.Mystery(x)
                y = Gemm(v, w)
            }"""
        )
        proto.graph.initializer.append(onnx.numpy_helper.from_array(f32(rng, 5, 6), "w"))
        model = ir.from_proto(proto)
        fuse(model)
        assert [(node.domain, node.op_type) for node in model.graph] == [("vendor", "Mystery"), ("", "Gemm")]
        assert all(node.name for node in model.graph)


@pytest.mark.parametrize("constant", [False, True])
def test_a_cast_like_keeps_what_it_says(constant):
    from onnx import helper, numpy_helper
    from onnx.reference import ReferenceEvaluator

    x = np.float32([1, 500, -1e6, np.inf])
    graph = helper.make_graph(
        [helper.make_node("CastLike", ["x", "t"], ["q"], saturate=0), helper.make_node("Cast", ["q"], ["y"], to=1)],
        "g",
        [] if constant else [helper.make_tensor_value_info("x", 1, [4])],
        [helper.make_tensor_value_info("y", 1, [4])],
        [onnx.helper.make_tensor("t", onnx.TensorProto.FLOAT8E4M3FN, [1], [0.0])],
    )
    if constant:
        graph.initializer.append(numpy_helper.from_array(x, "x"))
    model = ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10))
    fuse(model)
    (result,) = ReferenceEvaluator(ir.to_proto(model)).run(None, {} if constant else {"x": x})
    np.testing.assert_array_equal(result, [1, np.nan, np.nan, np.nan])
