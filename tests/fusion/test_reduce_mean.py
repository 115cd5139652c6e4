"""ReduceMean over the spatial axes into a pool."""

from __future__ import annotations

import numpy as np
import pytest


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
