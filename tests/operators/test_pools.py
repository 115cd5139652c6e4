"""Pools: "MaxPool", "AveragePool", "GlobalAveragePool"."""

from __future__ import annotations

import numpy as np
import pytest
import qkern
from onnx_text import f32, network, run_as_written

MAX_POOLS = [
    "kernel_shape=[2, 2], strides=[2, 2]",
    "kernel_shape=[3, 3], pads=[1, 1, 1, 1]",
    "kernel_shape=[3, 2], strides=[2, 3], pads=[1, 0, 2, 1]",
    "kernel_shape=[2, 2], dilations=[2, 3]",
    "kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1",
    "kernel_shape=[2, 2], strides=[3, 3], pads=[1, 1, 0, 0], ceil_mode=1",
    'kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"',
]
AVERAGE_POOLS = [
    "kernel_shape=[2, 2], strides=[2, 2]",
    "kernel_shape=[3, 3], pads=[1, 1, 1, 1]",
    "kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1",
    "kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1",
]


@pytest.mark.parametrize("attributes", MAX_POOLS)
def test_max_pool(check, rng, attributes):
    text = f"(float[2, 5, 10, 11] x) => (float[] y) {{ r = Relu(x) g = Conv(r, w) y = MaxPool<{attributes}>(g) }}"
    check(text, f32(rng, 2, 5, 10, 11), w=f32(rng, 5, 5, 1, 1))


@pytest.mark.parametrize("attributes", AVERAGE_POOLS)
def test_average_pool(check, rng, attributes):
    check(f"(float[2, 5, 10, 11] x) => (float[] y) {{ y = AveragePool<{attributes}>(x) }}", f32(rng, 2, 5, 10, 11))


@pytest.mark.parametrize("shape", [(2, 5, 7), (2, 5, 7, 6), (2, 3, 4, 5, 6)])
def test_global_average_pool(check, rng, shape):
    dims = ", ".join(map(str, shape))
    check(f"(float[{dims}] x) => (float[] y) {{ y = GlobalAveragePool(x) }}", f32(rng, *shape))


def test_pools_without_a_kernel_run_through_the_reference(rng):
    for op in (
        "AveragePool<kernel_shape=[2, 2], dilations=[2, 2]>",
        "AveragePool<kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, count_include_pad=1>",
    ):
        proto = network(f"(float[1, 2, 8, 8] x) => (float[] y) {{ y = {op}(x) }}")
        session = qkern.Session(proto, fallback="reference")
        assert [
            (step.kind, "has no kernel" in step.reason or "have no kernel" in step.reason) for step in session.steps
        ] == [("reference", True)]
    proto = network(
        "(float[1, 2, 8, 8] x) => (float[] y, int64[] i) { y, i = MaxPool<kernel_shape=[2, 2], strides=[2, 2]>(x) }"
    )
    session = qkern.Session(proto, fallback="reference")
    assert [step.kind for step in session.steps] == ["reference"]
    x = f32(rng, 1, 2, 8, 8)
    for ours, theirs in zip(session.run(None, {"x": x}), run_as_written(proto, {"x": x}), strict=True):
        np.testing.assert_array_equal(ours, theirs)
