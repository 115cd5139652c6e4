"""Resize: every mode, in float and on codes; old forms (Upsample, opset 10) are rewritten by the fusion before."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import qkern
from onnx_text import f32, graph, network, run_as_written

COORDINATES = ["half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners", "half_pixel_symmetric"]
ROUNDING = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]
SCALES = [[2.0, 3.0], [1.3, 0.7], [0.2, 1.0]]
WHOLE = [[2.0, 0.4], [1.0, 3.0]]  # sizes before they are rounded down
SIZES = [[3, 12], [1, 9]]


def scaled(x, scales):
    return [x, None, np.array([1, 1, *scales], np.float32)], [2]


def sized(x, sizes):
    return [x, None, None, np.array([*x.shape[:2], *sizes], np.int64)], [3]


@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_modes(same_as_onnxruntime, rng, mode, coordinates):
    x = f32(rng, 1, 2, 7, 5)
    variants = [{"nearest_mode": rounding} for rounding in ROUNDING] if mode == "nearest" else [{}]
    if mode == "cubic":
        variants = [{"cubic_coeff_a": a, "exclude_outside": flag} for a, flag in ((-0.75, 0), (-0.5, 1))]
    by = WHOLE if coordinates in ("align_corners", "pytorch_half_pixel") else SCALES
    operands = [*(scaled(x, scales) for scales in by), *(sized(x, sizes) for sizes in SIZES)]
    for more, (inputs, constants) in itertools.product(variants, operands):
        how = {"mode": mode, "coordinate_transformation_mode": coordinates, **more}
        opset = 21 if coordinates == "half_pixel_symmetric" or constants == [2] else 13
        same_as_onnxruntime("Resize", inputs, constants=constants, opset=opset, exact=mode == "nearest", **how)


def test_ties_that_float32_misses(same_as_onnxruntime):
    """3.5 comes out as 3.4999998: still a tie."""
    for before, after in ((7, 2), (7, 38), (22, 13), (28, 1)):
        x = np.arange(before, dtype=np.float32).reshape(1, 1, 1, before)
        for coordinates, rounding in itertools.product(("asymmetric", "half_pixel"), ROUNDING):
            how = {"coordinate_transformation_mode": coordinates, "nearest_mode": rounding}
            inputs, constants = sized(x, [1, after])
            same_as_onnxruntime("Resize", inputs, constants=constants, exact=True, **how)


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("region", [(-0.3, 0.1, 1.2, 0.7), (0.2, 0.0, 0.9, 1.0), (0.8, 1.0, 0.1, 0.0)])
def test_crop_and_resize(same_as_onnxruntime, rng, mode, region):
    x = f32(rng, 2, 3, 7, 5)
    how = {"mode": mode, "coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 9.0}
    whole = np.array([0, 0, *region[:2], 1, 1, *region[2:]], np.float32)
    for sizes in ([9, 8], [3, 4], [1, 1]):
        inputs, constants = sized(x, sizes)
        inputs[1] = whole
        same_as_onnxruntime("Resize", inputs, constants=[1, *constants], **how)
        inputs = [x, np.array(region, np.float32), None, np.array(sizes, np.int64)]
        same_as_onnxruntime("Resize", inputs, constants=[1, 3], axes=[2, 3], **how)


@pytest.mark.parametrize(
    ("policy", "axes"),
    [("stretch", [-1, -2]), ("not_larger", [2, 3]), ("not_larger", [3, 2]), ("not_smaller", [3, 2])],
)
def test_policies_and_axes(same_as_onnxruntime, rng, policy, axes):
    x = f32(rng, 1, 2, 7, 5)
    for sizes, mode in itertools.product(([14, 15], [3, 9], [8, 2]), ("nearest", "linear")):
        inputs = [x, None, None, np.array(sizes, np.int64)]
        how = {"keep_aspect_ratio_policy": policy, "axes": axes, "mode": mode}
        same_as_onnxruntime("Resize", inputs, constants=[3], opset=18, **how)
    same_as_onnxruntime("Resize", [x, None, np.array([1.7, 0.6], np.float32)], constants=[2], axes=axes, mode="linear")


def test_as_opset_11_has_it(same_as_onnxruntime, rng):
    """Empty arrays for what is left out, and a mode that later opsets don't have."""
    x, none = f32(rng, 1, 2, 7, 5), np.zeros(0, np.float32)
    for coordinates in ("tf_half_pixel_for_nn", "half_pixel", "asymmetric"):
        for mode in ("nearest", "linear", "cubic"):
            how = {"opset": 11, "mode": mode, "coordinate_transformation_mode": coordinates}
            same_as_onnxruntime("Resize", [x, none, np.float32([1, 1, 2, 0.6])], constants=[1, 2], **how)
            same_as_onnxruntime("Resize", [x, none, none, np.array([1, 2, 3, 9])], constants=[1, 2, 3], **how)


