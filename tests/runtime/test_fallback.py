"""What has no kernel runs through ONNX's reference, is listed with a reason, and what nobody can run is refused."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import qkern
from emulation import EFFORT
from onnx_text import graph


def test_an_operator_without_a_kernel():
    proto = graph("(float[N, 4] x) => (float[N, 4] y) { s = Selu(x) y = Relu(s) }")
    session = qkern.Session(proto, fallback="reference")
    assert [(step.name, step.kind) for step in session.steps] == [("s", "reference"), ("y", "float")]
    assert session.steps[0].reason == "Selu has no kernel"
    x = np.float32([[-1, 0, 1, 2]])
    np.testing.assert_allclose(session.run(None, {"x": x})[0], np.maximum(0, 1.0507009873554805 * x), rtol=1e-6)


def test_several_outputs_and_integers(onnxruntime_session):
    proto = graph(
        "(float[4, 6] x) => (float[K, 6] v, int64[K, 6] i, int64[2] s) { v, i = TopK<axis=0>(x, k) s = Shape(v) }",
        k=np.array([2]),
    )
    x = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    session = qkern.Session(proto)
    for _ in range(2):
        for ours, theirs in zip(
            session.run(None, {"x": x}), onnxruntime_session(proto).run(None, {"x": x}), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
            assert ours.dtype == theirs.dtype


def test_a_subgraph_reads_values_from_outside():
    proto = graph(
        """(float[2] x, bool flag) => (float[2] y) {
            r = Relu(x)
            y = If (flag) <
                then_branch = a () => (float[2] t) { t = Add(r, c) },
                else_branch = b () => (float[2] e) { e = Sub(r, c) }
            >
        }""",
        c=np.float32([1, 1]),
    )
    session = qkern.Session(proto)
    x = np.float32([-1, 2])
    np.testing.assert_array_equal(session.run(None, {"x": x, "flag": np.array(True)})[0], [1, 3])
    np.testing.assert_array_equal(session.run(None, {"x": x, "flag": np.array(False)})[0], [-1, 1])


def test_an_unknown_operator_names_its_node():
    proto = graph("(float[2] x) => (float[2] y) { h = Relu(x) y = vendor.Secret(h) }")
    with pytest.raises(ValueError, match=r"node 'y' \(vendor\.Secret\) can't run"):
        qkern.Session(proto)


@pytest.mark.parametrize(("op_type", "error"), [("Max", ValueError), ("Mean", RuntimeError)])
def test_a_node_that_fails_is_named(op_type, error):
    """With a kernel of ours and without one."""
    proto = graph(f"(float[N] x, float[M] z) => (float[K] y) {{ y = {op_type}(x, z) }}")
    with pytest.raises(error, match=rf"node 'y' \({op_type}\)"):
        qkern.Session(proto).run(None, {"x": np.zeros(2, np.float32), "z": np.zeros(3, np.float32)})


@pytest.mark.parametrize("source", [b"", b"not a model", None])
def test_files_that_are_not_models(source, tmp_path):
    from small_cnn import small_cnn

    content = small_cnn().SerializeToString()[:-900] if source is None else source
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"bad\.onnx: not an ONNX model"):
        qkern.Session(path)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.onnx"):
        qkern.Session(tmp_path / "nowhere.onnx")


def test_other_types_than_float32_are_left_to_the_reference(onnxruntime_session):
    proto = graph("(double[2, 3] x) => (double[2, 2] y) { y = MatMul(x, w) }", w=np.arange(6.0).reshape(3, 2))
    session = qkern.Session(proto, fallback="reference")
    assert [step.kind for step in session.steps] == ["reference"]
    x = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(session.run(None, {"x": x})[0], x @ np.arange(6.0).reshape(3, 2))
    proto = graph("(int64[3] x) => (int64[3] y) { a = Add(x, x) y = Mul(a, x) }")
    (result,) = qkern.Session(proto).run(None, {"x": np.array([1, 2, 3])})
    np.testing.assert_array_equal(result, [2, 8, 18])
    assert result.dtype == np.int64


def test_dynamic_shapes():
    proto = graph(
        """(float[A, B] x) => (float[C] y) {
            shape = Shape(x)
            count = ReduceProd<keepdims=1>(shape)
            flat = Reshape(x, count)
            y = Relu(flat)
        }"""
    )
    session = qkern.Session(proto)
    for shape in ((2, 3), (5, 1), (0, 4), (2, 3)):
        x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
        np.testing.assert_array_equal(session.run(None, {"x": x})[0], x.reshape(-1))


def test_quantization_by_parameters_that_are_computed():
    proto = graph(
        """(float[2, 4] x) => (float[2, 4] y) {
            q, s, z = DynamicQuantizeLinear(x)
            y = DequantizeLinear(q, s, z)
        }"""
    )
    session = qkern.Session(proto, fallback="reference")
    assert [(step.kind, step.reason) for step in session.steps] == [
        ("reference", "DynamicQuantizeLinear has no kernel"),
        ("convert", "its parameters are computed"),
    ]
    x = np.random.default_rng(1).normal(size=(2, 4)).astype(np.float32)
    assert np.abs(session.run(None, {"x": x})[0] - x).max() < 0.02


@pytest.mark.parametrize("axis", [None, 0])
def test_sums_dequantized_by_a_scale_that_is_computed(axis):
    scale = "float" if axis is None else "float[2]"
    how = "" if axis is None else f"<axis={axis}>"
    text = f"(int32[2, 3] q, {scale} x) => (float[2, 3] y) {{ s = Add(x, x) y = DequantizeLinear{how}(q, s) }}"
    session = qkern.Session(graph(text, opset=13))
    assert [step.kind for step in session.steps if step.op_type == "DequantizeLinear"] == ["convert"]
    q = np.int32([[1, -2, 3], [70_000, -80_000, 0]])
    s = np.float32(0.25) if axis is None else np.float32([0.25, 0.5])
    (y,) = session.run(None, {"q": q, "x": s})
    np.testing.assert_array_equal(y, q * np.reshape(2 * s, (-1, 1)))


def test_nan_goes_through_float_layers_and_becomes_zero_in_codes():
    from small_cnn import images, small_cnn

    x = images(2)
    x[1, 0, 0, 0] = np.nan
    scores = qkern.Session(small_cnn()).run(None, {"image": x})[0]
    assert np.isfinite(scores[0]).all()
    assert np.isnan(scores[1]).any()
    quantized = qkern.quantize_model(small_cnn(), images(20), effort=EFFORT).session()
    clean = x.copy()
    clean[1, 0, 0, 0] = 0
    np.testing.assert_array_equal(quantized.run(None, {"image": x})[0], quantized.run(None, {"image": clean})[0])


def test_the_model_has_no_nodes():
    proto = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> graph (float[2] x) => (float[2] y) { y = Identity(x) }'
    )
    np.testing.assert_array_equal(qkern.Session(proto).run(None, {"x": np.float32([1, 2])})[0], [1, 2])


def test_a_model_whose_outputs_are_all_constant():
    proto = graph("(float[2, 3] x) => (int64[2] y) { y = Shape(x) }")
    session = qkern.Session(proto)
    assert session.steps == ()
    for _ in range(2):
        np.testing.assert_array_equal(session.run(None, {"x": np.zeros((2, 3), np.float32)})[0], [2, 3])
