"""Models of opsets below 13 mean what they meant: as ONNX Runtime runs them, or as the old definition says. Those of
opsets below 21 too, where they get weights of 4 bits."""

from __future__ import annotations

import logging
import re
import threading
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import qkern
from onnx import helper, numpy_helper
from qkern.fusion.opset import raise_opset
from qkern.fusion.opset_adapters import ADAPTERS

REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")
# What the schemas changed up to opset 21 in a way that changes what a node of the older opset says: (operator, first
# opset with the change). `consumed_inputs`, which said what may be overwritten, went at 6.
CHANGED = {
    **dict.fromkeys([(op, 7) for op in ("Add", "Div", "Mul", "Pow", "Sub")], "broadcast, axis"),
    **dict.fromkeys([(op, 7) for op in ("And", "Equal", "Greater", "Less", "Or", "Xor")], "broadcast, axis"),
    ("BatchNormalization", 7): "is_test",
    ("BatchNormalization", 9): "spatial",
    ("Cast", 6): "to was a name",
    ("Clip", 6): "the bounds got defaults",
    ("Clip", 11): "the bounds became inputs",
    ("Concat", 4): "axis was 1 by default",
    ("Dropout", 7): "is_test",
    ("Dropout", 12): "ratio became an input, the mask defined",
    **dict.fromkeys([(op, 7) for op in ("GRU", "LSTM", "RNN")], "output_sequence"),
    ("GRU", 3): "the default direction was misspelled",
    ("Gemm", 7): "broadcast",
    **dict.fromkeys([(op, 2) for op in ("GlobalLpPool", "LpPool")], "p was a float"),
    **dict.fromkeys([(op, 13) for op in ("Hardmax", "LogSoftmax", "Softmax")], "flattened from axis on, 1 by default"),
    ("Pad", 2): "pads were called paddings",
    ("Pad", 11): "pads and value became inputs",
    **dict.fromkeys([(op, 13) for op in ("ReduceSum", "Squeeze", "Unsqueeze")], "axes became an input"),
    ("Reshape", 5): "shape became an input",
    ("Resize", 11): "pixels were asymmetric; scales moved behind roi",
    ("Scan", 9): "had a batch axis and sequence_lens",
    ("Selu", 6): "alpha and gamma had four decimals",
    ("Slice", 10): "starts, ends and axes became inputs",
    ("Split", 2): "axis got a default, lengths were an input",
    ("Split", 13): "split became an input",
    ("Tile", 6): "tiles and axis became repeats",
    ("TopK", 10): "k became an input",
    ("Upsample", 7): "height_scale and width_scale became scales",
    ("Upsample", 9): "scales became an input",
    ("BatchNormalization", 14): "training got an attribute",
    ("DFT", 20): "axis became an input",
    ("GridSample", 20): "modes were named for two axes",
    ("GroupNormalization", 21): "scale and bias were per group",
    **dict.fromkeys([(f"Reduce{kind}", 18) for kind in REDUCTIONS], "axes became an input"),
    ("RoiAlign", 16): "the default was output_half_pixel",
    ("Split", 18): "equal parts got an attribute",
}
# The meaning changed, the signature didn't: the slope of PRelu was one per channel; Upsample and Scatter went.
UNSAID = {("PRelu", 7), ("Upsample", 10), ("Scatter", 13)}
# What was only added: the old meaning is the new default. All but Resize's, which is above.
ADDED = {
    ("ArgMax", 12), ("ArgMin", 12), ("AveragePool", 7), ("AveragePool", 10), ("Constant", 11), ("Constant", 12),
    ("DepthToSpace", 11), ("DequantizeLinear", 13), ("GatherND", 12), ("Gemm", 11), ("MaxPool", 8), ("MaxPool", 10),
    ("QuantizeLinear", 13), ("Resize", 13), ("TopK", 11),
    ("AveragePool", 19), ("Cast", 19), ("CastLike", 19), ("DequantizeLinear", 21), ("GRU", 14), ("LSTM", 14),
    ("LpPool", 18), ("OptionalHasElement", 18), ("Pad", 18), ("QuantizeLinear", 19), ("QuantizeLinear", 21),
    ("RNN", 14), ("Reshape", 14), ("Resize", 18), ("ScatterElements", 16), ("ScatterND", 16), ("Shape", 15),
}  # fmt: skip


