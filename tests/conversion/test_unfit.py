"""Tensors that 8 bits can't hold stay float, and say why; what they can hold does not."""

from __future__ import annotations

import numpy as np
import pytest
import qkern
from onnx import TensorProto, helper, numpy_helper
from qkern.calibration import HistogramObserver, MinMaxObserver
from qkern.conversion.network import prepared
from qkern.conversion.plan import make_plan
from qkern.conversion.unfit import unfit
from qkern.model_file import load_model
from qkern.scheme import Scheme
from small_cnn import images, small_cnn

TOKENS, WIDTH, SAMPLES = 6, 8, 32
LOWEST = float(np.finfo(np.float32).min)
UINT8 = Scheme("uint8")


def model(nodes, inputs, outputs, **initializers):
    graph = helper.make_graph(
        [helper.make_node(op, ins, [out], name=f"/{out}", **attributes) for op, ins, out, attributes in nodes],
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in initializers.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def attention(mask):
    """Attention with x as queries, keys and values; `mask` [tokens, tokens]: None is an input."""
    nodes = [
        ("MatMul", ["x", "wk"], "k", {}),
        ("Transpose", ["k"], "t", {"perm": [0, 2, 1]}),
        ("MatMul", ["x", "t"], "s", {}),
        ("Add", ["s", "m"], "masked", {}),
        ("Softmax", ["masked"], "p", {"axis": -1}),
        ("MatMul", ["p", "x"], "y", {}),
    ]
    inputs = {"x": ["B", TOKENS, WIDTH]}
    wk = np.eye(WIDTH, dtype=np.float32)
    if mask is None:
        return model(nodes, {**inputs, "m": ["B", TOKENS, TOKENS]}, ["y"], wk=wk)
    return model(nodes, inputs, ["y"], wk=wk, m=mask)


def causal(low):
    return np.where(np.tril(np.ones((TOKENS, TOKENS), bool)), 0, low).astype(np.float32)


def sqnr(expected, got):
    f = expected.astype(np.float64)
    return 10 * np.log10(np.square(f).sum() / np.square(f - got).sum())


def reasons(report):
    return {layer.name: layer.reason for layer in report.left_float}


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(SAMPLES, TOKENS, WIDTH)).astype(np.float32)


@pytest.mark.parametrize("target", ["x86", "arm"])
@pytest.mark.parametrize("low", [LOWEST, -1e9, -1e4, -1000.0, -np.inf])
@pytest.mark.parametrize("as_input", [False, True])
def test_additive_masks_stay_float(low, as_input, target, x):
    mask = causal(low)
    feed = {"x": x}
    if as_input:
        feed["m"] = np.broadcast_to(mask, (SAMPLES, TOKENS, TOKENS)).copy()
    proto = attention(None if as_input else mask)
    expected = qkern.Session(proto).run(None, feed)[0]
    quantized = qkern.quantize_model(proto, feed, target, effort="fast")
    assert sqnr(expected, quantized.session().run(None, feed)[0]) > 25
    assert set(reasons(quantized.report)) == {"/masked", "/p"}
    reason = reasons(quantized.report)["/masked"]
    assert ("infinities" in reason or "holds NaN or inf" in reason) if np.isinf(low) else "8 bits can't hold" in reason
    assert quantized.report.warnings == ()


@pytest.mark.parametrize("effort", ["fast", "balanced"])
def test_a_computed_mask_stays_float_with_every_effort(effort, x):
    """(1 - keep) * -1e4, as BERT has it."""
    nodes = [
        ("Sub", ["one", "keep"], "drop", {}),
        ("Mul", ["drop", "low"], "m", {}),
        ("MatMul", ["x", "w"], "s", {}),
        ("Add", ["s", "m"], "masked", {}),
        ("Softmax", ["masked"], "y", {"axis": -1}),
    ]
    w = np.random.default_rng(1).normal(size=(WIDTH, TOKENS)).astype(np.float32)
    proto = model(
        nodes,
        {"x": ["B", TOKENS, WIDTH], "keep": ["B", 1, TOKENS]},
        ["y"],
        w=w,
        one=np.float32(1),
        low=np.float32(-1e4),
    )
    keep = (np.random.default_rng(2).random((SAMPLES, 1, TOKENS)) < 0.6).astype(np.float32)
    keep[:, :, 0] = 1
    feed = {"x": x, "keep": keep}
    quantized = qkern.quantize_model(proto, feed, "x86", effort=effort)
    assert sqnr(qkern.Session(proto).run(None, feed)[0], quantized.session().run(None, feed)[0]) > 25
    assert "/masked" in reasons(quantized.report)
    assert any(layer.name == "/s" and layer.quantized for layer in quantized.report)


