"""Weights with which AVX2's int8 instruction can't saturate: the proof, the scales, and what changes codes keeps it."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import qkern
from emulation import EMULATED
from hypothesis import given, settings
from hypothesis import strategies as st
from qkern.conversion.adaround import round_rows
from qkern.conversion.network import prepared
from qkern.conversion.plan import make_plan
from qkern.conversion.saturation import is_saturation_safe, safe_scales
from qkern.conversion.weight_clipping import clip_weights
from qkern.conversion.weights import nearest_weights
from qkern.conversion.windows import observe_moments, weight_rows
from qkern.graph_values import constant_of
from qkern.scheme import Scheme
from qkern.target import TARGETS
from small_cnn import images, small_cnn

WEIGHT = TARGETS["x86"].weight


def never_saturates(codes):
    """By the instruction's own arithmetic: every pair of neighbours with bytes at their ends."""
    last = codes.astype(np.int64)
    pairs = np.stack([last[..., :-1], last[..., 1:]], axis=-1)
    sums = [(pairs * np.array(x)).sum(axis=-1) for x in itertools.product((0, 255), repeat=2)]
    return all(bool((np.clip(each, -(2**15), 2**15 - 1) == each).all()) for each in sums)


def ordered_by_hand(codes, op_type, channel_axis):
    """[channels, everything that one sums up], in the order row, column, channel, or in that of depth."""
    first = np.moveaxis(codes, channel_axis, 0)
    if op_type == "Conv":
        first = np.moveaxis(first, 1, -1)
    return first.reshape(len(first), -1)


def written(model):
    """Per layer with weights: its operator, the axis of its output channels, its codes."""
    for node in model.graph:
        if node.op_type not in ("Conv", "Gemm", "MatMul"):
            continue
        dequantize = node.inputs[1].producer()
        if dequantize is None or constant_of(dequantize.inputs[0]) is None:
            continue
        axis = (
            1
            if node.op_type == "MatMul" or (node.op_type == "Gemm" and not node.attributes.get_int("transB", 0))
            else 0
        )
        yield node.op_type, axis, constant_of(dequantize.inputs[0])


def assert_safe(model):
    layers = list(written(model))
    assert layers
    for op_type, axis, codes in layers:
        assert never_saturates(ordered_by_hand(codes, op_type, axis)), op_type


def test_the_proof_is_the_instructions_own_arithmetic():
    every = np.arange(-128, 128)
    pairs = np.stack(np.meshgrid(every, every, indexing="ij"), axis=-1).reshape(-1, 1, 2).astype(np.int8)
    for pair in pairs[::37]:
        assert is_saturation_safe(pair) == never_saturates(pair), pair
    assert is_saturation_safe(np.int8([[64, 64, 64, -128, 127, 1, 127]]))
    for unsafe in ([64, 65], [0, 64, 65], [-64, -65, 0], [-128, -1], [127, 2, 0]):
        assert not is_saturation_safe(np.int8([unsafe]))
        assert not is_saturation_safe(np.float64([unsafe]))
    assert is_saturation_safe(np.zeros((3, 1), np.int8))
    assert is_saturation_safe(np.zeros((0, 5), np.int8))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 70), st.sampled_from([1e-30, 1e-3, 1.0, 1e37]))
def test_the_smallest_safe_scale(seed, count, size, unit):
    rng = np.random.default_rng(seed)
    rows = (rng.standard_t(3, size=(count, size)) * unit).astype(np.float32)
    rows[0] = np.abs(rows[0])
    least = (np.abs(rows).max(axis=1) / 127).astype(np.float32)
    scales = safe_scales(rows, least)
    assert scales.dtype == np.float32
    assert (scales >= least).all()
    codes = np.rint(rows / scales[:, None])
    assert never_saturates(codes)
    for above in (1.0001, 1.03, 1.5, 7.0):  # every larger one is safe as well
        assert never_saturates(np.rint(rows / (scales * np.float32(above))[:, None]))
    for row, scale, low in zip(rows, scales, least, strict=True):
        below = np.float32(scale * (1 - 1e-6))
        assert scale == low or not never_saturates(np.rint(row / below)), (scale, low)


