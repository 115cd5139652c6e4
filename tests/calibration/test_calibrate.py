"""Calibration on a small model: what the observers see is what the model computes, however the data is cut."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_text import graph
from qkern.calibration import (
    METHODS,
    HistogramObserver,
    MinMaxObserver,
    MovingAverageMinMaxObserver,
    calibrate,
    observer_for,
)

rng = np.random.default_rng(9)
X = rng.normal(size=(21, 6)).astype(np.float32)
W = rng.normal(size=(6, 4)).astype(np.float32)
TENSORS = ["x", "y", "out"]


def small_model(rows="N"):
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "w"], ["y"], name="gemm"),
            helper.make_node("Relu", ["y"], ["r"], name="relu"),
            helper.make_node("Div", ["r", "d"], ["out"], name="div"),
        ],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, 6])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [rows, 4])],
        [numpy_helper.from_array(W, "w"), numpy_helper.from_array(np.float32(2), "d")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(proto)
    return ir.from_proto(proto)


def test_the_observers_see_what_the_model_computes():
    table = calibrate(small_model(), X, TENSORS, method="minmax")
    assert list(table) == TENSORS
    y = X.astype(np.float64) @ W
    for name, expected in [("x", X), ("y", y), ("out", np.maximum(y, 0) / 2)]:
        assert isinstance(table[name], MinMaxObserver)
        assert table[name].count == expected.size
        assert table[name].minimum == pytest.approx(expected.min(), rel=1e-5)
        assert table[name].maximum == pytest.approx(expected.max(), rel=1e-5)


@pytest.mark.parametrize("cut", [[X], list(X), [X[:5], X[5:]], [X[10:], X[:10]], ({"x": x} for x in X[::-1])])
def test_any_cut_of_the_data_gives_the_same_bytes(cut):
    model = small_model()
    whole, parts = calibrate(model, X, TENSORS, num_threads=1), calibrate(model, cut, TENSORS, num_threads=2)
    assert {name: observer.to_bytes() for name, observer in whole.items()} == {
        name: observer.to_bytes() for name, observer in parts.items()
    }


def test_tables_of_parts_merge_into_that_of_the_whole():
    model = small_model()
    table = calibrate(model, X[:7], TENSORS)
    table.merge(calibrate(model, X[7:], TENSORS))
    assert dict(table) == dict(calibrate(model, X, TENSORS))


def test_each_method_gets_the_cheapest_observer_it_can_work_from():
    assert {method: observer_for(method) for method in METHODS} == {
        "minmax": MinMaxObserver,
        "moving_average_minmax": MovingAverageMinMaxObserver,
        **dict.fromkeys(("percentile", "kl", "l2", "mse", "auto"), HistogramObserver),
    }
    with pytest.raises(ValueError, match="'best' is not one of"):
        calibrate(small_model(), X, TENSORS, method="best")
    table = calibrate(small_model(), X, TENSORS, method="minmax", observer=HistogramObserver)
    assert {type(observer) for observer in table.values()} == {HistogramObserver}


def test_progress_counts_samples():
    seen = []
    calibrate(small_model(), X, TENSORS, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(0, 21), (8, 21), (16, 21), (21, 21)]
    seen.clear()
    calibrate(small_model(), iter([X[:3], X[3:5]]), TENSORS, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(0, None), (3, None), (5, None)]


def test_the_model_is_left_as_it_is():
    model = small_model()
    before = ir.to_proto(model).SerializeToString(deterministic=True)
    calibrate(model, X, TENSORS)
    assert ir.to_proto(model).SerializeToString(deterministic=True) == before


def test_nan_in_the_data_names_input_and_sample():
    x = X.copy()
    x[13, 2] = np.nan
    with pytest.raises(ValueError, match="'x': NaN in sample 13"):
        calibrate(small_model(), x, TENSORS)


def test_a_tensor_that_is_no_number_is_named_with_its_sample():
    x = X.copy()
    x[17] = np.where(W[:, 0] > 0, 3e38, -3e38)
    assert calibrate(small_model(), x, ["y"])["y"].infinities
    x[17] = np.inf
    with pytest.raises(ValueError, match="tensor 'y': NaN in the data, sample 17"):
        calibrate(small_model(), x, ["y"])


@pytest.mark.parametrize(
    ("samples", "data", "message"),
    [
        ("axis0", X, r"can't run samples 0 to 7: .*; samples='items' if axis 0 doesn't count samples"),
        (None, X, r"can't run item 0: .*; an array is one item, unless it has one more axis in front"),
        (None, [X[:1], X[1:3]], r"can't run item 1: "),
    ],
)
def test_what_a_fixed_reshape_makes_of_a_batch_is_said(samples, data, message):
    model = ir.from_proto(
        graph(
            "(float[N, 6] x) => (float[N, 4] out) { y = Reshape(x, shape) out = MatMul(y, w) }",
            shape=np.array([1, 6]),
            w=W,
        )
    )
    with pytest.raises(ValueError, match=message):
        calibrate(model, data, ["y"], samples=samples)
    assert calibrate(model, list(X[:, None]), ["y"]).samples == len(X)


def test_no_data_is_an_error():
    with pytest.raises(ValueError, match="no calibration data"):
        calibrate(small_model(), [], TENSORS)


def test_a_fixed_batch_size_is_kept():
    table = calibrate(small_model(rows=3), X, TENSORS)
    assert dict(table) == dict(calibrate(small_model(), X, TENSORS))
