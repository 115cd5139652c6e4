"""ConvTranspose: every attribute, in float and in int8, and in networks that are quantized with every effort."""

from __future__ import annotations

import numpy as np
import pytest
import qkern
from emulation import smaller
from onnx_text import f32, graph, network, run_as_written

GEOMETRIES = {
    "2x2": "strides=[2, 2]",
    "pads": "strides=[2, 3], pads=[1, 0, 1, 2]",
    "more-pads-than-kernel": "strides=[2, 3], pads=[4, 3, 1, 5]",
    "dilations": "strides=[2, 2], dilations=[2, 3]",
    "dilations-and-pads": "strides=[3, 4], dilations=[2, 6], pads=[2, 1, 0, 3]",
    "output_padding": "strides=[3, 3], pads=[1, 1, 1, 1], output_padding=[2, 1]",
    "output_padding-dilations": "strides=[2, 2], dilations=[3, 3], output_padding=[1, 1]",
    "steps-longer-than-kernel": "strides=[5, 4]",
    "same-upper": 'strides=[2, 3], auto_pad="SAME_UPPER"',
    "same-lower": 'strides=[2, 3], auto_pad="SAME_LOWER"',
    "same-stride-1": 'auto_pad="SAME_LOWER"',
    "same-dilations": 'strides=[2, 2], dilations=[2, 3], auto_pad="SAME_UPPER"',
    "valid": 'strides=[2, 2], auto_pad="VALID"',
    "output_shape": "strides=[2, 2], output_shape=[9, 11]",
    "output_shape-same": 'strides=[2, 2], output_shape=[9, 11], auto_pad="SAME_UPPER"',
    "output_shape-padding": "strides=[3, 3], output_shape=[13, 16], output_padding=[1, 1]",
}


@pytest.mark.parametrize(("number", "geometry"), list(enumerate(GEOMETRIES)))
def test_geometries(check, rng, number, geometry):
    groups, kernel = [(1, (3, 3)), (2, (2, 3)), (4, (3, 4))][number % 3]
    text = f"""(float[2, 4, 5, 6] x) => (float[] y) {{
        y = ConvTranspose<group={groups}, {GEOMETRIES[geometry]}>(x, w, b)
    }}"""
    weight = f32(rng, 4, 3 if groups < 4 else 1, *kernel)
    arrays, x = {"w": weight, "b": f32(rng, weight.shape[1] * groups)}, f32(rng, 2, 4, 5, 6)
    if number % 2 == 0:  # int8 has the same phases
        session = check(text, x, **arrays)
        assert [step.op_type for step in session.steps if step.kind == "int8"] == ["ConvTranspose"]
        return
    proto = network(text, **arrays)
    session = qkern.Session(proto)
    assert {step.kind for step in session.steps} == {"convert", "float"}
    expected = run_as_written(proto, {"x": x})[0]
    np.testing.assert_allclose(session.run(None, {"x": x})[0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("spatial", "kernel", "attributes"),
    [
        ((7,), (4,), "strides=[2], pads=[1, 1]"),
        ((7,), (3,), "strides=[2], output_padding=[1]"),
        ((3, 4, 5), (2, 3, 2), "strides=[2, 1, 3], pads=[0, 1, 0, 1, 1, 1]"),
        ((3, 4, 5), (3, 3, 3), 'strides=[2, 2, 2], auto_pad="SAME_UPPER"'),
    ],
)
def test_other_ranks(check, rng, spatial, kernel, attributes):
    dims = ", ".join(map(str, (2, 6, *spatial)))
    text = f"(float[{dims}] x) => (float[] y) {{ y = ConvTranspose<group=2, {attributes}>(x, w) }}"
    check(text, f32(rng, 2, 6, *spatial), w=f32(rng, 6, 2, *kernel))


def test_the_size_of_the_image_need_not_be_known(check, rng):
    text = (
        "(float[N, 4, H, W] x) => (float[N, 5, P, Q] y) { y = ConvTranspose<strides=[2, 2], pads=[1, 1, 1, 1]>(x, w) }"
    )
    session = check(text, f32(rng, 3, 4, 6, 5), w=f32(rng, 4, 5, 4, 4))
    for height, width in ((1, 1), (2, 9), (6, 5)):
        assert session.run(None, {"x": f32(rng, 1, 4, height, width)})[0].shape == (1, 5, 2 * height, 2 * width)


@pytest.mark.parametrize("activation", ["Relu(t)", "Clip(t, low, high)"])
def test_an_activation_is_absorbed(check, rng, activation):
    arrays = {"low": np.float32(-0.5), "high": np.float32(1.5)} if "Clip" in activation else {}
    text = f"(float[2, 4, 5, 6] x) => (float[] y) {{ t = ConvTranspose<strides=[3, 2]>(x, w, b) y = {activation} }}"
    session = check(text, f32(rng, 2, 4, 5, 6), w=f32(rng, 4, 8, 2, 2), b=f32(rng, 8), **arrays)
    assert [step.op_type for step in session.steps if step.kind != "convert"] == ["ConvTranspose"]


def test_output_padding_beyond_the_stride_is_the_bias(rng):
    """ONNX Runtime refuses it; by ONNX's definition nothing is added there."""
    x, w, b = f32(rng, 1, 2, 3, 4), f32(rng, 2, 3, 2, 2), f32(rng, 3)
    attributes = "strides=[2, 2], output_padding=[3, 2]"
    proto = graph(f"(float[1, 2, 3, 4] x) => (float[] y) {{ y = ConvTranspose<{attributes}>(x, w, b) }}", w=w, b=b)
    expected = np.broadcast_to(b[:, None, None], (3, 9, 10)).copy()
    for row, col in np.ndindex(3, 4):
        expected[:, 2 * row : 2 * row + 2, 2 * col : 2 * col + 2] += np.tensordot(x[0, :, row, col], w, 1)
    np.testing.assert_allclose(qkern.Session(proto).run(None, {"x": x})[0][0], expected, rtol=1e-5, atol=1e-5)


def test_strides_of_any_length(same_as_onnxruntime, rng):
    """As many convolutions as the kernel has taps, however many phases there are."""
    inputs = [f32(rng, 1, 2, 2, 3), f32(rng, 2, 3, 2, 2), f32(rng, 3)]
    same_as_onnxruntime("ConvTranspose", inputs, constants=[1, 2], strides=[30000, 1], pads=[20000, 1, 0, 0])


def test_special_numbers_stay_where_they_are(same_as_onnxruntime, rng):
    x = f32(rng, 1, 2, 3, 3)
    x[0, 0, 1, 1] = np.inf
    same_as_onnxruntime(
        "ConvTranspose", [x, f32(rng, 2, 3, 2, 2), f32(rng, 3)], constants=[1, 2], strides=[3, 3], opset=11
    )


def test_a_grouped_one_with_a_batch_norm(same_as_onnxruntime, rng):
    """The fold leaves a node that runs right: every group has its own rows of the weight."""
    text = """(float[2, 4, 5, 5] x) => (float[] y) {
        t = ConvTranspose<group=2, strides=[2, 2]>(x, w, b)
        y = BatchNormalization(t, gamma, beta, mean, variance)
    }"""
    arrays = {"gamma": f32(rng, 6), "beta": f32(rng, 6), "mean": f32(rng, 6), "variance": np.abs(f32(rng, 6)) + 0.5}
    proto = network(text, w=f32(rng, 4, 3, 3, 3), b=f32(rng, 6), **arrays)
    session, x = qkern.Session(proto), f32(rng, 2, 4, 5, 5)
    assert [step.op_type for step in session.steps if step.kind != "convert"] == ["ConvTranspose"]
    np.testing.assert_allclose(session.run(None, {"x": x})[0], run_as_written(proto, {"x": x})[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"pads": [-1, 0, 0, 0]}, "negative"),
        ({"strides": [0, 1]}, "not positive"),
        ({"strides": [2]}, "one entry per spatial axis"),
        ({"kernel_shape": [3, 3]}, "not that of its kernel"),
    ],
)
def test_what_is_not_covered_says_why(attributes, reason):
    import onnx_ir as ir
    from qkern.operators import Unsupported, get_operator

    x, w = ir.Value(name="x", shape=ir.Shape([1, 2, 3, 3])), ir.Value(name="w")
    w.const_value = ir.tensor(np.ones((2, 2, 2, 2), np.float32))
    node = ir.Node("", "ConvTranspose", [x, w], attributes=[ir.AttrInt64s(k, v) for k, v in attributes.items()])
    operator = get_operator("ConvTranspose")
    assert operator is not None
    assert reason in str(operator.quantization(node))
    with pytest.raises(Unsupported, match=reason):
        operator.lower(node, type("Builder", (), {"quantized": lambda _, value: None})())


