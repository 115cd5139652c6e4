"""Pad: every mode and sign of its amounts, on floats, other types and codes."""

from __future__ import annotations

import numpy as np
import pytest
import qkern
from onnx_text import f32, graph, network, run_as_written

I64 = np.int64
# Begins, then ends, of axes of 3, 4, 5 and 3.
AMOUNTS = {
    "added": [1, 0, 2, 1, 0, 3, 1, 0],
    "taken": [-1, 0, -2, 0, -1, -3, 0, -1],
    "both": [2, -1, 0, -1, 0, 2, -3, 1],
    "all of an axis": [0, 0, -2, 0, 0, 0, -3, 0],
}


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "wrap"])
@pytest.mark.parametrize("amounts", AMOUNTS)
def test_modes(same_as_onnxruntime, rng, mode, amounts):
    if amounts == "all of an axis" and mode != "constant":
        return  # nothing to copy
    pads = np.array(AMOUNTS[amounts], I64)
    for dtype, opset in ((np.float32, 11), (np.float32, 21), (np.int64, 13), (np.uint8, 21), (np.float64, 21)):
        x = (50 * f32(rng, 3, 4, 5, 3)).astype(dtype)
        if mode != "wrap" or opset > 18:
            same_as_onnxruntime("Pad", [x, pads], constants=[1], opset=opset, mode=mode, exact=True)


@pytest.mark.parametrize("fill", [7.0, -np.inf, np.nan])
def test_fills_and_axes(same_as_onnxruntime, rng, fill):
    x, pads = f32(rng, 3, 4, 5, 3), np.array([2, -1, 1, 3], I64)
    for axes in ([1, 3], [-1, 0], [3, 1]):
        inputs = [x, pads, np.array(fill, np.float32), np.array(axes, I64)]
        same_as_onnxruntime("Pad", inputs, constants=[1, 2, 3], exact=True)
    same_as_onnxruntime(
        "Pad", [x.astype(np.int8), pads, np.array(7, np.int8), np.array([1, 2], I64)], constants=[1, 2, 3]
    )


@pytest.mark.parametrize(
    "call",
    [
        "Pad(c, pads)",
        'Pad<mode="edge">(c, pads)',
        'Pad<mode="reflect">(c, pads)',
        'Pad<mode="wrap">(c, pads)',
    ],
)
def test_codes(check, rng, call):
    text = f"(float[2, 4, 6, 6] x) => (float[] y) {{ c = Conv(x, w) y = {call} }}"
    arrays = {"w": f32(rng, 4, 4, 1, 1), "pads": np.array([0, 1, -1, 2, 1, 0, 3, -2], I64)}
    session = check(text, f32(rng, 2, 4, 6, 6), **arrays)
    assert [step.op_type for step in session.steps if step.kind == "int8"] == ["Conv", "Pad"]


def test_a_fill_is_quantized_with_the_parameters_around_it(rng):
    text = """(float[1, 2, 3, 3] x) => (float[1, 2, 5, 5] y) {
        q = QuantizeLinear(x, s, z)  d = DequantizeLinear(q, s, z)
        p = Pad(d, pads, fill)
        r = QuantizeLinear(p, s, z)  y = DequantizeLinear(r, s, z)
    }"""
    pads = np.array([0, 0, 1, 1, 0, 0, 1, 1], I64)
    for fill in (0.3, -7.0, 1e9, -np.inf):
        arrays = {"s": np.float32(0.04), "z": np.uint8(100), "pads": pads, "fill": np.float32(fill)}
        proto, x = network(text, **arrays), f32(rng, 1, 2, 3, 3)
        session = qkern.Session(proto)
        assert [step.op_type for step in session.steps if step.kind == "int8"] == ["Pad"]
        np.testing.assert_array_equal(session.run(None, {"x": x})[0], run_as_written(proto, {"x": x})[0])


def test_a_layer_with_another_fill_than_0_stays_float(check, rng):
    text = "(float[2, 4, 6, 6] x) => (float[] y) { c = Conv(x, w) p = Pad(c, pads, fill) y = Conv(p, w) }"
    proto = network(text, w=f32(rng, 4, 4, 1, 1), pads=np.array([0, 0, 1, 1, 0, 0, 1, 1], I64), fill=np.float32(100))
    quantized = qkern.quantize_model(proto, f32(rng, 2, 4, 6, 6), effort="fast")
    (layer,) = [layer for layer in quantized.report.layers if layer.op_type == "Pad"]
    assert not layer.quantized
    assert "another number than 0" in layer.reason


def test_more_taken_than_there_is():
    proto = graph("(float[3, N] x) => (float[] y) { y = Pad(x, pads) }", pads=np.array([0, -2, 0, -2], I64))
    with pytest.raises(ValueError, match=r"'y' \(Pad\).* 4 away of an axis of 3"):
        qkern.Session(proto).run(None, {"x": np.zeros((3, 3), np.float32)})


def test_amounts_that_are_computed_have_no_kernel():
    proto = graph("(float[3] x, int64[2] pads) => (float[N] y) { y = Pad(x, pads) }")
    (step,) = qkern.Session(proto).steps
    assert step.kind not in ("float", "int8", "convert")
    assert step.reason == "its amounts are not constant"
