"""Consecutive Slices into one."""

from __future__ import annotations

import numpy as np


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
