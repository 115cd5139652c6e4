"""Graphs whose axis 0 isn't samples, and samples of different shapes: every effort quantizes them, on whole runs."""

import numpy as np
import pytest
import qkern
from onnx_text import f32, network
from qkern.conversion import EFFORTS

rng = np.random.default_rng(17)
W3, W8, W16 = f32(rng, 6, 4, 3, 3), f32(rng, 8, 8), f32(rng, 16, 4)


def sized(height, width):
    return f32(rng, 1, 4, height, width)


# A network, its items, and a name and the right values of a tensor that a run cut along axis 0 would get wrong.
KINDS = {
    "images of different sizes, batch by name": (
        network(
            "(float[N, 4, H, W] x) => (float[N, 6] y)"
            "{ a = Conv(x, w) b = Relu(a) c = GlobalMaxPool(b) y = Flatten(c) }",
            w=W3,
        ),
        [{"x": sized(6 + i % 3, 7 + i % 2)} for i in range(7)],
        lambda feed: ("x", feed["x"]),
    ),
    "images of different sizes, batch of one": (
        network("(float[1, 4, H, W] x) => (float[1, 6, P, Q] y) { a = Conv(x, w) y = Relu(a) }", w=W3),
        [{"x": sized(6 + i % 3, 7 + i % 2)} for i in range(7)],
        lambda feed: ("x", feed["x"]),
    ),
    "a state whose batch is its second axis": (
        network(
            "(float[B, 8] x, float[2, B, 8] s) => (float[B, 8] y)"
            "{ a = MatMul(x, w) m = ReduceMean<keepdims=0>(s, axes) y = Add(a, m) }",
            w=W8,
            axes=np.array([0]),
        ),
        [{"x": f32(rng, 1 + i % 2, 8), "s": f32(rng, 2, 1 + i % 2, 8)} for i in range(7)],
        lambda feed: ("m", feed["s"].mean(axis=0)),
    ),
    "sequences without a batch": (
        network(
            "(float[S, 8] x) => (float[1, 8] y) { a = ReduceSum<keepdims=1>(x, axes) y = MatMul(a, w) }",
            w=W8,
            axes=np.array([0]),
        ),
        [{"x": f32(rng, 3 + i % 4, 8)} for i in range(7)],
        lambda feed: ("y", feed["x"].sum(axis=0, keepdims=True) @ W8),
    ),
    "a fixed Reshape behind": (
        network(
            "(float[T, 8] x) => (float[4, 4] y) { a = Reshape(x, shape) y = MatMul(a, w) }",
            w=W16,
            shape=np.array([4, 16]),
        ),
        [{"x": f32(rng, 8, 8)} for _ in range(7)],
        lambda feed: ("y", feed["x"].reshape(4, 16) @ W16),
    ),
    "channels that vary": (
        network("(float[1, S, 8] x) => (float[1, S, 8] y) { a = MatMul(x, w) b = Relu(a) y = MatMul(b, w) }", w=W8),
        [{"x": f32(rng, 1, 3 + i % 4, 8)} for i in range(7)],
        lambda feed: ("y", np.maximum(feed["x"] @ W8, 0) @ W8),
    ),
}


def noise_db(pairs):
    signal, noise = (sum(float(np.square(x, dtype=np.float64).sum()) for x in xs) for xs in zip(*pairs, strict=True))
    return 10 * np.log10(signal / noise)


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_effort_quantizes_on_whole_runs(kind, effort):
    model, items, right = KINDS[kind]
    method = None if effort == "best" else "minmax"  # a search for the best takes longest
    quantized = qkern.quantize_model(model, items, "x86", method, effort=effort)
    assert quantized.table.samples == len(items)
    assert quantized.report.quantized
    if effort == "fast":
        name = right(items[0])[0]
        values = [right(item)[1] for item in items]
        observer = quantized.table[name]
        assert observer.count == sum(each.size for each in values)
        assert float(observer.minimum) == pytest.approx(min(each.min() for each in values), rel=1e-5)
        assert float(observer.maximum) == pytest.approx(max(each.max() for each in values), rel=1e-5)
    sessions = qkern.Session(model), quantized.session()
    pairs = []
    for item in items:
        f, q = (session.run(None, item)[0] for session in sessions)
        pairs.append((f, f - q))
    assert noise_db(pairs) > 25


@pytest.mark.parametrize("kind", KINDS)
def test_budgets_analysis_and_comparison_count_the_same_samples(kind):
    model, items, _ = KINDS[kind]
    quantized = qkern.quantize_model(model, items, "x86", effort="fast", budget=20)
    assert quantized.budget.met
    assert qkern.analyze(model, items, "x86", samples=7).samples == 7
    compared = qkern.report.compare(model, quantized.model, items)
    assert compared.samples == len(items)
    assert compared.sqnr_db > 25


def test_order_and_stacks_of_items_change_nothing():
    model, items, _ = KINDS["a fixed Reshape behind"]
    stack = {"x": np.stack([item["x"] for item in items])}
    tables = [
        qkern.quantize_model(model, data, "x86", effort="fast").table
        for data in (items, stack, iter(items[::-1]), [items[0], {"x": stack["x"][1:]}])
    ]
    assert all(dict(table) == dict(tables[0]) for table in tables)


def test_one_sample_is_said_to_be_one():
    model, items, _ = KINDS["sequences without a batch"]
    one, many = (qkern.quantize_model(model, data, "x86", effort="fast") for data in (items[0], items))
    assert [note for note in one.report.notes if "the data was one sample, run as a whole" in note]
    assert not many.report.notes
    assert not qkern.quantize_model(model, items[0], "x86", effort="fast", samples="items").report.notes


def test_shares_of_samples_need_one_row_each():
    model, items, _ = KINDS["sequences without a batch"]
    result = qkern.quantize_model(model, items, "x86", effort="fast", max_drop=0.0)
    assert result.budget.reached == qkern.report.compare(model, result.model, items).agreement == 1
    labels = [int(qkern.Session(model).run(None, item)[0].argmax()) for item in items]
    assert qkern.report.compare(model, result.model, items, labels).top1_int8 == 1
    model, items, _ = KINDS["a fixed Reshape behind"]  # four rows that are no samples
    assert qkern.report.compare(model, model, items).agreement is None
    with pytest.raises(ValueError, match=r"agreement needs a first output \[samples, classes\]"):
        qkern.quantize_model(model, items, "x86", effort="fast", max_drop=0.0)


def test_the_caller_says_what_a_sample_is():
    """Attention over [S, 8] has one name on axis 0 of input and output, and mixes its rows all the same."""
    model = network(
        "(float[S, 8] x) => (float[S, 8] y)"
        "{ k = MatMul(x, w) t = Transpose(k) a = MatMul(x, t) p = Softmax(a) y = MatMul(p, x) }",
        w=W8,
    )
    items = [f32(rng, 12, 8) for _ in range(6)]
    top = max(float((x @ (x @ W8).T).max()) for x in items)
    by_rule = qkern.quantize_model(model, items, "x86", "minmax", effort="fast")
    said = qkern.quantize_model(model, items, "x86", "minmax", effort="fast", samples="items")
    assert (by_rule.table.samples, said.table.samples) == (72, 6)
    assert float(said.table["a"].maximum) == pytest.approx(top, rel=1e-5)
    assert qkern.analyze(model, items, "x86", samples=4, sampling="items").samples <= 4
    assert qkern.report.compare(model, said.model, items, samples="items").samples == 6
    with pytest.raises(ValueError, match="samples: 'rows' is not one of axis0, items"):
        qkern.quantize_model(model, items, "x86", samples="rows")
