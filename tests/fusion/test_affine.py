"""Constant factors and summands into the linear node before them."""

from __future__ import annotations

import numpy as np
import pytest


def f32(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


CONV = "(float[N,4,6,6] x) => (float[N,6,6,6] y) {{ c = Conv<pads=[1,1,1,1]>(x, w{bias}) y = {op} }}"
OPS = ("Add(c, k)", "Add(k, c)", "Sub(c, k)", "Sub(k, c)", "Mul(c, k)", "Mul(k, c)", "Div(c, k)")


class TestAffine:
    @pytest.mark.parametrize("op", OPS)
    @pytest.mark.parametrize("shape", [(), (1,), (6, 1, 1), (1, 6, 1, 1), (1, 1, 1, 1)])
    @pytest.mark.parametrize("bias", ["", ", b"])
    def test_into_a_conv(self, check, ops, rng, op, shape, bias):
        arrays = {"w": f32(rng, 6, 4, 3, 3), "k": f32(rng, *shape), **({"b": f32(rng, 6)} if bias else {})}
        model, report = check(CONV.format(op=op, bias=bias), **arrays)
        assert ops(model) == ["Conv"]
        assert [(fused.pass_name, fused.nodes, fused.into) for fused in report] == [("affine", ("c", "y"), "c")]

    @pytest.mark.parametrize("op", OPS)
    def test_into_a_gemm_and_a_grouped_conv_transpose(self, check, ops, rng, op):
        model, _ = check(
            f"(float[N,5] x) => (float[N,6] y) {{ c = Gemm<transB=1, beta=0.5>(x, w, b) y = {op} }}",
            w=f32(rng, 6, 5), b=f32(rng, 6), k=f32(rng, 6),
        )  # fmt: skip
        assert ops(model) == ["Gemm"]
        model, _ = check(
            f"(float[N,4,3,3] x) => (float[N,6,6,6] y) {{ c = ConvTranspose<group=2, strides=[2,2]>(x, w) y = {op} }}",
            w=f32(rng, 4, 3, 2, 2), k=f32(rng, 6, 1, 1),
        )  # fmt: skip
        assert ops(model) == ["ConvTranspose"]

    def test_a_chain(self, check, ops, rng):
        text = "(float[N,4,6,6] x) => (float[N,6,4,4] y) { c = Conv(x, w) m = Mul(s, c) a = Add(m, k) y = Relu(a) }"
        model, report = check(text, w=f32(rng, 6, 4, 3, 3), s=f32(rng, 1), k=f32(rng, 1))
        assert ops(model) == ["Conv", "Relu"]
        assert [fused.nodes for fused in report] == [("c", "m"), ("c", "a")]

    @pytest.mark.parametrize(
        ("op", "shape"),
        [
            ("Div(k, c)", (1,)),  # not linear
            ("Mul(c, k)", (6,)),  # along the width
            ("Add(c, k)", (1, 6, 1, 6)),
            ("Add(c, k)", (2, 6, 1, 1)),  # more than the batch of 1 has
        ],
    )
    def test_not_what_is_no_number_per_channel(self, check, ops, rng, op, shape):
        batch, result = (1, 2) if shape[:1] == (2,) else ("N", "N")
        nodes = f"c = Conv<pads=[1,1,1,1]>(x, w) y = {op}"
        text = f"(float[{batch},4,6,6] x) => (float[{result},6,6,6] y) {{ {nodes} }}"
        model, report = check(text, w=f32(rng, 6, 4, 3, 3), k=f32(rng, *shape))
        assert ops(model)[0] == "Conv"
        assert len(ops(model)) == 2
        assert report == []

    def test_not_where_the_sum_is_read_elsewhere(self, check, ops, rng):
        text = "(float[N,4,6,6] x) => (float[N,6,4,4] c, float[N,6,4,4] y) { c = Conv(x, w) y = Mul(c, k) }"
        model, _ = check(text, w=f32(rng, 6, 4, 3, 3), k=f32(rng, 1))
        assert ops(model) == ["Conv", "Mul"]

    def test_not_a_division_by_zero(self, check, ops, rng):
        text = "(float[N,4,6,6] x) => (float[N,6,4,4] y) { c = Conv(x, w) d = Div(c, k) y = Atan(d) }"
        model, _ = check(text, w=f32(rng, 6, 4, 3, 3), k=np.float32([[[1]], [[0]], [[1]], [[1]], [[1]], [[1]]]))
        assert ops(model) == ["Conv", "Div", "Atan"]