def test_what_where_masked_is_not_read_in_8_bits(x):
    nodes = [
        ("Greater", ["x", "nothing"], "c", {}),
        ("Where", ["c", "x", "low"], "w", {}),
        ("LeakyRelu", ["w"], "h", {"alpha": 0.5}),
        ("Softmax", ["h"], "y", {"axis": -1}),
    ]
    proto = model(
        nodes,
        {"x": ["B", TOKENS, WIDTH]},
        ["y"],
        nothing=np.float32(0.2),
        low=np.float32(-1e9),
    )
    quantized = qkern.quantize_model(proto, x, "x86", effort="fast")
    assert "two clusters" in reasons(quantized.report)["/h"]
    expected = qkern.Session(proto).run(None, {"x": x})[0]
    np.testing.assert_array_equal(quantized.session().run(None, {"x": x})[0], expected)


def boxes_and_scores(scale, tail=()):
    """A detector's end: boxes times `scale` and scores from 0 to 1 in one tensor."""
    nodes = [
        ("Conv", ["x", "wb"], "b", {}),
        ("Sigmoid", ["b"], "unit", {}),
        ("Mul", ["unit", "scale"], "boxes", {}),
        ("Conv", ["x", "ws"], "logits", {}),
        ("Sigmoid", ["logits"], "scores", {}),
        ("Concat", ["boxes", "scores"], "y", {"axis": 1}),
        *tail,
    ]
    rng = np.random.default_rng(3)
    wb, ws = (rng.normal(size=(channels, 3, 1, 1)).astype(np.float32) for channels in (4, 6))
    return model(nodes, {"x": ["B", 3, 8, 8]}, [nodes[-1][2]], wb=wb, ws=ws, scale=np.float32(scale))


@pytest.mark.parametrize("effort", ["fast", "balanced"])
def test_boxes_and_scores_do_not_get_one_scale(effort):
    x = np.random.default_rng(4).normal(size=(16, 3, 8, 8)).astype(np.float32)
    proto = boxes_and_scores(640)
    quantized = qkern.quantize_model(proto, x, "x86", effort=effort)
    expected, got = qkern.Session(proto).run(None, {"x": x})[0], quantized.session().run(None, {"x": x})[0]
    assert set(reasons(quantized.report)) == {"/y"}
    assert "one scale for all its inputs" in reasons(quantized.report)["/y"]
    assert "'scores'" in reasons(quantized.report)["/y"]
    assert sqnr(expected[:, :4], got[:, :4]) > 25
    assert sqnr(expected[:, 4:], got[:, 4:]) > 25
    assert quantized.report.warnings == ()


def test_parts_of_one_size_do():
    x = np.random.default_rng(4).normal(size=(16, 3, 8, 8)).astype(np.float32)
    quantized = qkern.quantize_model(boxes_and_scores(4), x, "x86", effort="fast")
    assert set(reasons(quantized.report)) == set()


def test_what_moves_or_reads_such_a_concat_stays_float_too():
    tail = [
        ("Transpose", ["y"], "t", {"perm": [0, 2, 3, 1]}),
        ("Reshape", ["t", "shape"], "r", {}),
        ("LeakyRelu", ["r"], "end", {}),
    ]
    proto = boxes_and_scores(640, tail)
    proto.graph.initializer.append(numpy_helper.from_array(np.array([0, -1, 10]), "shape"))
    x = np.random.default_rng(4).normal(size=(16, 3, 8, 8)).astype(np.float32)
    quantized = qkern.quantize_model(proto, x, "x86", effort="fast")
    assert set(reasons(quantized.report)) == {"/y", "/t", "/r", "/end"}
    expected, got = qkern.Session(proto).run(None, {"x": x})[0], quantized.session().run(None, {"x": x})[0]
    assert sqnr(expected[..., 4:], got[..., 4:]) > 25


