"""What has collapsed in int8 is said, with what costs most; what is merely faint, or as in float, is not."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import qkern
from onnx import TensorProto, helper, numpy_helper
from qkern.conversion import ConversionReport, LayerReport
from qkern.model_file import load_model
from qkern.report.judgement import judged
from small_cnn import images, small_cnn

RNG = np.random.default_rng(8)


def scaled(*factors, shift=0.0, shape=("N", 4, "P"), names=("y",)):
    """Outputs are the input times a factor per channel, plus `shift`: a model that says how far off it is."""
    nodes, initializers = [], []
    for name, factor in zip(names, factors, strict=True):
        nodes.append(helper.make_node("Mul", ["x", f"{name}.f"], [f"{name}.m"], name=f"/{name}/mul"))
        nodes.append(helper.make_node("Add", [f"{name}.m", f"{name}.s"], [name], name=f"/{name}/add"))
        axis = shape.index(4)
        rows = np.reshape(factor, (-1, *[1] * (len(shape) - 1 - axis))).astype(np.float32)
        initializers += [numpy_helper.from_array(rows, f"{name}.f")]
        initializers += [numpy_helper.from_array(np.float32(shift), f"{name}.s")]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names],
        initializers,
    )
    return load_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))


def verdict(float_model, int8_model, *feeds, layers=True):
    report = ConversionReport("x86", "kl", (LayerReport("l", "Conv", True),) if layers else ())
    return judged(
        report,
        float_model,
        int8_model,
        [{"x": feed} for feed in feeds],
        lambda names: (int8_model, None),
        count=lambda feed: len(feed["x"]),
    )


def noisy(db):
    """A factor that leaves so many decibels."""
    return 1 + 10 ** (-db / 20)


X = RNG.normal(size=(8, 4, 50)).astype(np.float32)
ONES = np.ones(4)


@pytest.mark.parametrize(("db", "warned"), [(9.9, True), (10.1, False)])
def test_an_output_below_10_db_has_collapsed(db, warned):
    report = verdict(
        scaled(ONES, 100 * ONES, names=("a", "b")),
        scaled(noisy(db) * ONES, 100 * ONES, names=("a", "b")),
        X,
    )
    assert any(line.startswith("output 'a' has collapsed: 9.9 dB") for line in report.warnings) == warned
    assert not any("'b'" in line for line in report.warnings)
    assert report.judged == 8


@pytest.mark.parametrize(("db", "warned"), [(14.9, True), (15.1, False)])
def test_all_outputs_together_below_15_db_are_a_warning(db, warned):
    report = verdict(scaled(ONES), scaled(noisy(db) * ONES), X[:3], X[3:])
    assert (report.warnings[:1] == ("SQNR of the outputs is 14.9 dB",)) == warned
    assert report.sqnr_db == pytest.approx(db, abs=0.01)


def test_one_number_throughout_has_collapsed_where_float_varies():
    found = verdict(scaled(ONES, shift=10.0), scaled(0 * ONES, shift=10.0), X).warnings
    assert "output 'y' has collapsed: one number throughout" in found
    assert verdict(scaled(1e-4 * ONES, shift=10.0), scaled(0 * ONES, shift=10.0), X).warnings == ()
    assert verdict(scaled(0 * ONES, shift=10.0), scaled(0 * ONES, shift=10.0), X).warnings == ()


@pytest.mark.parametrize("axis", [1, 2])
def test_channels_that_have_collapsed_are_named(axis):
    x = X if axis == 1 else np.ascontiguousarray(X.transpose(0, 2, 1))
    factors = np.array([640.0, 640, 1, 1])
    ruined = factors * [1, 1, 0, noisy(9)]
    shape = ("N", 4, "P") if axis == 1 else ("N", "P", 4)
    report = verdict(scaled(factors, shape=shape), scaled(ruined, shape=shape), x)
    assert report.warnings[0] == "output 'y': 2 of 4 channels have collapsed (2, 3)"


def test_channels_that_fade_away_are_let_pass():
    """Noise is as large in each: the last of scores that get smaller and smaller are below it."""
    factors = np.array([1.0, 0.2, 0.03, 0.004])
    noise = np.full(4, 0.02)
    assert verdict(scaled(factors), scaled(factors + noise), X).warnings == ()
    far = np.array([1.0, 0.5, 0.0007, 0.0001])
    assert "(2, 3)" in verdict(scaled(far), scaled(far + noise), X).warnings[0]


def test_class_scores_have_no_channels():
    x = RNG.normal(size=(8, 4)).astype(np.float32)
    factors = np.array([640.0, 640, 1, 1])
    assert verdict(scaled(factors, shape=("N", 4)), scaled(factors * [1, 1, 0, 0], shape=("N", 4)), x).warnings == ()


def test_places_that_are_infinite_in_float_are_left_out():
    x = X.copy()
    x[0, 0, 0] = np.inf
    assert verdict(scaled(ONES), scaled(noisy(30) * ONES), x).warnings == ()
    assert verdict(scaled(ONES), scaled(np.array([1, 1, 1, np.nan])), X).warnings[0].startswith("output 'y' has coll")


def test_without_samples_nothing_is_judged_and_without_int8_layers_there_is_a_warning(tmp_path):
    quantized = qkern.quantize_model(small_cnn(), images(16), "x86", effort="fast")
    assert (quantized.report.judged, quantized.report.warnings) == (8, ())
    assert quantized.report.sqnr_db > 20
    again = qkern.quantize_model(small_cnn(), None, "x86", table=quantized.table)
    assert again.report.judged == 0
    assert "not judged" in again.report.notes[0]
    every = ["Conv", "Gemm", "Add", "GlobalAveragePool"]
    assert "no layer is int8" in qkern.quantize_model(small_cnn(), images(8), "x86", exclude=every).report.warnings[0]


@pytest.mark.parametrize("effort", ["fast", "balanced"])
def test_the_layer_that_costs_most_is_named(effort):
    """Two branches of one Conv: the channels of one are a thousandth of the other's, and one scale for both."""
    w = RNG.normal(size=(6, 3, 1, 1)).astype(np.float32)
    w[3:] *= 1e-4
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["first"], name="/first"),
        helper.make_node("Conv", ["first", "w"], ["small"], name="/small"),
        helper.make_node("MaxPool", ["small"], ["y"], kernel_shape=[1, 1], name="/pool"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1), "w0"),
            numpy_helper.from_array(w, "w"),
        ],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    x = RNG.normal(size=(16, 3, 8, 8)).astype(np.float32)
    report = qkern.quantize_model(proto, x, "x86", effort=effort).report
    assert report.warnings[0] == "output 'y': 3 of 6 channels have collapsed (3, 4, 5)"
    assert report.warnings[1].startswith("'small' costs most")
    assert "Conv '/small'" in report.warnings[1]
    json.dumps(report.warnings)


def test_numpy_does_not_warn_of_what_onnx_defines():
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x2"], ["s"]), helper.make_node("Softmax", ["s"], ["y"])],
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2]) for name in ("x", "x2")],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])],
    )
    session = qkern.Session(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (y,) = session.run(None, {"x": np.float32([[np.inf, 1]]), "x2": np.float32([[-np.inf, 1]])})
    assert np.isnan(y).all()
