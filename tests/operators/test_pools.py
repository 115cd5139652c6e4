"""Pools: "MaxPool", "AveragePool", "LpPool" and those over the whole image."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import qkern
from onnx_text import f32, graph, network

MAX_POOLS = [
    "kernel_shape=[2, 2], strides=[2, 2]",
    "kernel_shape=[3, 2], strides=[2, 3], pads=[1, 0, 2, 1]",
    "kernel_shape=[2, 2], dilations=[2, 3]",
    "kernel_shape=[2, 2], strides=[3, 3], pads=[1, 1, 0, 0], ceil_mode=1",
    'kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_LOWER"',
]
AVERAGE_POOLS = [
    "kernel_shape=[2, 2], strides=[2, 2]",
    "kernel_shape=[3, 3], pads=[1, 1, 1, 1]",
    "kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1",
    "kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1",
    "kernel_shape=[3, 4], strides=[2, 2], pads=[1, 1, 1, 0], ceil_mode=1, count_include_pad=1",
    "kernel_shape=[2, 3], dilations=[3, 2], pads=[1, 0, 0, 2]",
    'kernel_shape=[2, 4], auto_pad="SAME_LOWER", count_include_pad=1',
]

STEPS = [[1, 1], [2, 3], [4, 2]]  # longer than the window too
BORDERS = [
    {},
    {"pads": [1, 0, 2, 1]},
    {"auto_pad": "SAME_UPPER"},
    {"auto_pad": "SAME_LOWER"},
    {"auto_pad": "VALID"},
]


@pytest.mark.parametrize("attributes", MAX_POOLS)
def test_max_pool(check, rng, attributes):
    text = f"(float[2, 5, 10, 11] x) => (float[] y) {{ r = Relu(x) g = Conv(r, w) y = MaxPool<{attributes}>(g) }}"
    check(text, f32(rng, 2, 5, 10, 11), w=f32(rng, 5, 5, 1, 1))


@pytest.mark.parametrize("attributes", AVERAGE_POOLS)
def test_average_pool(check, rng, attributes):
    check(f"(float[2, 5, 10, 11] x) => (float[] y) {{ y = AveragePool<{attributes}>(x) }}", f32(rng, 2, 5, 10, 11))


@pytest.mark.parametrize("shape", [(2, 5, 7), (2, 5, 7, 6), (2, 3, 4, 5, 6)])
def test_pools_over_the_whole_image(check, rng, shape):
    dims = ", ".join(map(str, shape))
    check(f"(float[{dims}] x) => (float[] y) {{ y = GlobalAveragePool(x) }}", f32(rng, *shape))
    text = f"(float[{dims}] x) => (float[] y) {{ a = Sigmoid(x) y = GlobalMaxPool(a) }}"
    session = check(text, f32(rng, *shape))
    assert [step.op_type for step in session.steps if step.kind == "int8"] == ["Sigmoid", "GlobalMaxPool"]


@pytest.mark.parametrize("op_type", ["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"])
@pytest.mark.parametrize("shape", [(2, 3, 5), (2, 3, 4, 5), (2, 3, 2, 4, 5)])
def test_pools_over_the_whole_image_in_float(same_as_onnxruntime, rng, op_type, shape):
    for attributes in [{"p": 1}, {"p": 3}, {}] if op_type == "GlobalLpPool" else [{}]:
        same_as_onnxruntime(op_type, [f32(rng, *shape)], **attributes)


@pytest.mark.parametrize("op_type", ["MaxPool", "AveragePool", "LpPool"])
@pytest.mark.parametrize("borders", BORDERS, ids=str)
def test_windows(same_as_onnxruntime, rng, op_type, borders):
    """Every attribute with every other one, in the last opset and in the first that has it."""
    x = f32(rng, 1, 2, 7, 8)
    variants = {"MaxPool": [{}], "AveragePool": [{}, {"count_include_pad": 1}], "LpPool": [{"p": 1}, {"p": 3}]}[op_type]
    for steps, dilations, ceil, more in itertools.product(STEPS, ([1, 1], [2, 3]), (0, 1), variants):
        if "auto_pad" in borders and (max(dilations) > 1 or steps[0] == 4) and borders["auto_pad"] != "VALID":
            continue  # no two runtimes agree: test_what_has_no_kernel_says_why
        window = {"kernel_shape": [3, 2], "strides": steps, **borders, **more}
        newest = {"dilations": dilations, "ceil_mode": ceil}
        same_as_onnxruntime(op_type, [x], opset=21, **window, **newest)
        if op_type == "MaxPool":
            same_as_onnxruntime(op_type, [x], opset=11, **window, **newest)
        elif max(dilations) == 1 and (op_type == "AveragePool" or ceil == 0) and not (ceil and more):
            ceiled = {"ceil_mode": ceil} if op_type == "AveragePool" else {}
            same_as_onnxruntime(op_type, [x], opset=11, **window, **ceiled)


@pytest.mark.parametrize(("spatial", "kernel"), [((9,), [3]), ((4, 5, 6), [2, 3, 2])])
@pytest.mark.parametrize("op_type", ["MaxPool", "AveragePool", "LpPool"])
def test_other_ranks(same_as_onnxruntime, rng, spatial, kernel, op_type):
    for attributes in ({"strides": [2] * len(kernel)}, {"dilations": [2] * len(kernel), "pads": [1] * 2 * len(kernel)}):
        same_as_onnxruntime(op_type, [f32(rng, 2, 3, *spatial)], kernel_shape=kernel, **attributes)


@pytest.mark.parametrize("storage_order", [0, 1])
@pytest.mark.parametrize(
    "attributes",
    [
        {"kernel_shape": [2, 2], "strides": [2, 2]},
        {"kernel_shape": [3, 2], "pads": [1, 0, 2, 1], "strides": [2, 1], "ceil_mode": 1},
        {"kernel_shape": [2, 3], "dilations": [2, 2]},
        {"kernel_shape": [3], "auto_pad": "SAME_LOWER"},
        {"kernel_shape": [2, 2, 3], "pads": [1, 1, 1, 0, 0, 1]},
    ],
    ids=str,
)
def test_where_the_largest_are(same_as_onnxruntime, rng, attributes, storage_order):
    """Numbers repeat, so that ties are met, and some windows hold -inf alone."""
    x = np.round(f32(rng, 2, 3, *(6, 7, 5)[: len(attributes["kernel_shape"])]))
    x[:, 1, :3] = -np.inf
    same_as_onnxruntime("MaxPool", [x], outputs=2, storage_order=storage_order, **attributes)


@pytest.mark.parametrize("op_type", ["MaxPool", "AveragePool", "LpPool", "GlobalMaxPool", "GlobalAveragePool"])
def test_four_spatial_axes(rng, op_type):
    """ONNX Runtime has none: NumPy over the last axis, a window of 1 elsewhere."""
    x = f32(rng, 2, 3, 4, 2, 3, 5)
    if op_type.startswith("Global"):
        text = f"(float[2, 3, 4, 2, 3, 5] x) => (float[] y) {{ y = {op_type}(x) }}"
        axes = (2, 3, 4, 5)
        expected = x.max(axes, keepdims=True) if "Max" in op_type else x.mean(axes, keepdims=True)
    else:
        window = "kernel_shape=[1, 1, 1, 2], strides=[1, 1, 1, 2], pads=[0, 0, 0, 1, 0, 0, 0, 0]"
        text = f"(float[2, 3, 4, 2, 3, 5] x) => (float[] y) {{ y = {op_type}<{window}>(x) }}"
        first, *pairs = x[..., 0], x[..., 1:3], x[..., 3:5]
        means = {
            "MaxPool": lambda pair: pair.max(-1),
            "AveragePool": lambda pair: pair.mean(-1),
            "LpPool": lambda pair: np.linalg.norm(pair, axis=-1),
        }
        expected = np.stack([np.abs(first) if op_type == "LpPool" else first, *map(means[op_type], pairs)], axis=-1)
    session = qkern.Session(network(text))
    assert {step.kind for step in session.steps} == {"float", "convert"}
    np.testing.assert_allclose(session.run(None, {"x": x})[0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("op_type", ["MaxPool", "AveragePool", "LpPool"])
@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ('kernel_shape=[2, 2], dilations=[2, 2], auto_pad="SAME_UPPER"', "auto_pad with dilations"),
        ('kernel_shape=[1, 2], strides=[3, 1], auto_pad="SAME_LOWER"', "so far apart"),
        ("kernel_shape=[2, 2], pads=[0, 2, 0, 0]", "not smaller than the kernel"),
        ("kernel_shape=[2, 2], pads=[0, -1, 0, 0]", "negative padding"),
    ],
)
def test_what_has_no_kernel_says_why(op_type, attributes, reason):
    import onnx_ir as ir
    from qkern.operators import Unsupported, get_operator

    proto = graph(f"(float[1, 2, 8, 8] x) => (float[] y) {{ y = {op_type}<{attributes}>(x) }}", 21)
    (node,) = ir.from_proto(proto).graph
    operator = get_operator(op_type)
    assert operator is not None
    with pytest.raises(Unsupported, match=reason):
        operator.lower(node, type("Builder", (), {"is_float": lambda *_: True})())
    if op_type != "LpPool":
        assert reason in str(operator.quantization(node))
