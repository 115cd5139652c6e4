from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from qkern.fusion import constant_of, fuse


def f32(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


class TestMatMulAdd:
    @pytest.mark.parametrize("bias_shape", [(6,), (1, 6), (1,), (), (1, 1)])
    @pytest.mark.parametrize("order", ["m, b", "b, m"])
    def test_becomes_a_gemm(self, check, ops, rng, bias_shape, order):
        model, report = check(
            f"(float[N,5] x) => (float[N,6] y) {{ m = MatMul(x, w) y = Add({order}) }}",
            w=f32(rng, 5, 6),
            b=f32(rng, *bias_shape),
        )
        assert ops(model) == ["Gemm"]
        assert constant_of(model.graph[0].inputs[2]).shape == (6,)
        assert [(fused.nodes, fused.into) for fused in report] == [(("m", "y"), "m")]

    def test_not_of_rank_3(self, check, ops, rng):
        model, _ = check(
            "(float[N,4,5] x) => (float[N,4,6] y) { m = MatMul(x, w) y = Add(m, b) }", w=f32(rng, 5, 6), b=f32(rng, 6)
        )
        assert ops(model) == ["MatMul", "Add"]

    @pytest.mark.parametrize("bias_shape", [(2, 6), (2, 1), (1, 1, 6)])
    def test_not_with_a_bias_that_is_no_row(self, check, ops, rng, bias_shape):
        out = "float[1,2,6]" if len(bias_shape) == 3 else "float[2,6]"
        model, _ = check(
            f"(float[2,5] x) => ({out} y) {{ m = MatMul(x, w) y = Add(m, b) }}",
            w=f32(rng, 5, 6),
            b=f32(rng, *bias_shape),
        )
        assert ops(model) == ["MatMul", "Add"]

    def test_not_where_the_product_is_an_output(self, check, ops, rng):
        model, _ = check(
            "(float[N,5] x) => (float[N,6] m, float[N,6] y) { m = MatMul(x, w) y = Add(m, b) }",
            w=f32(rng, 5, 6),
            b=f32(rng, 6),
        )
        assert ops(model) == ["MatMul", "Add"]

    def test_a_bias_wider_than_the_product_stays(self, check, ops, rng):
        # (N, 1) + (6,) broadcasts the product: no Gemm does that
        model, _ = check(
            "(float[N,5] x) => (float[N,6] y) { m = MatMul(x, w) y = Add(m, b) }", w=f32(rng, 5, 1), b=f32(rng, 6)
        )
        assert ops(model) == ["MatMul", "Add"]


class TestPad:
    def test_into_conv(self, check, ops, rng):
        model, report = check(
            """(float[N,3,8,8] x) => (float[N,4,11,10] y) {
                p = Pad(x, amounts)
                y = Conv<pads=[1,0,0,1]>(p, w)
            }""",
            amounts=np.array([0, 0, 1, 2, 0, 0, 3, 1]),
            w=f32(rng, 4, 3, 3, 3),
        )
        assert ops(model) == ["Conv"]
        assert model.graph[0].attributes.get_ints("pads") == (2, 2, 3, 2)
        assert [(fused.nodes, fused.into) for fused in report] == [(("p", "y"), "y")]

    def test_with_axes_and_a_zero(self, check, ops, rng):
        model, _ = check(
            """(float[N,3,8,8] x) => (float[N,4,6,9] y) { p = Pad(x, amounts, zero, axes) y = Conv(p, w) }""",
            opset=18,
            amounts=np.array([1, 2]),
            zero=np.float32(0),
            axes=np.array([-1]),
            w=f32(rng, 4, 3, 3, 3),
        )
        assert ops(model) == ["Conv"]
        assert model.graph[0].attributes.get_ints("pads") == (0, 1, 0, 2)

    @pytest.mark.parametrize(
        ("amounts", "extra"),
        [
            ([0, 1, 1, 1, 0, 0, 1, 1], {}),  # a channel
            ([0, 0, -1, 1, 0, 0, 1, 1], {}),  # crops
            ([0, 0, 1, 1, 0, 0, 1, 1], {"fill": np.float32(1)}),
        ],
    )
    def test_stays(self, check, ops, rng, amounts, extra):
        channels = 3 + amounts[1] + amounts[5]
        model, report = check(
            f"(float[N,3,8,8] x) => (float[N,4,h,w] y) {{ p = Pad(x, n{', fill' * bool(extra)}) y = Conv(p, k) }}",
            n=np.array(amounts),
            k=f32(rng, 4, channels, 3, 3),
            **extra,
        )
        assert ops(model) == ["Pad", "Conv"]
        assert report[0].into == ""
        assert report[0].reason

    @pytest.mark.parametrize("mode", ["reflect", "edge"])
    def test_another_mode_stays(self, check, ops, rng, mode):
        model, _ = check(
            f'(float[N,3,8,8] x) => (float[N,4,8,8] y) {{ p = Pad<mode="{mode}">(x, amounts) y = Conv(p, k) }}',
            amounts=np.array([0, 0, 1, 1, 0, 0, 1, 1]),
            k=f32(rng, 4, 3, 3, 3),
        )
        assert ops(model) == ["Pad", "Conv"]

    def test_another_reader_keeps_the_pad(self, check, ops, rng):
        model, _ = check(
            "(float[N,3,8,8] x) => (float[N,4,8,8] y, float[N,3,10,10] p) { p = Pad(x, amounts) y = Conv(p, k) }",
            amounts=np.array([0, 0, 1, 1, 0, 0, 1, 1]),
            k=f32(rng, 4, 3, 3, 3),
        )
        assert sorted(ops(model)) == ["Conv", "Pad"]
        assert model.graph.inputs[0] in next(node for node in model.graph if node.op_type == "Conv").inputs

    @pytest.mark.parametrize(
        ("attributes", "merged"),
        [
            ("", True),
            ("pads=[1,0,0,1], count_include_pad=1,", True),
            ("pads=[1,0,0,1],", False),  # its own padding doesn't count, the Pad's zeros do
            ("ceil_mode=1, strides=[2,2],", False),
        ],
    )
    def test_into_average_pool(self, check, ops, attributes, merged):
        model, _ = check(
            f"""(float[N,3,8,8] x) => (float[N,3,h,w] y) {{
                p = Pad(x, amounts)
                y = AveragePool<{attributes} kernel_shape=[3,3]>(p)
            }}""",
            amounts=np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        )
        assert ops(model) == (["AveragePool"] if merged else ["Pad", "AveragePool"])

    @pytest.mark.parametrize(("activation", "merged"), [("Relu", True), ("Tanh", False)])
    def test_into_max_pool_of_what_is_never_negative(self, check, ops, activation, merged):
        model, _ = check(
            f"""(float[N,3,8,8] x) => (float[N,3,4,4] y) {{
                r = {activation}(x)
                p = Pad(r, amounts)
                y = MaxPool<kernel_shape=[3,3], strides=[2,2]>(p)
            }}""",
            amounts=np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        )
        assert ops(model) == ([activation, "MaxPool"] if merged else [activation, "Pad", "MaxPool"])

    def test_padding_as_wide_as_the_kernel_stays(self, check, ops):
        model, report = check(
            "(float[N,3,8,8] x) => (float[N,3,h,w] y) { p = Pad(x, n) y = AveragePool<kernel_shape=[2,2]>(p) }",
            n=np.array([0, 0, 2, 1, 0, 0, 1, 1]),
        )
        assert ops(model) == ["Pad", "AveragePool"]
        assert "kernel" in report[0].reason


class TestReduceMean:
    @pytest.mark.parametrize("axes", [[2, 3], [-1, -2], [3, 2]])
    @pytest.mark.parametrize("keep", [0, 1])
    @pytest.mark.parametrize("opset", [17, 18])
    def test_spatial_mean_is_a_pool(self, check, ops, axes, keep, opset):
        out = "float[N,3,1,1]" if keep else "float[N,3]"
        axes_text = f"axes={axes}, " if opset < 18 else ""
        model, report = check(
            f"(float[N,3,4,5] x) => ({out} y) "
            f"{{ y = ReduceMean<{axes_text}keepdims={keep}>(x{', axes' * (opset >= 18)}) }}",
            opset=opset,
            **({"axes": np.array(axes)} if opset >= 18 else {}),
        )
        assert ops(model) == (["GlobalAveragePool"] if keep else ["GlobalAveragePool", "Flatten"])
        assert report[0].into == "y"

    @pytest.mark.parametrize("axes", [[1], [2], [1, 2, 3], [0, 2, 3]])
    def test_another_mean_stays(self, check, ops, axes):
        model, _ = check(
            f"(float[2,3,4,5] x) => (float y) {{ m = ReduceMean<axes={axes}>(x) y = ReduceMean<keepdims=0>(m) }}"
        )
        assert ops(model) == ["ReduceMean", "ReduceMean"]


class TestSlices:
    def test_one_per_axis_become_one(self, check, ops):
        model, report = check(
            """(float[N,3,9,8] x) => (float[N,3,5,3] y) {
                a = Slice(x, zero, end, two, two)
                y = Slice(a, one, last, three)
            }""",
            zero=np.array([0]),
            one=np.array([1]),
            two=np.array([2]),
            three=np.array([-1]),
            last=np.array([4]),
            end=np.array([2**63 - 1]),
        )
        assert ops(model) == ["Slice"]
        assert report[0].into == "y"

    def test_of_the_same_axis_stay(self, check, ops):
        model, _ = check(
            "(float[N,9] x) => (float[N,4] y) { a = Slice(x, one, end, one) y = Slice(a, zero, end, minus, two) }",
            zero=np.array([0]),
            one=np.array([1]),
            minus=np.array([-1]),
            two=np.array([2]),
            end=np.array([100]),
        )
        assert ops(model) == ["Slice", "Slice"]


class TestActivations:
    @pytest.mark.parametrize(
        ("first", "second", "left"),
        [
            ("Relu(x)", "Relu(a)", ["Relu"]),
            ("Relu(x)", "Clip(a, zero, one)", ["Clip"]),
            ("Clip(x, zero, one)", "Relu(a)", ["Clip"]),
            ("Clip(x, minus, one)", "Relu(a)", ["Clip"]),
            ("Clip(x, zero, half)", "Clip(a, minus, one)", ["Clip"]),
            ("Clip(x, minus, half)", "Clip(a, zero, one)", ["Clip"]),
            ("Clip(x, half, one)", "Clip(a, minus, zero)", ["Clip"]),  # disjoint: everything becomes 0
            ("Clip(x, minus, zero)", "Clip(a, half, one)", ["Clip"]),
            ("Clip(x, one, minus)", "Relu(a)", ["Clip"]),  # bounds the wrong way round: everything is the second
            ("Clip(x, , one)", "Clip(a, zero)", ["Clip"]),
            ("Clip(x, minus)", "Clip(a, zero)", ["Relu"]),
            ("Sigmoid(x)", "Relu(a)", ["Sigmoid", "Relu"]),
        ],
    )
    @pytest.mark.parametrize("last", [True, False])
    def test_two_become_one(self, check, ops, first, second, left, last):
        tail = "y = Identity(b)" if last else "y = Sigmoid(b)"
        model, _ = check(
            f"(float[N,9] x) => (float[N,9] y) {{ a = {first} b = {second} {tail} }}",
            zero=np.float32(0),
            one=np.float32(1),
            half=np.float32(0.5),
            minus=np.float32(-1),
        )
        assert ops(model) == left + ([] if last else ["Sigmoid"])

    def test_a_second_reader_of_the_inner_one(self, check, ops):
        model, _ = check(
            "(float[N,9] x) => (float[N,9] y) { a = Clip(x, minus) b = Relu(a) y = Sub(a, b) }", minus=np.float32(-1)
        )
        assert ops(model) == ["Clip", "Relu", "Sub"]

    def test_redundant_with_a_second_reader(self, check, ops):
        model, _ = check("(float[N,9] x) => (float[N,9] y) { a = Relu(x) b = Relu(a) y = Add(a, b) }")
        assert ops(model) == ["Relu", "Add"]


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


class TestQuantizedInput:
    def test_stays_as_it_is(self, check, ops, rng):
        model, report = check(
            """(float[N,3,8,8] x) => (float[N,4] y) {
                xq = QuantizeLinear(x, scale, zp)
                xd = DequantizeLinear(xq, scale, zp)
                wd = DequantizeLinear<axis=0>(w, ws, wz)
                bd = DequantizeLinear<axis=0>(b, ws)
                c = Conv(xd, wd, bd)
                n = BatchNormalization(c, ws, ws, ws, ws)
                r = Relu(n)
                rq = QuantizeLinear(r, scale, zp)
                rd = DequantizeLinear(rq, scale, zp)
                y = ReduceMean<axes=[2,3], keepdims=0>(rd)
            }""",
            w=rng.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8),
            b=rng.integers(-1000, 1000, 4).astype(np.int32),
            ws=rng.uniform(0.01, 0.02, 4).astype(np.float32),
            wz=np.zeros(4, np.int8),
            scale=np.float32(0.02),
            zp=np.uint8(100),
        )
        assert sorted(ops(model)) == sorted(
            ["QuantizeLinear", "DequantizeLinear"] * 2
            + ["DequantizeLinear"] * 2
            + ["Conv", "BatchNormalization", "Relu", "ReduceMean"]
        )
        assert [fused.reason for fused in report] == ["'wd' is not constant"]


class TestRealModels:
    def test_outputs_stay(self, real_model, compare, ops):
        model, report = compare(real_model)
        assert not {"BatchNormalization", "Shape", "Gather", "ConstantOfShape", "Identity"} & set(ops(model))
        assert all(fused.into for fused in report)
        assert len(model.graph) == {"efficientnet_lite": 94}.get(real_model.graph.name, 54)
        assert all(value.shape is not None for node in model.graph for value in node.outputs)
