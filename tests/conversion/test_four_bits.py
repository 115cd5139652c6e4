"""Weights of 4 bits: in the file, in ONNX Runtime, in a session; which layers have them, and what they are."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import qkern
from emulation import smaller
from onnx import TensorProto, helper, numpy_helper
from qkern.conversion.adaround import round_rows
from qkern.conversion.levels import nearest_of
from qkern.conversion.saturation import is_saturation_safe
from qkern.conversion.weight_formats import FORMATS
from qkern.scheme import Scheme
from qkern.target import TARGETS

LAYERS = ("depthwise", "grouped", "pointwise", "dense", "product")


@pytest.fixture(scope="module")
def network():
    """A depthwise Conv, a grouped and a plain one, a Gemm and a MatMul, with weights that a layer crowds together."""
    rng = np.random.default_rng(5)
    shapes = {
        "depthwise": (8, 1, 3, 3),
        "grouped": (16, 4, 3, 3),
        "pointwise": (24, 16, 1, 1),
        "dense": (40, 24),
        "product": (40, 10),
    }
    arrays = {f"{name}.w": rng.standard_t(4, shape).astype(np.float32) / 4 for name, shape in shapes.items()}
    arrays |= {f"{name}.b": rng.normal(size=shape[0]).astype(np.float32) for name, shape in shapes.items()}
    nodes = [
        helper.make_node("Conv", ["x", "depthwise.w", "depthwise.b"], ["d1"], "depthwise", group=8, pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["d1"], ["d2"], "relu"),
        helper.make_node("Conv", ["d2", "grouped.w", "grouped.b"], ["g1"], "grouped", group=2),
        helper.make_node("Relu", ["g1"], ["g2"], "relu2"),
        helper.make_node("Conv", ["g2", "pointwise.w", "pointwise.b"], ["c1"], "pointwise"),
        helper.make_node("GlobalAveragePool", ["c1"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["r"], "flatten"),
        helper.make_node("Gemm", ["r", "dense.w", "dense.b"], ["f1"], "dense", transB=1),
        helper.make_node("Relu", ["f1"], ["f2"], "relu3"),
        helper.make_node("MatMul", ["f2", "product.w"], ["y"], "product"),
    ]
    x, y = (helper.make_tensor_value_info(*each) for each in (("x", 1, ["n", 8, 10, 10]), ("y", 1, ["n", 10])))
    graph = helper.make_graph(nodes, "g", [x], [y], [numpy_helper.from_array(a, n) for n, a in arrays.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model, rng.normal(size=(24, 8, 10, 10)).astype(np.float32)


def codes_of(proto, name):
    """Stored codes, levels and the levels looked up of the layer `name`, read from the file by hand."""
    nodes = {output: node for node in proto.graph.node for output in node.output}
    constants = {each.name: each for each in proto.graph.initializer}
    (layer,) = (node for node in proto.graph.node if node.name == name)
    dequantize = nodes[layer.input[1]]
    gather = nodes[dequantize.input[0]]
    at, first = nodes[gather.input[1]], 0
    if at.op_type == "Add":
        at, first = nodes[at.input[0]], numpy_helper.to_array(constants[at.input[1]])
    codes = constants[at.input[0]]
    assert (codes.data_type, at.op_type, gather.op_type) == (TensorProto.UINT4, "Cast", "Gather")
    levels = numpy_helper.to_array(constants[gather.input[0]])
    numbers = numpy_helper.to_array(codes).astype(np.int64)
    scale = numpy_helper.to_array(constants[dequantize.input[1]])
    axis = next((each.i for each in dequantize.attribute if each.name == "axis"), None)
    return codes, levels, levels[numbers + first], scale, axis


def in_int8(proto):
    """The same file with the levels as int8 weights."""
    expanded = onnx.ModelProto()
    expanded.CopyFrom(proto)
    for name in LAYERS:
        _, _, weights, _, _ = codes_of(proto, name)
        (layer,) = (node for node in expanded.graph.node if node.name == name)
        (dequantize,) = (node for node in expanded.graph.node if layer.input[1] in node.output)
        dequantize.input[0] = f"{name}.expanded"
        expanded.graph.initializer.append(numpy_helper.from_array(weights, f"{name}.expanded"))
    return expanded


@pytest.mark.parametrize("effort", smaller(["fast", "balanced", "best"], ["best"]))
@pytest.mark.parametrize("form", FORMATS)
def test_a_file_of_standard_operators(network, form, effort, tmp_path, onnxruntime_session):
    model, x = network
    quantized = qkern.quantize_model(model, x, "x86", effort=effort, weights=form)
    quantized.save(tmp_path / "four.onnx")
    proto = onnx.load(tmp_path / "four.onnx")
    onnx.checker.check_model(proto, full_check=True)
    assert proto.opset_import[0].version >= 21
    float_weights = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    for name in LAYERS:
        codes, levels, weights, scale, axis = codes_of(proto, name)
        w = float_weights[f"{name}.w"]
        channels = w.shape[axis]
        assert len(codes.raw_data) == -(-w.size // 2)
        assert levels.dtype == np.int8
        assert levels.size == (16 * channels if "per_channel" in form else 16)
        assert scale.size == channels
        assert (np.diff(levels.reshape(-1, 16).astype(int), axis=1) > 0).all()
        rows = np.moveaxis(weights, axis, 0)
        in_order = (
            rows.reshape(channels, w.shape[1], -1).swapaxes(1, 2) if w.ndim == 4 else rows
        )  # row, column, channel
        assert is_saturation_safe(in_order.reshape(channels, -1))
        error = w - weights * np.expand_dims(scale, [each for each in range(w.ndim) if each != axis])
        assert np.square(error).sum() < 0.1 * np.square(w).sum()
    session = qkern.Session(tmp_path / "four.onnx")
    assert {step.kind for step in session.steps if step.op_type in ("Conv", "Gemm", "MatMul")} == {"int8"}
    (ours,) = session.run(None, {"x": x})
    for other in (quantized.session(), qkern.Session(in_int8(proto))):
        np.testing.assert_array_equal(other.run(None, {"x": x})[0], ours)
    (theirs,) = onnxruntime_session(tmp_path / "four.onnx").run(None, {"x": x})
    np.testing.assert_array_equal(theirs.argmax(axis=1), ours.argmax(axis=1))


def test_arm_may_use_the_whole_range(network):
    model, x = network
    for form in ("codebook4", "pow2"):
        proto = ir.to_proto(qkern.quantize_model(model, x, "arm", effort="fast", weights=form).model)
        assert max(np.abs(codes_of(proto, name)[2].astype(int)).max() for name in LAYERS) > 64


def formats_in(quantized):
    """Per layer whether its weight has 4 bits, in the order of the graph."""
    proto = ir.to_proto(quantized.model)
    four = {node.output[0] for node in proto.graph.node if node.op_type == "Gather"}
    nodes = {output: node for node in proto.graph.node for output in node.output}
    layers = {node.name: node for node in proto.graph.node if node.name in LAYERS}
    return [nodes[layers[name].input[1]].input[0] in four for name in LAYERS]


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ("int8", [False] * 5),
        ({}, [False] * 5),
        ({"Conv": "codebook4"}, [True, True, True, False, False]),
        ({"Conv": "codebook4", "grouped": "int8", "product": "nf4"}, [True, False, True, False, True]),
        ({"grouped": "int8", "Conv": "codebook4"}, [True, False, True, False, False]),
        ({"default": "int4", "depthwise": "int8"}, [False, True, True, True, True]),
        ({"default": "int4", "Conv": "int8", "pointwise": "pow2"}, [False, False, True, True, True]),
    ],
)
@pytest.mark.parametrize("effort", smaller(["fast", "balanced"], ["fast"]))
def test_names_count_more_than_operators(network, weights, expected, effort):
    model, x = network
    assert formats_in(qkern.quantize_model(model, x, "x86", effort=effort, weights=weights)) == expected


def test_names_from_before_fusion():
    """A MatMul and its Add become a Gemm: each of the three names it."""
    w, b = np.eye(8, 4, dtype=np.float32) + np.float32(0.1), np.ones(4, np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["t"], "times"), helper.make_node("Add", ["t", "b"], ["y"], "plus")]
    x, y = (helper.make_tensor_value_info(*each) for each in (("x", 1, ["n", 8]), ("y", 1, ["n", 4])))
    constants = [numpy_helper.from_array(w, "w"), numpy_helper.from_array(b, "b")]
    graph = helper.make_graph(nodes, "g", [x], [y], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data = np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32)
    for name in ("times", "plus", "MatMul", "Add", "Gemm"):
        quantized = qkern.quantize_model(model, data, effort="fast", weights={name: "codebook4"})
        assert [node.op_type for node in quantized.model.graph].count("Gather") == 1, name


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("codebook5", "weights: 'codebook5' is not one of int8, codebook4, "),
        ({"Conv": "nf5"}, r"weights\['Conv'\]: 'nf5' is not one of int8, "),
        ({"pointwis": "nf4"}, "weights: the graph has no node or operator 'pointwis'; the closest are 'pointwise'"),
        ({"relu": "nf4"}, "weights: 'relu' does the work of no layer with constant weights in int8"),
        ({"Relu": "nf4"}, "weights: 'Relu' does the work of no layer"),
    ],
)
def test_wrong_weights(network, weights, message):
    model, x = network
    with pytest.raises(ValueError, match=message):
        qkern.quantize_model(model, x, effort="fast", weights=weights)


def test_weights_of_another_target(network):
    model, x = network
    target = replace(TARGETS["arm"], weight=Scheme("uint8", per_channel=True))
    with pytest.raises(ValueError, match="weights: levels are int8, the weights of target 'arm' are uint8"):
        qkern.quantize_model(model, x, target, effort="fast", weights="nf4")


@pytest.mark.parametrize("per_channel", [True, False])
def test_one_scale_for_all(network, per_channel, onnxruntime_session):
    model, x = network
    target = replace(TARGETS["x86"], weight=replace(TARGETS["x86"].weight, per_channel=False))
    form = "codebook4_per_channel" if per_channel else "codebook4"
    quantized = qkern.quantize_model(model, x, target, effort="fast", weights=form)
    proto = ir.to_proto(quantized.model)
    assert {codes_of(proto, name)[3].shape for name in LAYERS} == {()}
    (ours,) = quantized.session().run(None, {"x": x})
    (theirs,) = onnxruntime_session(proto).run(None, {"x": x})
    np.testing.assert_array_equal(theirs.argmax(axis=1), ours.argmax(axis=1))


def test_levels_of_adaround_are_the_best_for_what_the_kernel_sees(rng):
    """Against every choice of 4 levels for 5 weights: no single change lowers the objective."""
    rows, scales = rng.normal(size=(3, 5)) * 40, np.array([1.0, 0.7, 1.4])
    tables = np.sort(rng.choice(np.arange(-60, 61), (3, 4), replace=False), axis=1).astype(np.int8)
    x = rng.normal(size=(60, 5)) @ rng.normal(size=(5, 5))
    covariance = x.T @ x / 60
    start = nearest_of(tables, rows / scales[:, None]).astype(np.float64)
    found = round_rows(rows, scales, covariance, (-127, 127), start, None, tables)
    damped = covariance + 0.2 * np.trace(covariance) / 5 * np.eye(5)

    def objective(row, codes):
        e = rows[row] - scales[row] * codes
        return float(e @ damped @ e)

    for row in range(3):
        reached = objective(row, found[row])
        assert set(found[row]) <= set(tables[row].astype(float))
        assert reached <= objective(row, start[row])
        for at, level in itertools.product(range(5), tables[row]):
            other = found[row].copy()
            other[at] = level
            assert objective(row, other) >= reached - 1e-9


@pytest.mark.parametrize("form", ["int8", "nf4", "codebook4_per_channel"])
def test_the_report_counts_what_weights_take(network, form):
    model, x = network
    quantized = qkern.quantize_model(model, x, "x86", effort="fast", weights={"default": form, "dense": "int8"})
    proto = ir.to_proto(quantized.model)
    for layer in quantized.report.layers:
        if layer.name not in LAYERS:
            assert (layer.weight_format, layer.weight_bytes) == (None, None)
            continue
        count, channels = np.prod(layer.weight_shape), 10 if layer.name == "product" else layer.weight_shape[0]
        four_bits = form != "int8" and layer.name != "dense"
        assert layer.weight_format == (form if four_bits else "int8")
        tables = {"nf4": 16, "codebook4_per_channel": 20 * channels}[form] if four_bits else 0
        assert layer.weight_bytes == (count // 2 if four_bits else count) + tables + 5 * channels
        if four_bits:
            assert layer.weight_bytes == sum(
                numpy_helper.to_array(each).nbytes if each.data_type != TensorProto.UINT4 else len(each.raw_data)
                for each in constants_of(proto, layer.name)
            )
    words = quantized.report.weights
    assert words == "" if form == "int8" else words.startswith(f"4 bits ({form} in 4) of 5 layers with weights; ")
    assert quantized.report.saturation.startswith("none on AVX2 in 5 of 5 layers")


def constants_of(proto, name):
    """Every constant behind the weight of a layer."""
    nodes = {output: node for node in proto.graph.node for output in node.output}
    constants = {each.name: each for each in proto.graph.initializer}
    (layer,) = (node for node in proto.graph.node if node.name == name)
    open_ = [layer.input[1]]
    while open_:
        value = open_.pop()
        if value in constants:
            yield constants[value]
        else:
            open_ += nodes[value].input


@pytest.mark.parametrize("form", ["codebook4", "codebook4_per_channel"])
def test_the_report_draws_levels_over_weights(network, form, tmp_path):
    model, x = network
    quantized = qkern.quantize_model(model, x, "x86", effort="fast", weights={"default": form, "dense": "int8"})
    for path in ("report.json", "report.html"):
        quantized.save_report(tmp_path / path)
    described = json.loads((tmp_path / "report.json").read_text())
    qkern.quantize_model(model, x, "x86", effort="fast").save_report(tmp_path / "int8.json")
    costs, costs_in_int8 = (
        {each["name"]: each["alone_db"] for each in report["layers"] if each["name"] in LAYERS}
        for report in (described, json.loads((tmp_path / "int8.json").read_text()))
    )
    assert {name for name in LAYERS if costs[name] != costs_in_int8[name]} == set(LAYERS) - {"dense"}
    drawn = described["levels"]
    assert [each["name"] for each in drawn] == [name for name in LAYERS if name != "dense"]
    proto = ir.to_proto(quantized.model)
    arrays = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    for each in drawn:
        _, _, weights, _, axis = codes_of(proto, each["name"])
        rows = np.moveaxis(weights, axis, 0)
        several = form == "codebook4_per_channel" and np.unique(weights).size > 16
        assert each["levels"] == np.unique(rows[0] if several else rows).tolist()
        assert each["channel"] == (0 if several else None)
        count = arrays[f"{each['name']}.w"].size
        assert sum(each["bars"]) == (count // len(rows) if several else count)
    page = (tmp_path / "report.html").read_text()
    assert page.count('stroke="#b3402a"') == sum(len(each["levels"]) for each in drawn)
    assert "Weights of 4 bits" in page
    assert "<th scope=col><button>weights</button></th>" in page


def test_a_report_of_8_bits_draws_no_levels(network, tmp_path):
    model, x = network
    qkern.quantize_model(model, x, "x86", effort="fast").save_report(tmp_path / "report.html")
    assert "Weights of 4 bits" not in (tmp_path / "report.html").read_text()