def signature(schema: Any) -> tuple[list[Any], dict[str, Any]]:
    values = [*schema.inputs, None, *schema.outputs]
    attributes = {
        name: (each.type, each.required, str(each.default_value))
        for name, each in schema.attributes.items()
        if name != "consumed_inputs"
    }
    return [value and (value.name, value.option) for value in values], attributes


def test_every_change_of_a_signature_is_known():
    history: dict[str, list[Any]] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == "" and schema.since_version <= 21:
            history.setdefault(schema.name, []).append(schema)
    changed = set()
    for name, schemas in history.items():
        for old, new in pairwise(sorted(schemas, key=lambda schema: schema.since_version)):
            if signature(old) != signature(new):
                changed.add((name, new.since_version))
    assert changed == CHANGED.keys() | ADDED
    adapted = {(op_type, below) for op_type, rows in ADAPTERS.items() for below, _ in rows}
    defaults_only = {("Clip", 6), ("GRU", 3)}  # Clip: the largest numbers, as before; GRU: adapted at 7
    assert adapted == CHANGED.keys() - defaults_only | UNSAID


RNG = np.random.default_rng(0)


def f32(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def i64(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def model_of(op: str, opset: int, inputs: list[Any], outputs: int, fed: int, attributes: dict[str, Any]) -> Any:
    """One node; the first `fed` arrays are inputs, the others initializers, None is left out."""
    names = ["" if array is None else f"x{number}" for number, array in enumerate(inputs)]
    results = [f"y{number}" for number in range(outputs)]
    node = helper.make_node(op, names, results, name="old", **attributes)
    given = [(name, array) for name, array in zip(names, inputs, strict=True) if array is not None]
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for n, a in given[:fed]],
        [onnx.ValueInfoProto(name=name) for name in results],
        [numpy_helper.from_array(a, n) for n, a in given[fed:]],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=4), dict(given[:fed])


X = f32(2, 4, 6, 6)
ADDS_UP = helper.make_graph(
    [helper.make_node("Add", ["s", "i"], ["t"]), helper.make_node("Mul", ["t", "i"], ["o"])],
    "body",
    [helper.make_tensor_value_info(name, 1, [2]) for name in "si"],
    [helper.make_tensor_value_info(name, 1, [2]) for name in "to"],
)
ROI = np.zeros(0, np.float32)
SCALES = {"up": [1, 1, 2, 3], "down": [1, 1, 0.5, 0.7], "both": [1, 1, 0.6, 2], "same": [1, 1, 1, 1]}

# name: operator, opset, inputs (the first is fed), attributes, outputs
CASES: dict[str, tuple[Any, ...]] = {
    "BatchNormalization-spatial": ("BatchNormalization", 7, [X, *np.abs(f32(4, 4, 6, 6)) + 0.5], {"spatial": 0}),
    "BatchNormalization": ("BatchNormalization", 8, [X, *np.abs(f32(4, 4)) + 0.5], {"epsilon": 0.1}),
    "Cast": ("Cast", 9, [X], {"to": 6}),
    "Clip": ("Clip", 7, [X], {"min": -0.5, "max": 0.2}),
    "Clip-max": ("Clip", 10, [X], {"max": 0.2}),
    "Dropout": ("Dropout", 7, [X], {"ratio": 0.3}),
    "Gemm": ("Gemm", 7, [f32(2, 3), f32(3, 4), f32(4)], {}),
    "LpPool": ("LpPool", 7, [X], {"kernel_shape": [2, 2], "p": 3}),
    "PRelu": ("PRelu", 7, [X, f32(4, 1, 1)], {}),
    "Pad": ("Pad", 7, [X], {"pads": [0, 0, 1, 1, 0, 0, 1, 2], "value": 1.5}),
    "Pad-reflect": ("Pad", 10, [X], {"pads": [0, 0, 1, 1, 0, 0, 1, 2], "mode": "reflect"}),
    "ReduceSum": ("ReduceSum", 7, [X], {"axes": [1, 2], "keepdims": 0}),
    "ReduceSum-all": ("ReduceSum", 11, [X], {}),
    "Reshape": ("Reshape", 1, [X], {"shape": [2, -1]}),
    "Scan": ("Scan", 8, [None, f32(3, 2), f32(3, 5, 2)], {"body": ADDS_UP, "num_scan_inputs": 1}, 2),
    "Scatter": ("Scatter", 9, [f32(3, 4), i64(0, 1, 2).reshape(1, 3), f32(1, 3)], {"axis": 1}),
    "Slice": ("Slice", 7, [X], {"starts": [0, -3], "ends": [1, 100], "axes": [0, 2]}),
    "Slice-first": ("Slice", 9, [X], {"starts": [0, 1], "ends": [1, 3]}),
    "Split": ("Split", 7, [X], {"axis": 1, "split": [1, 3]}, 2),
    "Split-even": ("Split", 11, [X], {"axis": -1}, 3),
    "Squeeze": ("Squeeze", 11, [f32(2, 1, 3, 1)], {"axes": [1]}),
    "Squeeze-all": ("Squeeze", 7, [f32(2, 1, 3, 1)], {}),
    "TopK": ("TopK", 7, [X], {"axis": 1, "k": 3}, 2),
    "Unsqueeze": ("Unsqueeze", 7, [X], {"axes": [0, 3]}),
}  # fmt: skip
for op_type in ("Softmax", "LogSoftmax", "Hardmax"):
    for opset, axis in ((7, None), (7, 0), (7, 2), (7, 3), (11, -2), (12, -1)):
        attributes = {} if axis is None else {"axis": axis}
        CASES[f"{op_type}-{opset}-{axis}"] = (op_type, opset, [X], attributes)
    CASES[f"{op_type}-pixel"] = (op_type, 7, [f32(2, 5, 1, 1)], {"axis": 1})