LAYERS = [
    ("Conv(x, w, b)", (6, 4, 3, 3), 0, (4, 9, 9)),
    ("Conv<group=4, pads=[1, 1, 1, 1]>(x, w, b)", (4, 1, 3, 3), 0, (4, 9, 9)),
    ("Conv<group=2>(x, w, b)", (6, 2, 2, 3), 0, (4, 9, 9)),
    ("Conv(x, w, b)", (9, 24, 1, 1), 0, (24, 3, 3)),
    ("Gemm<transB=1>(x, w, b)", (7, 31), 0, (31,)),
    ("Gemm(x, w, b)", (31, 7), 1, (31,)),
    ("MatMul(x, w)", (31, 7), 1, (31,)),
]


def planned(text, shape, x_shape, rng):
    weight = np.abs(rng.normal(size=shape)).astype(np.float32) ** 2 + 0.1
    weight *= np.where(rng.random(shape) < 0.3, -1, 1).astype(np.float32)
    dims = ", ".join(map(str, x_shape))
    proto = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 17]> graph (float[N, {dims}] x) => (float[] y) {{ y = {text} }}'
    )
    axis = 1 if text.startswith(("Gemm(", "MatMul")) else 0
    for name, array in (("w", weight), ("b", np.zeros(shape[axis], np.float32))):
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    proto.graph.node[0].name = "y"
    model = prepared(ir.from_proto(proto))
    return model, list(make_plan(model).layers.values())


@pytest.mark.parametrize(("text", "shape", "axis", "x_shape"), LAYERS)
@pytest.mark.parametrize("per_channel", [True, False])
def test_corrections_keep_it(text, shape, axis, x_shape, per_channel, rng):
    model, layers = planned(text, shape, x_shape, rng)
    scheme = replace(WEIGHT, per_channel=per_channel)
    # What the kernel sees goes together, so that rounding to nearest isn't the best.
    x = (rng.normal(size=(40, *x_shape)) + 3 * rng.normal(size=(40, *[1] * len(x_shape))) + 1).astype(np.float32)
    moments = observe_moments(model, layers, [{"x": x}], covariance=True)
    op_type = text.split("(")[0].split("<")[0]

    def safe(weights):
        return never_saturates(ordered_by_hand(weights["y"].codes, op_type, axis))

    assert not safe(nearest_weights(layers, scheme))
    nearest = nearest_weights(layers, scheme, safe=True)
    rows = weight_rows(layers[0])
    np.testing.assert_array_equal(
        rows.in_order(rows.of(nearest["y"].codes)).reshape(-1),
        ordered_by_hand(nearest["y"].codes, op_type, axis).ravel(),
    )
    clipped = clip_weights(layers, nearest, moments, scheme, safe=True)
    assert safe(nearest)
    assert safe(clipped)
    power = moments["y"].square[:, None]
    error = [(power * (rows.rows - each["y"].real_rows(rows)) ** 2).sum() for each in (nearest, clipped)]
    assert error[1] <= error[0]
    changed = False
    for start in (nearest, clipped):
        codes = rows.of(start["y"].codes).astype(float)
        for group, covariance in enumerate(moments["y"].covariance):
            scales = start["y"].row_scales(rows)[group]
            real = rows.rows[group].astype(float)
            held = round_rows(real, scales, covariance, (-127, 127), codes[group], rows.order)
            assert never_saturates(held[:, rows.order])
            changed |= bool((held != codes[group]).any())
    assert changed


@pytest.mark.parametrize("effort", ["fast", "balanced", "best"])
@pytest.mark.parametrize("options", [{}, {"method": "minmax"}, {"budget": 60.0}], ids=str)
def test_every_effort_gives_safe_codes(effort, options):
    quantized = qkern.quantize_model(small_cnn(), images(40), "x86", effort=effort, **options)
    if "budget" not in options:
        assert_safe(quantized.model)
    with_rows = [layer for layer in quantized.report if layer.saturation_safe is not None]
    assert all(layer.saturation_safe and layer.scale_factor >= 1 and layer.noise_db >= -3 for layer in with_rows)
    names = {str(node.name) for node in quantized.model.graph if node.op_type in ("Conv", "Gemm", "MatMul")}
    assert {layer.name for layer in with_rows} <= names
    assert "none on AVX2 in" in quantized.report.saturation or not with_rows
    cost = [each for each in quantized.report.corrections if each.name == "saturation-safe weights"]
    assert len(cost) == (effort != "fast")


