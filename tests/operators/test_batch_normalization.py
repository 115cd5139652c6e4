"""BatchNormalization behind what can't absorb it."""

from __future__ import annotations

import numpy as np
import pytest
import qkern
from onnx_text import f32, graph, network, run_as_written


def parameters(rng, channels):
    return [f32(rng, channels), f32(rng, channels), f32(rng, channels), np.abs(f32(rng, channels)) + 0.1]


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 5), (2, 3, 4, 5), (2, 3, 2, 4, 5), (2, 3, 2, 2, 2, 2)])
@pytest.mark.parametrize("opset", [9, 13, 14, 15, 21])
def test_any_rank_and_opset(same_as_onnxruntime, rng, shape, opset):
    """One batch: before opset 14 `onnx.reference` would take its own mean and variance."""
    inputs = [f32(rng, *shape) * 5 + 3, *parameters(rng, shape[1])]
    how = {"epsilon": 1e-2, "momentum": 0.5}
    same_as_onnxruntime("BatchNormalization", inputs, constants=[1, 2, 3, 4], opset=opset, **how)


def test_parameters_that_are_computed(same_as_onnxruntime, rng):
    same_as_onnxruntime("BatchNormalization", [f32(rng, 2, 3, 4, 5), *parameters(rng, 3)], constants=[2])


def test_in_a_residual_network_before_the_activation(check, rng):
    """Images stay channels last from one Conv to the next; the normalization itself stays float."""
    text = """(float[2, 4, 6, 6] x) => (float[] y) {
        a = Conv(x, w)  s = Add(a, x)  n = BatchNormalization(s, g, b, m, v)  r = Relu(n)  y = Conv(r, w2)
    }"""
    g, b, m, v = parameters(rng, 4)
    arrays = {"w": f32(rng, 4, 4, 1, 1), "w2": f32(rng, 4, 4, 1, 1), "g": g, "b": b, "m": m, "v": v}
    x = f32(rng, 2, 4, 6, 6)
    proto = network(text, **arrays)
    floats = qkern.Session(proto)
    assert [step.op_type for step in floats.steps if step.kind == "float"] == [
        "Conv",
        "Add",
        "BatchNormalization",
        "Conv",
    ]
    assert len([step for step in floats.steps if step.reason == "order of axes"]) == 2
    session = qkern.quantize_model(proto, x, "x86", effort="fast").session()
    assert [step.op_type for step in session.steps if step.kind == "int8"] == ["Conv", "Add", "Conv"]
    assert [step.op_type for step in session.steps if step.kind == "float"] == ["BatchNormalization"]
    expected = run_as_written(proto, {"x": x})[0]
    np.testing.assert_allclose(floats.run(None, {"x": x})[0], expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(session.run(None, {"x": x})[0], expected, rtol=0, atol=0.05 * np.abs(expected).max())


def test_training_mode_has_no_kernel():
    """It is left to what computes everything that ONNX defines."""
    proto = graph(
        """(float[2, 3, 4] x) => (float[2, 3, 4] y, float[3] mm, float[3] vv) {
            y, mm, vv = BatchNormalization<training_mode=1>(x, s, s, s, s)
        }""",
        s=np.ones(3, np.float32),
    )
    (step,) = qkern.Session(proto).steps
    assert step.kind not in ("float", "int8")
    assert "training mode" in step.reason