for label, scales in SCALES.items():
    for mode in ("nearest", "linear"):
        factors = np.array(scales, np.float32)
        CASES[f"Resize-{mode}-{label}"] = ("Resize", 10, [X, factors], {"mode": mode})
        if min(scales) >= 1:
            CASES[f"Upsample-7-{mode}-{label}"] = ("Upsample", 7, [X], {"mode": mode, "scales": factors.tolist()})
            CASES[f"Upsample-9-{mode}-{label}"] = ("Upsample", 9, [X, factors], {"mode": mode})


def equal(ours: list[np.ndarray], theirs: list[Any]) -> None:
    for a, b in zip(ours, theirs, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_as_onnxruntime_runs_the_old_opset(onnxruntime_session, name):
    op, opset, inputs, attributes, *outputs = CASES[name]
    given = sum(array is not None for array in inputs)
    for fed in {1, given if op in ("Resize", "Scan") else 1}:
        model, feeds = model_of(op, opset, inputs, outputs[0] if outputs else 1, fed, attributes)
        equal(qkern.Session(model).run(None, feeds), onnxruntime_session(model).run(None, feeds))


def grid() -> np.ndarray:
    return np.ascontiguousarray(np.stack(np.broadcast_arrays(*np.ogrid[-1.1:1.1:5j, -1.1:1.1:4j]), -1), np.float32)[
        None
    ]


REGIONS = [X, np.float32([[0.5, 0.5, 4.2, 3.7]]), i64(1)]
# Of opsets 13 to 20: operator, opset, inputs (the first is fed), attributes, outputs
LATER: dict[str, tuple[Any, ...]] = {
    **{f"Reduce{each}": (f"Reduce{each}", 13, [np.abs(X)], {"axes": [1, -1], "keepdims": 0}) for each in REDUCTIONS},
    "ReduceMean-all": ("ReduceMean", 17, [X], {}),
    "BatchNormalization-13": ("BatchNormalization", 13, [X, *np.abs(f32(4, 4)) + 0.5], {}),
    "DFT": ("DFT", 17, [f32(2, 6, 4, 1)], {"axis": 2}),
    "DFT-default": ("DFT", 17, [f32(2, 6, 1)], {}),
    "GridSample": ("GridSample", 16, [X[:1], grid()], {}),
    "GridSample-cubic": ("GridSample", 17, [X[:1], grid()], {"mode": "bicubic", "align_corners": 1}),
    "RoiAlign": ("RoiAlign", 13, REGIONS, {"output_height": 2, "output_width": 2}),
    "Split": ("Split", 13, [X], {"axis": 1}, 2),
    "Split-lengths": ("Split", 13, [X, i64(1, 3)], {"axis": 1}, 2),
    "Pad": ("Pad", 13, [X, i64(0, 0, 1, 0, 0, 0, 0, 2)], {}),
}


@pytest.mark.parametrize("name", LATER)
def test_raised_to_21_as_onnxruntime_runs_the_old_opset(onnxruntime_session, name):
    op, opset, inputs, attributes, *outputs = LATER[name]
    model, feeds = model_of(op, opset, inputs, outputs[0] if outputs else 1, 1, attributes)
    model.ir_version = 10
    raised = ir.from_proto(model)
    raise_opset(raised, 21)
    assert (raised.opset_imports[""], [node.name for node in raised.graph]) == (21, ["old"])
    equal(onnxruntime_session(ir.to_proto(raised)).run(None, feeds), onnxruntime_session(model).run(None, feeds))


def test_groups_and_training_have_no_place_in_21():
    for op, opset, inputs, outputs, word in (
        ("GroupNormalization", 18, [X, CHANNEL[:2], CHANNEL[:2]], 1, "per group"),
        ("BatchNormalization", 13, [X, *PARAMETERS], 3, "trains"),
    ):
        model, _ = model_of(op, opset, inputs, outputs, 1, {"num_groups": 2} if op[0] == "G" else {})
        with pytest.raises(ValueError, match=rf"node old \({op} of opset {opset}\).*{word}"):
            raise_opset(ir.from_proto(model), 21)


CHANNEL = f32(4)
PARAMETERS = [np.abs(f32(4)) + 0.5 for _ in range(4)]
B = CHANNEL.reshape(4, 1, 1)
SPAN = f32(4, 6)
SCALE, BIAS, MEAN, VARIANCE = (each.reshape(4, 1, 1) for each in PARAMETERS)
NORMALIZED = (X - MEAN) / np.sqrt(VARIANCE + np.float32(1e-5)) * SCALE + BIAS
# ONNX Runtime begins at opset 7: operator, opset, inputs, attributes, the right answer
DEFINED: dict[str, tuple[Any, ...]] = {
    "Add": ("Add", 6, [X, CHANNEL], {"broadcast": 1, "axis": 1}, X + B),
    "Add-part": ("Add", 6, [X, SPAN], {"broadcast": 1, "axis": 1}, X + SPAN[:, :, np.newaxis]),
    "Add-suffix": ("Add", 6, [X, SPAN[0]], {"broadcast": 1}, X + SPAN[0]),
    "Add-scalar": ("Add", 6, [X, CHANNEL[:1]], {"broadcast": 1}, X + CHANNEL[0]),
    "Add-consumed": ("Add", 1, [X, X], {"consumed_inputs": [0, 0]}, X + X),
    "Mul-negative": ("Mul", 6, [X, CHANNEL], {"broadcast": 1, "axis": -3}, X * B),
    "Greater": ("Greater", 1, [X, CHANNEL], {"broadcast": 1, "axis": 1}, X > B),
    "BatchNormalization": ("BatchNormalization", 6, [X, *PARAMETERS], {"is_test": 1}, NORMALIZED),
    "GlobalLpPool": ("GlobalLpPool", 1, [X], {"p": 1.0}, np.abs(X).sum((2, 3), keepdims=True)),
    "Cast": ("Cast", 1, [X], {"to": "INT32"}, X.astype(np.int32)),
    "Clip": ("Clip", 1, [X], {"max": 0.2, "consumed_inputs": [0]}, np.minimum(X, np.float32(0.2))),
    "Concat": ("Concat", 1, [X, X], {}, np.concatenate([X, X], 1)),
    "Dropout": ("Dropout", 6, [X], {"is_test": 1}, X),
    "Gemm": ("Gemm", 6, [X[0, 0], X[0, 1], SPAN[0]], {"broadcast": 1}, X[0, 0] @ X[0, 1] + SPAN[0]),
    "PRelu": ("PRelu", 6, [X, CHANNEL], {}, np.where(X < 0, X * B, X)),
    "PRelu-one": ("PRelu", 6, [X, CHANNEL[:1]], {}, np.where(X < 0, X * CHANNEL[0], X)),
    "Pad": ("Pad", 1, [X], {"paddings": [0, 0, 1, 0, 0, 0, 0, 2]}, np.pad(X, [(0, 0), (0, 0), (1, 0), (0, 2)])),
    "Selu": ("Selu", 1, [X], {}, np.where(X > 0, 1.0507 * X, 1.0507 * 1.6732 * np.expm1(X)).astype(np.float32)),
    "Tile": ("Tile", 1, [X, f32(1) * 0 + 2, f32(1) * 0 + 1], {}, np.concatenate([X, X], 1)),
    "TopK": ("TopK", 1, [X], {"k": 6}, -np.sort(-X)),
    "Upsample": (
        "Upsample", 1, [X], {"height_scale": 2.0, "width_scale": 3.0}, X.repeat(2, 2).repeat(3, 3),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DEFINED)
def test_as_the_old_definition_says(name):
    op, opset, inputs, attributes, right = DEFINED[name]
    model, feeds = model_of(op, opset, inputs, 2 if op == "TopK" else 1, 1, attributes)
    equal(qkern.Session(model).run(None, feeds)[:1], [right])


REFUSED = {
    "is_test": ("BatchNormalization", 6, [X, *PARAMETERS], {}, "trains"),
    "is_test-dropout": ("Dropout", 6, [X], {}, "trains"),
    "p": ("GlobalLpPool", 1, [X], {"p": 1.5}, "p=1.5"),
    "sequence_lens": ("Scan", 8, [i64(5), f32(1, 2), f32(1, 5, 2)], {"body": ADDS_UP, "num_scan_inputs": 1}, "seq"),
    "type": ("Cast", 1, [X], {"to": "REAL"}, "REAL"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_keep_its_meaning_is_refused(name):
    op, opset, inputs, attributes, word = REFUSED[name]
    model, _ = model_of(op, opset, inputs, 2 if op == "Scan" else 1, 1, attributes)
    with pytest.raises(ValueError, match=rf"node old \({op} of opset {opset}\).*{re.escape(word)}"):
        qkern.Session(model)


def test_the_mask_of_an_old_dropout_is_refused_where_it_is_read():
    model, feeds = model_of("Dropout", 10, [X], 2, 1, {})
    with pytest.raises(ValueError, match="the mask that it returns"):
        qkern.Session(model)
    del model.graph.output[1]
    equal(qkern.Session(model).run(None, feeds), [X])


def test_subgraphs_are_raised_too(onnxruntime_session):
    def branch(axis: int) -> onnx.GraphProto:
        return helper.make_graph(
            [helper.make_node("Softmax", ["x"], ["b"], axis=axis)],
            "b",
            [],
            [helper.make_tensor_value_info("b", 1, None)],
        )

    node = helper.make_node("If", ["c"], ["y"], then_branch=branch(1), else_branch=branch(2))
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("c", 9, []), helper.make_tensor_value_info("x", 1, X.shape)],
        [helper.make_tensor_value_info("y", 1, X.shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6)
    for flag in (True, False):
        feeds = {"c": np.array(flag), "x": X}
        equal(qkern.Session(model).run(None, feeds), onnxruntime_session(model).run(None, feeds))


def test_names_of_nodes_and_outputs_stay_and_the_model_quantizes():
    model, feeds = model_of("Conv", 9, [X, f32(4, 4, 3, 3)], 1, 1, {"kernel_shape": [3, 3]})
    model.graph.node.append(helper.make_node("Pad", ["y0"], ["y"], name="pad", pads=[0, 0, 1, 1, 0, 0, 1, 1]))
    model.graph.output[0].name = "y"
    quantized = qkern.quantize_model(model, feeds, effort="fast")
    assert [step.name for step in quantized.session().steps if step.kind == "int8"] == ["old", "pad"]
    assert [spec.name for spec in quantized.session().get_outputs()] == ["y"]


def test_threads_that_load_old_models_leave_the_loggers_alone(monkeypatch):
    changes: list[Any] = []
    monkeypatch.setattr(logging.Logger, "setLevel", lambda *arguments: changes.append(arguments))
    model, feeds = model_of("Softmax", 7, [X], 1, 1, {})
    results: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: results.extend(qkern.Session(model).run(None, feeds))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert changes == []
    assert len(results) == 4
    assert all(np.array_equal(result, results[0]) for result in results)
