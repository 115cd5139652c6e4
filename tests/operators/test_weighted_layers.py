"""Layers with weights, "Conv", "Gemm" and "MatMul": their int8 and float kernels and what they absorb."""

from __future__ import annotations

import numpy as np
import pytest
import qkern
from onnx_text import f32, network


@pytest.mark.parametrize(
    ("attributes", "x_shape", "w_shape"),
    [
        ("", (2, 3, 9, 8), (5, 3, 3, 3)),
        ("<pads=[1, 0, 2, 1], strides=[2, 1]>", (2, 3, 9, 8), (5, 3, 3, 3)),
        ("<dilations=[2, 3], pads=[2, 3, 2, 3]>", (1, 4, 11, 12), (6, 4, 3, 3)),
        ("<group=6, pads=[1, 1, 1, 1]>", (2, 6, 7, 7), (6, 1, 3, 3)),
        ("<group=2>", (2, 6, 7, 7), (4, 3, 3, 3)),
        ('<auto_pad="SAME_UPPER", strides=[2, 2]>', (1, 3, 8, 9), (4, 3, 3, 3)),
        ('<auto_pad="SAME_LOWER", strides=[2, 2]>', (1, 3, 8, 9), (4, 3, 3, 3)),
        ('<auto_pad="VALID">', (1, 3, 8, 9), (4, 3, 3, 3)),
        ("<pads=[1, 1]>", (2, 3, 17), (5, 3, 3)),
        ("<pads=[1, 1, 1, 0, 0, 0]>", (1, 2, 5, 4, 6), (3, 2, 2, 3, 2)),
    ],
)
def test_conv(check, rng, attributes, x_shape, w_shape):
    shape = ", ".join(map(str, x_shape))
    check(
        f"(float[{shape}] x) => (float[] y) {{ y = Conv{attributes}(x, w) }}", f32(rng, *x_shape), w=f32(rng, *w_shape)
    )


def test_conv_with_bias_and_activation(check, rng):
    arrays = {"w": f32(rng, 5, 3, 3, 3), "b": f32(rng, 5), "low": np.float32(0), "high": np.float32(2)}
    x = f32(rng, 3, 3, 8, 8)
    head = "(float[N, 3, 8, 8] x) => (float[N, 5, 6, 6] y)"
    assert len(check(f"{head} {{ c = Conv(x, w, b) y = Relu(c) }}", x, **arrays).steps) == 5
    session = check(f"{head} {{ c = Conv(x, w, b) y = Clip(c, low, high) }}", x, **arrays)
    assert [step.op_type for step in session.steps if step.kind == "int8"] == ["Conv"]


@pytest.mark.parametrize("attributes", ["", "<transB=1>"])
@pytest.mark.parametrize("bias", [None, (7,), (1,), (1, 7)])
def test_gemm(check, rng, attributes, bias):
    arrays = {"w": f32(rng, 7, 5) if attributes else f32(rng, 5, 7)}
    if bias:
        arrays["b"] = f32(rng, *bias)
    inputs = "x, w, b" if bias else "x, w"
    check(f"(float[N, 5] x) => (float[N, 7] y) {{ y = Gemm{attributes}({inputs}) }}", f32(rng, 9, 5), **arrays)


@pytest.mark.parametrize("attributes", ["<alpha=0.5>", "<transA=1>", "<beta=2.0>"])
def test_a_gemm_that_has_no_kernel_runs_through_the_reference(rng, attributes):
    proto = network(
        f"(float[5, 5] x) => (float[5, 7] y) {{ y = Gemm{attributes}(x, w, b) }}", w=f32(rng, 5, 7), b=f32(rng, 7)
    )
    session = qkern.Session(proto, fallback="reference")
    (step,) = session.steps
    assert (step.kind, step.name) == ("reference", "y")
    assert any(word in step.reason for word in ("alpha", "beta", "transA"))
    quantized = qkern.quantize_model(proto, f32(rng, 5, 5), effort="fast")
    assert [layer.reason for layer in quantized.report.left_float] == [step.reason]


@pytest.mark.parametrize("shape", [(3, 5), (5,), (2, 3, 5), (2, 1, 3, 5)])
def test_matmul_with_a_weight(check, rng, shape):
    dims = ", ".join(map(str, shape))
    check(f"(float[{dims}] x) => (float[] y) {{ y = MatMul(x, w) }}", f32(rng, *shape), w=f32(rng, 5, 7))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((3, 5), (5, 4)),
        ((2, 3, 5), (5, 4)),
        ((2, 1, 3, 5), (3, 5, 4)),
        ((5,), (2, 5, 4)),
        ((2, 3, 5), (5,)),
        ((5,), (5,)),
    ],
)
def test_matmul_of_two_activations(check, rng, left, right):
    texts = [", ".join(map(str, shape)) for shape in (left, right)]
    feeds = {"x": f32(rng, *left), "z": f32(rng, *right)}
    if len(left) > 1 and len(right) > 1 and left[0] == right[0]:  # both can be calibration data: samples along axis 0
        check(f"(float[{texts[0]}] x, float[{texts[1]}] z) => (float[] y) {{ y = MatMul(x, z) }}", feeds)
        return
    proto = network(f"(float[{texts[0]}] x, float[{texts[1]}] z) => (float[] y) {{ y = MatMul(x, z) }}")
    (result,) = qkern.Session(proto).run(None, feeds)
    np.testing.assert_allclose(result, feeds["x"] @ feeds["z"], rtol=1e-5, atol=1e-5)


def test_attention(check, rng):
    x = f32(rng, 2, 6, 8)
    check(
        """(float[2, 6, 8] x) => (float[2, 6, 8] y) {
            q = MatMul(x, wq)  k = MatMul(x, wk)
            t = Transpose<perm=[0, 2, 1]>(k)
            s = MatMul(q, t)
            y = MatMul(s, x)
        }""",
        x,
        wq=f32(rng, 8, 8) / 3,
        wk=f32(rng, 8, 8) / 3,
    )


def test_layers_without_quantized_output_give_float(rng):
    proto = network("(float[N, 5] x) => (float[N, 7] y) { y = Gemm(x, w) }", w=f32(rng, 5, 7))
    quantized = qkern.quantize_model(proto, f32(rng, 20, 5), effort="fast")
    model = quantized.model.clone()
    output = model.graph.outputs[0]
    float_output = output.producer().inputs[0].producer().inputs[0]  # before QuantizeLinear and DequantizeLinear
    model.graph.outputs[0] = float_output
    session = qkern.Session(model)
    x = f32(rng, 4, 5)
    assert [step.op_type for step in session.steps if step.kind == "int8"] == ["Gemm"]
    coarse, fine = quantized.session().run(None, {"x": x})[0], session.run(None, {"x": x})[0]
    scale = quantized.report.layers[-1].scale
    assert np.abs(coarse - fine).max() <= 0.51 * scale
