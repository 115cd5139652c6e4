"""Comparison of two models: every figure against its definition, on models whose outputs are known."""

import json
import math

import numpy as np
import onnx
import pytest
import qkern
from onnx import TensorProto, helper, numpy_helper
from qkern.conversion.deviation import Deviation
from qkern.report import Comparison, compare
from qkern.report.compare import model_bytes

rng = np.random.default_rng(6)
W = rng.normal(size=(6, 4)).astype(np.float32)
X = rng.normal(size=(50, 6)).astype(np.float32)


def linear(weight, *, name="x", batch="N", flat=False):
    """scores = x @ weight; with `flat`, one number per sample instead."""
    out = [batch] if flat else [batch, weight.shape[1]]
    nodes = [helper.make_node("Gemm", [name, "w"], ["y" if flat else "scores"])]
    if flat:
        nodes.append(helper.make_node("ReduceMax", ["y", "axes"], ["scores"], keepdims=0))
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, weight.shape[0]])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, out)],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(np.array([1], np.int64), "axes")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(proto)
    return proto


def test_the_figures_are_their_definitions():
    other = (W + 0.3 * rng.normal(size=W.shape)).astype(np.float32)
    f, q = X.astype(np.float64) @ W, X.astype(np.float64) @ other
    labels = np.where(np.arange(50) % 3 == 0, f.argmax(axis=1), q.argmax(axis=1))
    seen = []
    result = compare(linear(W), linear(other), X, labels, progress=lambda *a: seen.append(a), num_threads=1)
    assert result.samples == 50
    assert result.top1_float == pytest.approx(np.mean(f.argmax(axis=1) == labels))
    assert result.top1_int8 == pytest.approx(np.mean(q.argmax(axis=1) == labels))
    assert result.agreement == pytest.approx(np.mean(f.argmax(axis=1) == q.argmax(axis=1)))
    assert 0 < result.agreement < 1
    assert result.sqnr_db == pytest.approx(10 * np.log10((f**2).sum() / ((f - q) ** 2).sum()), abs=1e-3)
    assert result.cosine == pytest.approx((f * q).sum() / np.linalg.norm(f) / np.linalg.norm(q), abs=1e-6)
    assert result.size_float == result.size_int8 == linear(W).ByteSize()
    assert 0 < result.latency_int8 < 1
    assert 0 < result.latency_float < 1
    assert result.speedup == result.latency_float / result.latency_int8
    assert result.tier == qkern.isa.active()
    assert result.num_threads == 1
    assert result.left_float  # this "int8" model is a float one
    assert seen[-1] == (50, 50)


def test_the_same_model_twice_and_no_labels():
    result = compare(linear(W), linear(W), X)
    assert (result.top1_float, result.top1_int8, result.agreement) == (None, None, 1.0)
    assert result.sqnr_db == math.inf
    assert result.cosine == pytest.approx(1)
    fields = result.as_dict()
    assert fields["sqnr_db"] is None  # JSON has no infinity
    assert fields["speedup"] == result.speedup
    assert json.loads(json.dumps(fields, allow_nan=False)) == fields


def test_outputs_that_are_not_class_scores_have_no_top_1():
    result = compare(linear(W, flat=True), linear(W, flat=True), X)
    assert result.agreement is None
    with pytest.raises(ValueError, match="labels: the models' first output is not"):
        compare(linear(W, flat=True), linear(W, flat=True), X, np.zeros(50, int))


def test_a_fixed_batch_is_timed_as_it_is():
    result = compare(linear(W, batch=5), linear(W, batch=5), X, np.zeros(50, int))
    assert result.samples == 50


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(49, int), "49 of them for 50 samples"),
        (np.zeros(50), "expected integers"),
        (np.zeros((50, 4), int), "expected integers"),
    ],
)
def test_labels_that_do_not_fit(labels, message):
    with pytest.raises(ValueError, match=message):
        compare(linear(W), linear(W), X, labels)
    if labels.ndim == 1 and labels.dtype.kind == "i":
        with pytest.raises(ValueError, match=message):
            compare(linear(W), linear(W), iter([X[:20], X[20:]]), labels)


def test_models_that_do_not_fit_together():
    with pytest.raises(ValueError, match="different inputs: 'x' and 'image'"):
        compare(linear(W), linear(W, name="image"), X)
    with pytest.raises(ValueError, match="shapes differ"):
        compare(linear(W), linear(W[:, :3]), X)
    with pytest.raises(ValueError, match=r"^no data$"):
        compare(linear(W), linear(W), [])


def test_the_size_is_that_of_the_file(tmp_path):
    import onnx_ir as ir

    proto = linear(W)
    content = proto.SerializeToString()
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    for source in (path, str(path), content, proto):
        assert model_bytes(source) == len(content)
    model = ir.from_proto(proto)
    assert model_bytes(model) == len(ir.to_proto(model).SerializeToString())


def test_deviation_of_special_cases():
    zero, one = np.zeros(3, np.float32), np.ones(3, np.float32)
    nothing, noise_only, signal_only = Deviation(), Deviation(), Deviation()
    nothing.add(zero, zero)
    noise_only.add(zero, one)
    signal_only.add(one, zero)
    assert (nothing.sqnr_db, nothing.cosine) == (math.inf, 1)
    assert (noise_only.sqnr_db, noise_only.cosine) == (-math.inf, 0)
    assert (signal_only.sqnr_db, signal_only.cosine) == (0, 0)


def test_a_comparison_cannot_be_changed():
    with pytest.raises(AttributeError):
        Comparison(1, None, None, None, 1.0, 1.0, 1.0, 1.0, 1, 1, "scalar", 1, ()).samples = 2  # type: ignore[misc]
