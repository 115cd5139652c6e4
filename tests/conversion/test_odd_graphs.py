"""Graphs that a fuzzer found: valid, or refused by name."""

import numpy as np
import pytest
import qkern
from onnx_text import f32, graph, run_as_written

RNG = np.random.default_rng(0)


def test_a_layer_whose_data_is_constant():
    proto = graph(
        "(float[N, 4] x) => (float[N, 4] y) { c = Gemm(k, w, b) y = MatMul(x, c) }",
        k=f32(RNG, 4, 4),
        w=f32(RNG, 4, 4),
        b=f32(RNG, 4),
    )
    x = f32(RNG, 50, 4)
    expected = run_as_written(proto, {"x": x})[0]
    (y,) = qkern.quantize_model(proto, x, effort="fast").session().run(None, {"x": x})
    assert np.abs(y - expected).max() < 0.05 * np.abs(expected).max()


def test_an_output_without_dimensions():
    proto = graph("(float[N, 4] x) => (float y) { m = MatMul(x, w) y = ReduceMax<keepdims=0>(m) }", w=f32(RNG, 4, 4))
    x = f32(RNG, 50, 4)
    quantized = qkern.quantize_model(proto, x, samples="items", effort="fast")
    assert quantized.session().run(None, {"x": x})[0].shape == ()


def test_a_weight_without_columns_stays_float():
    proto = graph("(float[N, 4] x) => (float[N] y) { y = MatMul(x, w) }", w=f32(RNG, 4))
    x = f32(RNG, 50, 4)
    quantized = qkern.quantize_model(proto, x, effort="fast")
    assert quantized.session().run(None, {"x": x})[0].shape == (50,)


def test_a_batch_of_nothing_is_refused_by_name():
    proto = graph("(float[0, 4] x) => (float[0, 4] y) { y = Relu(x) }")
    with pytest.raises(ValueError, match="input 'x'"):
        qkern.quantize_model(proto, np.zeros((3, 4), np.float32), samples="axis0", effort="fast")
