"""A grid per channel of the inputs: the same function, exact codes, and only where it is possible and worth it."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import qkern
from qkern.calibration import CalibrationTable
from qkern.conversion import ChosenRanges, convert
from qkern.conversion.input_grid import find_grids, move_inputs, restore_inputs
from qkern.conversion.network import prepared
from qkern.conversion.plan import make_plan
from qkern.graph_values import constant_of
from qkern.scheme import Scheme, quant_params
from qkern.target import get_target

MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
TARGETS = ["x86", "arm"]
UINT8 = Scheme("uint8")


def pixels(rng, *spatial, count=6):
    """Normalized images, and the codes they were made from; both ends of the range are there in every channel."""
    codes = rng.integers(0, 256, (count, 3, *spatial))
    codes[0, :, 0], codes[1, :, 0] = 0, 255
    shape = (3,) + (1,) * len(spatial)
    return (np.float32(codes) / np.float32(255) - MEAN.reshape(shape)) / STD.reshape(shape), codes


def network(rng, attributes="", spatial=("h", "w"), bias=True, text=None, kernel=(3, 2)):
    text = text or f"{{ y = Conv{f'<{attributes}>' if attributes else ''}(x, w{', b' if bias else ''}) }}"
    proto = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 17]> graph (float[N, 3, {", ".join(spatial)}] x) => (float[] y) {text}'
    )
    arrays = {"w": rng.normal(size=(4, 3, *kernel[: len(spatial)])), "b": rng.normal(size=4)}
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(np.float32(a), name) for name, a in arrays.items())
    return ir.from_proto(proto)


def grids_of(model, x, scheme=UINT8):
    copy = prepared(model)
    plan = make_plan(copy, ())
    return copy, plan, find_grids(copy, plan, [{"x": x}], scheme)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("attributes", "spatial", "bias"),
    [
        ("", ("h", "w"), True),
        ("pads=[1, 0, 2, 1], strides=[2, 1]", ("h", "w"), False),
        ("pads=[1, 1, 1, 1], dilations=[1, 2]", ("9", "7"), True),
        ("pads=[2, 1]", ("n",), True),
    ],
)
def test_moving_the_input_changes_no_output(attributes, spatial, bias, target, rng):
    model = network(rng, attributes, spatial, bias)
    x, _ = pixels(rng, *(9, 7)[: len(spatial)])
    expected = qkern.Session(model).run(None, {"x": x})[0]
    moved, plan, grids = grids_of(model, x, get_target(target).activation)
    shape = moved.graph.inputs[0].shape
    move_inputs(moved, plan, grids)
    np.testing.assert_allclose(qkern.Session(moved).run(None, grids[0].moved({"x": x}))[0], expected, atol=2e-5)
    restore_inputs(moved, grids)
    assert moved.graph.inputs[0].shape == shape
    onnx.checker.check_model(ir.to_proto(moved))
    np.testing.assert_allclose(qkern.Session(moved).run(None, {"x": x})[0], expected, atol=2e-5)


@pytest.mark.parametrize("target", TARGETS)
def test_codes_of_normalized_pixels_are_the_pixels(target, rng, onnxruntime_session):
    model, preset = network(rng, "pads=[1, 1, 1, 1]"), get_target(target)
    x, codes = pixels(rng, 9, 7)
    moved, plan, grids = grids_of(model, x, preset.activation)
    move_inputs(moved, plan, grids)
    given = {grid.name: grid.params for grid in grids} | {"y": quant_params(-9, 9, preset.activation)}
    ranges = ChosenRanges(CalibrationTable(), {}, given)
    quantized, _ = convert(moved, ranges, preset, float_outputs=True)
    restore_inputs(quantized, grids)
    onnx.checker.check_model(ir.to_proto(quantized), full_check=True)
    seen = {}
    quantize = next(node for node in quantized.graph if node.op_type == "QuantizeLinear")
    name = quantize.outputs[0].name
    session = qkern.Session(quantized, observe=[name])
    session.observe({"x": x}, lambda _, array: seen.update(codes=array))
    lowest = preset.activation.limits[0]
    np.testing.assert_array_equal(seen["codes"][:, :, 1:-1, 1:-1].astype(int), codes + lowest)
    # Borders stand for 0, to half a step.
    scale, zero = (np.asarray(constant_of(value), np.float64) for value in quantize.inputs[1:])
    assert np.abs(scale * (seen["codes"][0, :, 0, 0] - zero)).max() == 0
    assert [step.kind for step in session.steps if "Conv" in step.op_type] == ["int8"]
    theirs = onnxruntime_session(ir.to_proto(quantized)).run(None, {"x": x})[0]
    np.testing.assert_allclose(session.run(None, {"x": x})[0], theirs, atol=1e-4)


@pytest.mark.parametrize(
    "text",
    [
        "{ a = Conv<pads=[1,1,1,1]>(x, w, b) z = ReduceMax<keepdims=0>(x) y = Add(a, z) }",  # somebody else reads it
        "{ z = Relu(x) y = Conv(z, w, b) }",
        '{ y = Conv<auto_pad="SAME_UPPER">(x, w, b) }',  # its borders depend on the size
    ],
)
def test_no_grid_where_it_would_not_be_the_same_function(text, rng):
    x, _ = pixels(rng, 9, 7)
    assert not grids_of(network(rng, text=text), x)[2]


def test_no_grid_where_there_is_nothing_to_gain(rng):
    model, (x, _) = network(rng), pixels(rng, 9, 7)
    assert not grids_of(model, x, Scheme("int8", symmetric=True))[2]
    assert not grids_of(model, np.broadcast_to(x[:, :1], x.shape))[2]  # channels have the same range
    assert not grids_of(model, x * np.float32([1, 0, 1]).reshape(3, 1, 1))[2]  # a channel without one


def test_a_grid_is_kept_where_it_brings_outputs_nearer(rng):
    x, _ = pixels(rng, 12, 10, count=30)
    report = qkern.quantize_model(network(rng, "pads=[1, 1, 1, 1]"), x, "x86", effort="balanced").report
    grid = next(each for each in report.corrections if "grid" in each.name)
    assert grid.kept
    assert grid.after > grid.before + 1
    assert not report.left_float
