"""MatMul and the Add behind it into one Gemm."""

from __future__ import annotations

import numpy as np
import pytest
from qkern.graph_values import constant_of


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