@pytest.mark.parametrize(
    ("effort", "groups", "target"),
    [("fast", 1, "x86"), ("balanced", 2, "arm"), ("best", 2, "x86")],
)
def test_a_decoder_is_quantized_with_every_effort(rng, effort, groups, target):
    text = f"""(float[N, 3, 8, 8] x) => (float[N, 2, 16, 16] y) {{
        a = Conv<strides=[2, 2], pads=[1, 1, 1, 1]>(x, w0, b0)  r = Relu(a)
        u = ConvTranspose<strides=[2, 2], group={groups}>(r, w1, b1)  n = BatchNormalization(u, g, b, m, v)
        s = Relu(n)
        y = ConvTranspose<strides=[2, 2], pads=[1, 1, 1, 1]>(s, w2, b2)
    }}"""
    arrays = {
        "w0": f32(rng, 8, 3, 3, 3) / 5, "b0": f32(rng, 8), "w1": f32(rng, 8, 6 // groups, 2, 2) / 3, "b1": f32(rng, 6),
        "g": f32(rng, 6) + 2, "b": f32(rng, 6), "m": f32(rng, 6), "v": np.abs(f32(rng, 6)) + 0.5,
        "w2": f32(rng, 6, 2, 4, 4) / 5, "b2": f32(rng, 2),
    }  # fmt: skip
    proto, x = network(text, **arrays), f32(rng, smaller(32, 12), 3, 8, 8)
    quantized = qkern.quantize_model(proto, x, target, effort=effort)
    session = quantized.session()
    assert {step.op_type for step in session.steps if step.kind == "int8"} == {"Conv", "ConvTranspose"}
    (expected,), (result,) = run_as_written(proto, {"x": x}), session.run(None, {"x": x})
    noise = np.square(result - expected).mean() / np.square(expected).mean()
    assert 10 * np.log10(noise) < -25
