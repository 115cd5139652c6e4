"""Activations that add nothing."""

from __future__ import annotations

import numpy as np
import pytest


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