@pytest.mark.parametrize("spatial", [(7,), (3, 4, 5)])
def test_other_ranks(same_as_onnxruntime, rng, spatial):
    x = f32(rng, 2, 3, *spatial)
    for factor in (2.0, 0.6):
        scales = np.array([1, 1, *[factor] * len(spatial)], np.float32)
        for mode in ("nearest", "linear") if len(spatial) == 3 else ("nearest",):
            same_as_onnxruntime("Resize", [x, None, scales], constants=[2], mode=mode)


def test_other_types_are_moved(same_as_onnxruntime, rng):
    for dtype in (np.uint8, np.int8, np.int32):
        x = (40 * np.abs(f32(rng, 1, 2, 4, 5))).astype(dtype)
        inputs, constants = scaled(x, [2, 1.5])
        same_as_onnxruntime("Resize", inputs, constants=constants)


@pytest.mark.parametrize(
    ("rounding", "scales"), [("floor", [2, 2]), ("round_prefer_ceil", [1.5, 3]), ("ceil", [0.5, 0.7])]
)
def test_nearest_moves_codes(check, rng, rounding, scales):
    text = f"""(float[2, 4, 6, 6] x) => (float[] y) {{
        c = Conv(x, w)  r = Resize<mode="nearest", nearest_mode="{rounding}">(c, , s)  y = Conv(r, w)
    }}"""
    arrays = {"w": f32(rng, 4, 4, 1, 1), "s": np.array([1, 1, *scales], np.float32)}
    session = check(text, f32(rng, 2, 4, 6, 6), **arrays)
    assert [step.op_type for step in session.steps if step.kind == "int8"] == ["Conv", "Resize", "Conv"]
    assert len([step for step in session.steps if step.reason == "order of axes"]) == 2  # at the edges


def test_linear_is_float_and_stays_channels_last(rng):
    text = '(float[2, 4, 6, 6] x) => (float[] y) { c = Conv(x, w) r = Resize<mode="linear">(c, , s) y = Conv(r, w) }'
    proto = network(text, w=f32(rng, 4, 4, 1, 1), s=np.float32([1, 1, 2, 1.7]))
    x = f32(rng, 2, 4, 6, 6)
    session = qkern.Session(proto)
    assert len([step for step in session.steps if step.reason == "order of axes"]) == 2
    expected = run_as_written(proto, {"x": x})[0]
    np.testing.assert_allclose(session.run(None, {"x": x})[0], expected, rtol=1e-5, atol=1e-5)
    quantized = qkern.quantize_model(proto, x, effort="fast")
    assert [layer.op_type for layer in quantized.report.layers if layer.quantized] == ["Conv", "Conv"]


def test_images_of_any_size(rng):
    proto = graph(
        '(float[N, 2, H, W] x) => (float[] y) { y = Resize<mode="linear">(x, , s) }', s=np.float32([1, 1, 2, 1.7])
    )
    session = qkern.Session(proto)
    for shape in ((1, 2, 3, 4), (2, 2, 1, 9), (1, 2, 3, 4), (0, 2, 3, 3)):
        x = f32(rng, *shape)
        expected = run_as_written(proto, {"x": x})[0]
        np.testing.assert_allclose(session.run(None, {"x": x})[0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("attributes", "scale", "reason"),
    [
        ('mode="linear", antialias=1', 0.5, "antialias"),
        ('mode="bicubic"', 0.5, "no kernel knows"),
        ('coordinate_transformation_mode="tf_crop_and_resize"', 0.5, "region"),
        ("axes=[2]", 0.5, "one for each of its axes"),
        ('coordinate_transformation_mode="align_corners"', 0.7, "no whole sizes"),
    ],
)
def test_what_is_not_covered_says_why(attributes, scale, reason):
    import onnx_ir as ir
    from qkern.operators import Unsupported, get_operator

    proto = graph(
        f"(float[1, 2, 4, 4] x) => (float[] y) {{ y = Resize<{attributes}>(x, , s) }}", s=np.float32([1, 1, 2, scale])
    )
    (node,) = ir.from_proto(proto).graph
    operator = get_operator("Resize")
    assert operator is not None
    with pytest.raises(Unsupported, match=reason):
        operator.move(node, 4, None, channels_last=False)
