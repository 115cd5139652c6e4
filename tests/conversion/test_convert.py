from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from qkern.conversion import convert, tensors_to_observe
from qkern.fusion import constant_of
from qkern.scheme import Scheme
from qkern.target import TARGETS

pytestmark = pytest.mark.usefixtures("operators")

X86, ARM = TARGETS["x86"], TARGETS["arm"]
SYMMETRIC = replace(ARM, activation=Scheme("int8", symmetric=True))
PER_TENSOR = replace(X86, weight=Scheme("int8", symmetric=True, narrow=True))
ASYMMETRIC_WEIGHT = replace(X86, weight=Scheme("int8", per_channel=True))


def f32(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


def types(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph if not node.op_type.endswith("uantizeLinear")]


def producer(model: ir.Model, name: str) -> ir.Node:
    return next(node for node in model.graph if node.name == name)


def quantizer(value: ir.Value) -> ir.Node | None:
    return next((node for node in value.consumers() if node.op_type == "QuantizeLinear"), None)


def params_of(node: ir.Node) -> tuple[float, int]:
    return constant_of(node.inputs[1]).item(), constant_of(node.inputs[2]).item()


def output_params(model: ir.Model, name: str) -> tuple[float, int]:
    return params_of(quantizer(producer(model, name).outputs[0]))


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
        converted, _ = convert(model, ranges(model, {"x": f32(rng, 4, 8)}), X86)
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
