"""Pad into the padding of the Conv or pool behind it."""

from __future__ import annotations

import numpy as np
import pytest


def f32(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


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
