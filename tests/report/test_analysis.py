"""Sensitivity: which layer costs what, and leaving layers in float until a demand is met."""

import json
import math

import numpy as np
import onnx
import pytest
import qkern
from qkern.conversion.budget import search_budget
from small_cnn import images, small_cnn

X = images(32)


def with_a_bad_layer():
    """The small network with one channel of the depthwise layer a thousand times as large as the others, and cancelled
    behind it: in one scale per tensor nothing is left of the rest."""
    proto = small_cnn()
    for initializer in proto.graph.initializer:
        if initializer.name == "w1":
            array = onnx.numpy_helper.to_array(initializer).copy()
            array[0] *= 60
            initializer.CopyFrom(onnx.numpy_helper.from_array(array, "w1"))
    return proto


def test_every_layer_has_its_error_and_the_bad_one_the_largest():
    analysis = qkern.analyze(with_a_bad_layer(), X, "x86", "minmax", samples=8)
    names = [layer.name for layer in analysis.layers]
    assert names == ["conv_c1", "conv_c2", "add_sum", "globalaveragepool_mean_pool", "gemm_scores"]
    assert analysis.samples == 8
    assert all(layer.alone_db > 0 for layer in analysis.layers)
    assert all(0 < layer.accumulated_cosine <= 1 + 1e-9 for layer in analysis.layers)
    assert analysis.worst()[0].alone_db == min(layer.alone_db for layer in analysis.layers)
    assert {layer.name for layer in analysis.layers if layer.weight_ratio is None} == {
        "add_sum",
        "globalaveragepool_mean_pool",
    }
    first = analysis.layers[0]
    assert first.weight_ratio > 50
    assert "dB alone" in first.describe()
    assert "per-channel range ratio" in first.describe()
    content = json.loads(json.dumps(analysis.as_dict(), allow_nan=False))
    assert len(content["layers"]) == len(names)


def test_alone_is_what_the_other_layers_excluded_give(onnxruntime_session):
    model = small_cnn()
    analysis = qkern.analyze(model, X, "x86", "minmax", samples=32)
    others = ["conv_c1", "conv_c2", "add_sum", "globalaveragepool_mean_pool"]
    alone = qkern.quantize_model(model, X, "x86", "minmax", exclude=others, effort="fast")
    expected = onnxruntime_session(model).run(None, {"image": X})[0].astype(np.float64)
    error = expected - alone.session().run(None, {"image": X})[0]
    sqnr = 10 * math.log10(np.square(expected).sum() / np.square(error).sum())
    assert analysis.layers[-1].alone_db == pytest.approx(sqnr, abs=0.05)


@pytest.mark.parametrize("effort", ["fast", "balanced"])
def test_a_budget_is_met_with_few_layers_in_float(effort):
    plain = qkern.quantize_model(small_cnn(), X, "x86", effort=effort, budget=1.0)
    assert plain.budget.met
    assert plain.budget.in_float == ()
    demand = plain.budget.all_int8 + 3
    result = qkern.quantize_model(small_cnn(), X, "x86", effort=effort, budget=demand)
    assert result.budget.met
    assert result.budget.reached >= demand
    left = [layer.name for layer in result.report.left_float]
    assert 0 < len(left) < len(result.report)
    assert {cost.name for cost in result.budget.in_float} <= set(left)
    reasons = {layer.name: layer.reason for layer in result.report.left_float}
    assert all("stays float" in reasons[cost.name] for cost in result.budget.in_float)
    assert any("alone" in reason for reason in reasons.values())


def test_max_drop_counts_samples_with_another_answer():
    result = qkern.quantize_model(small_cnn(), X, "x86", effort="fast", max_drop=0.0)
    assert result.budget.met
    assert result.budget.reached == 1
    cosine = qkern.quantize_model(small_cnn(), X, "x86", effort="fast", max_drop=0.1, metric="cosine")
    assert cosine.budget.in_float == ()
    assert 0.9 < cosine.budget.reached <= 1


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"budget": 30, "max_drop": 0.1}, "one demand"),
        ({"max_drop": 0.1, "metric": "luck"}, "'luck' is not one of agreement, cosine"),
    ],
)
def test_wrong_demands_are_errors(how, message):
    with pytest.raises(ValueError, match=message):
        qkern.quantize_model(small_cnn(), X, "x86", **how)


def test_the_search_takes_what_gains_most_per_operation_and_gives_back_what_it_does_not_need():
    gains = {"cheap": 2.0, "dear": 2.5, "useless": -1.0, "last": 4.0}
    operations = {"cheap": 1.0, "dear": 100.0, "useless": 1.0, "last": 1.0}

    def measure(names):
        return 10 + sum(gains[name] for name in names)

    def search(least):
        return search_budget(operations, measure, least, lambda name: None)

    assert [cost.name for cost in search(13).in_float] == ["last"]
    assert {cost.name for cost in search(16).in_float} == {"last", "cheap"}
    unmet = search(99)
    assert not unmet.met
    assert unmet.reached == measure(list(gains))
    assert search(5).in_float == ()