def outliers(x):
    """One channel of 128 a thousand times as large as the others, as in the residual sums of transformers."""
    rng = np.random.default_rng(5)
    w = rng.normal(size=(WIDTH, 128)).astype(np.float32)
    w[:, 7] *= 1000
    nodes = [
        ("MatMul", ["x", "w"], "down", {}),
        ("Add", ["down", "x2"], "sum", {}),
        ("Mul", ["sum", "even"], "y", {}),
    ]
    even = np.ones(128, np.float32)
    even[7] = 0
    proto = model(nodes, {"x": ["B", TOKENS, WIDTH], "x2": ["B", TOKENS, 128]}, ["y"], w=w, even=even)
    return proto, {"x": x, "x2": rng.normal(size=(SAMPLES, TOKENS, 128)).astype(np.float32)}


@pytest.mark.parametrize("effort", ["fast", "balanced"])
def test_a_sum_with_outliers_stays_float_and_the_product_before_it_is_not_rounded(effort, x):
    proto, feed = outliers(x)
    quantized = qkern.quantize_model(proto, feed, "x86", effort=effort)
    assert set(reasons(quantized.report)) == {"/sum", "/y"}
    product = next(layer for layer in quantized.report if layer.name == "/down")
    assert product.quantized
    assert "outliers" in product.reason
    kinds = {step.name: step.kind for step in quantized.session().steps}
    assert kinds["/down"] == "int8"
    assert sqnr(qkern.Session(proto).run(None, feed)[0], quantized.session().run(None, feed)[0]) > 25


def test_a_relu_behind_such_a_product_is_kept(x):
    proto, feed = outliers(x)
    relu = helper.make_node("Relu", ["down"], ["r"], name="/r")
    proto.graph.node.insert(1, relu)
    proto.graph.node[2].input[0] = "r"
    quantized = qkern.quantize_model(proto, feed, "x86", effort="fast")
    assert "outliers" in next(layer for layer in quantized.report if layer.name == "/down").reason
    assert sqnr(qkern.Session(proto).run(None, feed)[0], quantized.session().run(None, feed)[0]) > 25


def test_a_small_bias_may_be_lost(x):
    w = np.random.default_rng(6).normal(size=(WIDTH, 4)).astype(np.float32)
    nodes = [("MatMul", ["x", "w"], "a", {}), ("Add", ["a", "b"], "y", {})]
    bias = np.full(4, 1e-6, np.float32)
    quantized = qkern.quantize_model(
        model(nodes, {"x": ["B", TOKENS, WIDTH]}, ["y"], w=w, b=bias), x, "x86", effort="fast"
    )
    assert reasons(quantized.report) == {}


def test_a_cnn_has_nothing_of_the_kind():
    for method in ("kl", "minmax", "percentile", "mse"):
        assert reasons(qkern.quantize_model(small_cnn(), images(16), "x86", method, effort="fast").report) == {}


@pytest.mark.parametrize("cls", [HistogramObserver, MinMaxObserver])
def test_extremes_alone_tell_what_is_certain(cls, x):
    proto = attention(causal(-1e9))
    table = qkern.quantize_model(proto, x, "x86", "minmax", effort="fast").table
    known = type(table)({name: cls() for name in table})
    for name, observer in known.items():
        observer.update([table[name].minimum, table[name].maximum])
    plan = make_plan(prepared(load_model(proto)))
    assert "/masked" in unfit(plan, known, UINT8, "minmax").nodes


def test_verdicts_do_not_depend_on_order_or_cut(x):
    proto, feed = outliers(x)
    plan = make_plan(prepared(load_model(proto)))
    backwards = [{name: array[i : i + 1] for name, array in feed.items()} for i in reversed(range(SAMPLES))]
    tables = [qkern.quantize_model(proto, data, "x86", effort="fast").table for data in (feed, backwards)]
    assert unfit(plan, tables[0], UINT8, "kl") == unfit(plan, tables[1], UINT8, "kl")
