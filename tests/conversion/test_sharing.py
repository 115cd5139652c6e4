"""Conversion: values that share parameters, layers that stay float, biases."""

from __future__ import annotations

import numpy as np
import pytest
from qdq_graphs import (
    ARM,
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


class TestSharedParameters:
    def test_through_values_that_only_move(self, build, ranges, qdq_form, rng):
        model = build(
            """(float[N,3,8,8] x) => (float[N,5] y) {
                c = Conv(x, w)
                p = MaxPool<kernel_shape=[3,3], strides=[3,3]>(c)
                t = Transpose<perm=[0,2,3,1]>(p)
                f = Flatten(t)
                y = Gemm(f, v)
            }""",
            w=f32(rng, 4, 3, 3, 3),
            v=f32(rng, 16, 5),
        )
        assert tensors_to_observe(model) == ["x", "c", "y"]
        converted, _ = convert(model, ranges(model, {"x": f32(rng, 9, 3, 8, 8)}), X86)
        qdq_form(converted)
        assert len({output_params(converted, name) for name in ("c", "p", "t", "f")}) == 1

    def test_backwards_to_the_input(self, build, ranges, qdq_form, rng):
        model = build(
            "(float[2,10] x) => (float[4,6] y) { r = Reshape(x, shape) y = Gemm(r, w) }",
            shape=np.array([4, 5]),
            w=f32(rng, 5, 6),
        )
        assert tensors_to_observe(model) == ["x", "y"]
        converted, _ = convert(model, ranges(model, {"x": f32(rng, 2, 10)}), X86)
        qdq_form(converted)
        assert params_of(quantizer(converted.graph.inputs[0])) == output_params(converted, "r")

    @pytest.mark.parametrize("target", [X86, ARM, SYMMETRIC])
    def test_concat_takes_the_union(self, build, ranges, run, qdq_form, rng, target):
        model = build(
            """(float[N,5] x) => (float[N,18] y) {
                a = Gemm(x, u)
                r = Relu(a)
                b = Gemm(x, v)
                n = Clip(b, low, zero)
                y = Concat<axis=1>(r, n, c)
            }""",
            u=f32(rng, 5, 6),
            v=f32(rng, 5, 6),
            c=np.full((9, 6), 11, np.float32),
            low=np.float32(-3),
            zero=np.float32(0),
        )
        x = f32(rng, 9, 5)
        table = ranges(model, {"x": x})
        converted, report = convert(model, table, target)
        qdq_form(converted)
        assert tensors_to_observe(model) == ["x", "r", "n"]
        # a Relu alone would have been dropped: the union reaches below 0
        assert types(converted) == ["Gemm", "Relu", "Gemm", "Clip", "Concat"]
        assert len({(layer.scale, layer.zero_point) for layer in report}) == 1
        scale, zero = output_params(converted, "y")
        limits = np.iinfo(target.activation.dtype)
        assert (limits.min - zero) * scale <= table.low_high["n"][0] + scale / 2
        assert (limits.max - zero) * scale >= 11 - scale / 2
        before = run(model, {"x": x})[0]
        assert np.abs(run(converted, {"x": x})[0] - before).max() < 0.04 * np.abs(before).max()

    def test_two_concats_of_one_value_are_one_group(self, build, ranges, qdq_form, rng):
        model = build(
            """(float[N,5] x) => (float[N,12] y, float[N,12] z) {
                a = Gemm(x, u)
                b = Gemm(a, v)
                c = Gemm(b, v)
                y = Concat<axis=1>(a, b)
                z = Concat<axis=1>(b, c)
            }""",
            u=f32(rng, 5, 6),
            v=3 * f32(rng, 6, 6),
        )
        converted, _ = convert(model, ranges(model, {"x": f32(rng, 9, 5)}), X86)
        qdq_form(converted)
        assert len({output_params(converted, name) for name in ("a", "b", "c", "y", "z")}) == 1

    def test_padding_zero_has_a_code(self, build, ranges, run, qdq_form, rng):
        model = build(
            """(float[N,2,6,6] x) => (float[N,4,3,3] y) {
                s = Slice(x, starts, ends, axes, steps)
                p = Pad(s, amounts)
                y = Add(p, p)
            }""",
            starts=np.array([0, 0]),
            ends=np.array([99, 99]),
            axes=np.array([2, 3]),
            steps=np.array([2, 2]),
            amounts=np.array([0, 1, 0, 0, 0, 1, 0, 0]),
        )
        x = f32(rng, 9, 2, 6, 6) + 3
        converted, report = convert(model, ranges(model, {"x": x}), ARM)
        qdq_form(converted)
        assert not report.left_float
        assert tensors_to_observe(model) == ["x", "y"]
        y = run(converted, {"x": x})[0]
        assert not y[:, 0].any()
        assert not y[:, 3].any()

    def test_idle_moves_stay_float(self, build, ranges, qdq_form, rng):
        model = build(
            """(float[N,2,6] x) => (float[N,12] y, float[N,6] z) {
                t = Transpose<perm=[0,2,1]>(x)
                h = Tanh(t)
                y = Flatten(h)
                z = Gemm(y, w)
            }""",
            w=f32(rng, 12, 6),
        )
        converted, report = convert(model, ranges(model, {"x": f32(rng, 9, 2, 6)}), X86)
        qdq_form(converted)
        assert [layer.name for layer in report.left_float] == ["t", "h"]
        assert "nothing next to it" in report.layers[0].reason


class TestExclude:
    NET = "(float[N,5] x) => (float[N,5] y) { a = Gemm(x, w) r = Relu(a) b = MatMul(r, w) y = Gemm(b, w) }"

    @pytest.fixture
    def model(self, build, rng):
        return build(self.NET, w=f32(rng, 5, 5))

    @pytest.mark.parametrize(
        ("exclude", "left"),
        [
            (["a"], {"a", "r"}),
            (("Gemm",), {"a", "r", "y"}),
            ({"MatMul", "y"}, {"b", "y"}),
            ("b", {"b"}),
            (["Relu"], {"r"}),
            ((), set()),
        ],
    )
    def test_by_name_and_type(self, model, ranges, qdq_form, rng, exclude, left):
        table = ranges(model, {"x": f32(rng, 9, 5)})
        converted, report = convert(model, table, X86, exclude=exclude)
        qdq_form(converted)
        assert {layer.name for layer in report.left_float} == left
        assert all(layer.reason for layer in report.left_float)
        assert sorted(set(table.asked)) == sorted(tensors_to_observe(model, exclude))

    def test_unknown_names_the_closest(self, model):
        with pytest.raises(ValueError, match=r"'Gem'.*'Gemm'"):
            tensors_to_observe(model, ["Gem"])
        with pytest.raises(ValueError, match=r"no node or operator 'zzzzzz'$"):
            tensors_to_observe(model, ["a", "zzzzzz"])

    def test_everything(self, model, ranges, run, rng):
        x = f32(rng, 9, 5)
        converted, report = convert(model, ranges(model, {"x": x}), X86, exclude=["Gemm", "MatMul"])
        assert not report.quantized
        np.testing.assert_array_equal(run(converted, {"x": x})[0], run(model, {"x": x})[0])


class TestReasons:
    @pytest.mark.parametrize(
        ("body", "arrays", "reason"),
        [
            ("y = Gemm<alpha=0.5>(x, w)", {}, "alpha is not 1"),
            ("y = Gemm(x, w, x2)", {}, "the bias 'x2' is not constant"),
            ("y = Gemm(x, w, b)", {"b": np.ones((5, 5), np.float32)}, "is not a row"),
            ("y = Add(x, b)", {"b": np.float32([0, 1, np.inf, 2, 3])}, "'b' holds NaN or inf"),
            ("y = vendor.Mystery(x)", {}, "vendor.Mystery has no int8 kernel"),
        ],
    )
    def test_left_float(self, build, ranges, rng, body, arrays, reason):
        model = build(f"(float[5,5] x, float[5] x2) => (float[5,5] y) {{ {body} }}", w=f32(rng, 5, 5), **arrays)
        converted, report = convert(model, None, X86)
        assert [layer.quantized for layer in report] == [False]
        assert reason in report.layers[0].reason
        assert [node.op_type for node in converted.graph] == [node.op_type for node in model.graph]

    def test_float16(self, build, rng):
        model = build("(float16[5,5] x) => (float16[5,5] y) { y = MatMul(x, w) }", w=np.eye(5, dtype=np.float16))
        _, report = convert(model, None, X86)
        assert report.layers[0].reason == "it computes float16, not float32"

    def test_integer_arithmetic_is_not_listed(self, build, ranges, rng):
        model = build(
            "(float[N,5] x) => (float[N,6] y, int64[2] s) { t = Shape(x) s = Add(t, t) y = MatMul(x, w) }",
            w=f32(rng, 5, 6),
        )
        _, report = convert(model, ranges(model, {"x": f32(rng, 9, 5)}), X86)
        assert [layer.name for layer in report] == ["y"]

    def test_behind_an_operator_that_hides_its_type(self, build):
        model = build(
            "(float[N,5] x) => (float[N,6] y) { v = vendor.Mystery(x) y = Gemm(v, w) }", w=np.eye(5, 6, dtype="f4")
        )
        assert tensors_to_observe(model) == ["v", "y"]


class TestBiases:
    def test_of_a_channel_without_weights(self, build, ranges, run, qdq_form, rng):
        w = f32(rng, 5, 4)
        w[:, 1] = 0
        w[:, 2] *= np.float32(1e-12)
        b = np.array([0.5, 0.7, -0.9, 0], np.float32)
        model = build("(float[N,5] x) => (float[N,4] y) { y = Gemm(x, w, b) }", w=w, b=b)
        x = f32(rng, 9, 5)
        converted, report = convert(model, ranges(model, {"x": x}), X86)
        qdq_form(converted)
        assert report.layers[0].reason == "weight scale of 1 channels raised for their bias"
        y = run(converted, {"x": x})[0]
        scale = report.layers[0].scale
        np.testing.assert_allclose(y[:, 1:3], np.broadcast_to(b[1:3], (9, 2)), atol=scale / 2 * 1.001)

    @pytest.mark.parametrize("shape", [(), (1,), (1, 6), (6,)])
    def test_of_every_shape_that_is_a_row(self, build, ranges, run, qdq_form, rng, shape):
        model = build("(float[N,5] x) => (float[N,6] y) { y = Gemm(x, w, b) }", w=f32(rng, 5, 6), b=f32(rng, *shape))
        x = f32(rng, 9, 5)
        converted, _ = convert(model, ranges(model, {"x": x}), X86)
        qdq_form(converted)
        assert constant_of(producer(converted, "y").inputs[2].producer().inputs[0]).shape == (6,)
        before = run(model, {"x": x})[0]
        assert np.abs(run(converted, {"x": x})[0] - before).max() < 0.03 * np.abs(before).max()