def test_a_bias_that_raises_a_scale_keeps_it():
    # The first channel's weights are nearly nothing beside its bias.
    rng = np.random.default_rng(3)
    w = np.abs(rng.normal(size=(4, 40))).astype(np.float32)
    w[0] *= 1e-9
    text = (
        '<ir_version: 8, opset_import: ["": 17]> graph (float[N, 40] x) => (float[] y) { y = Gemm<transB=1>(x, w, b) }'
    )
    proto = onnx.parser.parse_model(text)
    proto.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.asarray(a, np.float32), n) for n, a in (("w", w), ("b", [50, 0, 0, 0]))
    )
    quantized = qkern.quantize_model(proto, rng.normal(size=(30, 40)).astype(np.float32), "x86", effort="fast")
    assert any("raised" in layer.reason for layer in quantized.report)
    assert_safe(quantized.model)


def test_who_wants_it():
    model, x = small_cnn(), images(16)

    def safe(**options):
        quantized = qkern.quantize_model(model, x, effort="fast", **options)
        return all(never_saturates(ordered_by_hand(c, op, axis)) for op, axis, c in written(quantized.model)), quantized

    assert TARGETS["x86"].saturation_safe
    assert not TARGETS["arm"].saturation_safe
    assert safe(target="x86")[0]
    assert safe(target="arm", saturation_safe=True)[0]
    for options in ({"target": "arm"}, {"target": "x86", "saturation_safe": False}):
        found, quantized = safe(**options)
        assert not found
        assert quantized.report.saturation == ""
        assert all(layer.saturation_safe is None for layer in quantized.report)
    asymmetric = replace(TARGETS["arm"], weight=Scheme("int8"))
    assert not replace(asymmetric, saturation_safe=True).safe_weights
    with pytest.raises(ValueError, match="saturation_safe: the weights of target 'arm' aren't symmetric int8"):
        qkern.quantize_model(model, x, asymmetric, saturation_safe=True)


def test_the_report_says_what_it_costs(tmp_path):
    quantized = qkern.quantize_model(small_cnn(), images(24), "x86", effort="fast")
    quantized.save_report(tmp_path / "r.json")
    quantized.save_report(tmp_path / "r.html")
    layers = json.loads((tmp_path / "r.json").read_text())["layers"]
    costs = [layer for layer in layers if layer["saturation_safe"] is not None]
    assert costs
    assert all(layer["saturation_safe"] and layer["scale_factor"] > 1 for layer in costs)
    assert sum(layer["noise_db"] for layer in costs) > 0
    page = (tmp_path / "r.html").read_text()
    assert "weight noise, dB" in page
    assert quantized.report.saturation.startswith(f"none on AVX2 in {len(costs)} of {len(costs)} layers")
    quantized = qkern.quantize_model(small_cnn(), images(24), "arm", effort="fast")
    quantized.save_report(tmp_path / "arm.html")
    assert "weight noise, dB" not in (tmp_path / "arm.html").read_text()


@pytest.mark.parametrize("effort", ["fast", "balanced"])
@pytest.mark.parametrize("case", ["efficientnet_lite0", "resnet20_cifar10"])
def test_real_networks(case, effort, shared):
    if EMULATED and (case, effort) != ("resnet20_cifar10", "fast"):
        pytest.skip("takes a minute on an emulated processor, and is the same code on all of them")
    rng = np.random.default_rng(1)
    path = shared / "models" / f"{case}.onnx"
    size = 32 if case.startswith("resnet") else 224
    x = rng.normal(size=(6, 3, size, size)).astype(np.float32)
    if effort == "balanced" and size == 224:
        pytest.skip("takes half a minute; bench/saturation.py has it")
    assert_safe(qkern.quantize_model(path, x, "x86", effort=effort).model)
