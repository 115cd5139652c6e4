"""Cases of images, quantization, losses, signals, attention, control flow."""

from __future__ import annotations

from itertools import product

import numpy as np
from onnx import helper
from sweep_cases import SEQ, VOLUME, K, M, P, X, case, f32, i64, ints, vary

# --- images --------------------------------------------------------------------------------------------------------

ROI = K(np.zeros(0, np.float32))
COORDINATES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric")
for scales in ((1, 1, 2, 2), (1, 1, 1.7, 0.6), (1, 1, 0.5, 0.25), (1, 1, 3, 0.35)):
    factors = K(np.array(scales, np.float32))
    for mode, coordinates in product(("nearest", "linear", "cubic"), COORDINATES):
        first = 19 if coordinates == "half_pixel_symmetric" else 13
        how = {"mode": mode, "coordinate_transformation_mode": coordinates}
        case("Resize", X, None, factors, opsets=(first, 99), **how)
        if mode == "nearest":
            for rounding in ("round_prefer_ceil", "floor", "ceil"):
                case("Resize", X, None, factors, nearest_mode=rounding, opsets=(first, 99), **how)
        if mode == "cubic" and coordinates == "half_pixel":
            case("Resize", X, None, factors, cubic_coeff_a=-0.5, **how)
            case("Resize", X, None, factors, exclude_outside=1, **how)
        if mode != "nearest" and coordinates == "half_pixel":
            case("Resize", X, None, factors, antialias=1, **how)
for sizes in ((2, 4, 9, 4), (2, 4, 3, 12)):
    for mode in ("nearest", "linear", "cubic"):
        case("Resize", X, None, None, K(i64(*sizes)), mode=mode)
        case("Resize", X, None, None, K(i64(*sizes)), mode=mode, coordinate_transformation_mode="align_corners")
        case("Resize", X, None, None, i64(*sizes), mode=mode)
for policy in ("not_larger", "not_smaller"):
    case("Resize", X, None, None, K(i64(9, 4)), axes=[2, 3], keep_aspect_ratio_policy=policy)
case("Resize", X, None, K(np.array([2, 3], np.float32)), axes=[3, 2], mode="linear")
crop = K(np.array([0, 0, 0.2, 0.1, 1, 1, 0.9, 1.2], np.float32))
for mode in ("nearest", "linear"):
    how = {"mode": mode, "coordinate_transformation_mode": "tf_crop_and_resize"}
    case("Resize", X, crop, None, K(i64(2, 4, 4, 5)), **how)
    case("Resize", X, crop, None, K(i64(2, 4, 4, 5)), extrapolation_value=7.0, **how)
case("Resize", SEQ, None, K(np.array([1, 1, 2], np.float32)), mode="linear")
grid = np.random.default_rng(3).uniform(-1.2, 1.2, (2, 3, 5, 2)).astype(np.float32)
for modes, opsets in ((("bilinear", "nearest", "bicubic"), (16, 19)), (("linear", "nearest", "cubic"), (20, 99))):
    for mode in modes:
        vary(
            "GridSample",
            [X, grid],
            {"mode": mode},
            opsets=opsets,
            align_corners=[1],
            padding_mode=["border", "reflection"],
        )
case("GridSample", VOLUME, (0.9 * f32(1, 2, 3, 4, 3)).clip(-1, 1), opsets=(20, 99), align_corners=1)
vary("AffineGrid", [f32(2, 2, 3), K(i64(2, 3, 4, 5))], align_corners=[1])
case("AffineGrid", f32(2, 3, 4), K(i64(2, 3, 4, 5, 6)))
corners = np.array([[[0, 0, 1, 1], [0, 0.1, 1, 1.1], [0, -0.1, 1, 0.9], [0, 10, 1, 11]]], np.float32)
scores = np.array([[[0.9, 0.75, 0.6, 0.95]]], np.float32)
limits = [K(i64(3)), K(np.array([0.5], np.float32)), K(np.array([0.65], np.float32))]
vary("NonMaxSuppression", [corners, scores, *limits], center_point_box=[1])
case("NonMaxSuppression", corners, scores, *limits[:2])
case("NonMaxSuppression", corners, scores)

# --- quantization --------------------------------------------------------------------------------------------------

SCALE, ZERO = K(np.array(0.05, np.float32)), K(np.array(3, np.uint8))
PER = K(np.array([0.05, 0.1, 0.02, 0.07], np.float32))
case("QuantizeLinear", M, SCALE)
case("QuantizeLinear", M, SCALE, ZERO)
case("QuantizeLinear", M, np.array(0.05, np.float32), np.array(-3, np.int8))
vary("QuantizeLinear", [M, PER, K(np.array([1, -2, 3, 4], np.int8))], {"axis": 1}, saturate=[0])
case("QuantizeLinear", M, PER, K(np.array([1, -2, 3, 4], np.int8)), axis=-2)
case("QuantizeLinear", ints(-30, 30, 3, 4, dtype=np.int32), SCALE, ZERO)
case("QuantizeLinear", ints(-30, 30, 3, 4, dtype=np.int32), SCALE, K(np.array(-7, np.int8)))
case("QuantizeLinear", M, SCALE, output_dtype=3)
case("QuantizeLinear", M, SCALE, output_dtype=5)
case("QuantizeLinear", M, SCALE, K(np.array(5, np.int16)))
case("QuantizeLinear", M, SCALE, ZERO, precision=1)
blocks = K(np.abs(f32(3, 2, 5)) + 0.1)
case("QuantizeLinear", M, blocks, K(np.zeros((3, 2, 5), np.int8)), axis=1, block_size=2)
case("DequantizeLinear", ints(-99, 99, 3, 4, 5, dtype=np.int8), blocks, axis=1, block_size=2)
for dtype in (np.int8, np.uint8, np.int32, np.int16):
    case("DequantizeLinear", ints(0, 99, 3, 4, 5, dtype=dtype), SCALE)
    case("DequantizeLinear", ints(0, 99, 3, 4, 5, dtype=dtype), PER, K(np.zeros(4, dtype)), axis=1)
case("DequantizeLinear", ints(0, 99, 3, 4, dtype=np.int8), SCALE, output_dtype=1)
case("DequantizeLinear", ints(0, 99, 3, 4, dtype=np.int8), SCALE, output_dtype=10)
case("DynamicQuantizeLinear", M, outputs=3)
case("DynamicQuantizeLinear", P, outputs=3)
u8 = ints(0, 255, 2, 4, 6, 6, dtype=np.uint8)
w8 = ints(-127, 127, 4, 4, 3, 3, dtype=np.int8)
wscale = K(np.array([0.02, 0.03, 0.01, 0.02], np.float32))
quantized = [
    u8,
    SCALE,
    ZERO,
    K(w8),
    wscale,
    K(np.zeros(4, np.int8)),
    K(np.array(0.3, np.float32)),
    K(np.array(90, np.uint8)),
]
vary(
    "QLinearConv",
    quantized,
    auto_pad=["SAME_UPPER"],
    dilations=[[2, 1]],
    kernel_shape=[[3, 3]],
    pads=[[1, 0, 1, 2]],
    strides=[[2, 1]],
)
case("QLinearConv", *quantized, K(ints(-900, 900, 4, dtype=np.int32)))
case("QLinearConv", *quantized[:3], K(w8[:, :2]), *quantized[4:], group=2)
left, right = ints(0, 255, 3, 4, dtype=np.uint8), ints(0, 255, 4, 5, dtype=np.uint8)
case("QLinearMatMul", left, SCALE, ZERO, K(right), SCALE, ZERO, K(np.array(0.4, np.float32)), ZERO)

# --- losses, signals, attention ------------------------------------------------------------------------------------

labels = ints(0, 4, 2, 6, 6)
for reduction in ("none", "sum", "mean"):
    for op in ("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"):
        case(op, X, labels, reduction=reduction)
        case(op, X, labels, K(np.abs(f32(4))), reduction=reduction)
        case(op, X, labels, K(np.abs(f32(4))), reduction=reduction, ignore_index=2)
case("SoftmaxCrossEntropyLoss", X, labels, outputs=2)
for op in ("BlackmanWindow", "HammingWindow", "HannWindow"):
    vary(op, [K(np.array(10))], output_datatype=[1, 11], periodic=[0])
case("MelWeightMatrix", *(K(np.array(v)) for v in (8, 16, 8192)), K(np.float32(0)), K(np.float32(4096)))
case(
    "MelWeightMatrix",
    *(K(np.array(v)) for v in (8, 16, 8192)),
    K(np.float32(0)),
    K(np.float32(4096)),
    output_datatype=11,
)
signal = f32(2, 16, 1)
vary("DFT", [signal], opsets=(17, 19), axis=[1], inverse=[1], onesided=[1])
vary("DFT", [signal], opsets=(20, 99), inverse=[1], onesided=[1])
case("DFT", signal, K(np.array(8)), K(np.array(1)), opsets=(20, 99))
case("DFT", f32(2, 16, 2), K(np.array(20)), opsets=(20, 99), inverse=1)
vary("STFT", [signal, K(np.array(4)), K(np.hanning(8).astype(np.float32))], onesided=[0])
case("STFT", signal, K(np.array(4)), None, K(np.array(8)))
q, k, v = f32(2, 3, 4, 8), f32(2, 3, 6, 8), f32(2, 3, 6, 8)
vary(
    "Attention",
    [q, k, v],
    is_causal=[1],
    scale=[0.1],
    softcap=[2.0],
    softmax_precision=[1],
    left_window_size=[2],
    right_window_size=[1],
)
case("Attention", q, k, v, f32(4, 6))
case("Attention", q, k, v, np.tri(4, 6) > 0)
case("Attention", q, k[:, :1], v[:, :1])
case("Attention", f32(2, 4, 24), f32(2, 6, 24), f32(2, 6, 24), q_num_heads=3, kv_num_heads=3)
case("Attention", q, k, v, None, f32(2, 3, 2, 8), f32(2, 3, 2, 8), outputs=3)
case("Attention", q, k, v, outputs=4, qk_matmul_output_mode=3)
case("Attention", q, k, v, None, None, None, i64(3, 5))
vary("RotaryEmbedding", [f32(2, 3, 4, 8), f32(9, 4), f32(9, 4), ints(0, 9, 2, 4)], interleaved=[1])
case("RotaryEmbedding", f32(2, 3, 4, 8), f32(9, 2), f32(9, 2), ints(0, 9, 2, 4), rotary_embedding_dim=4)
case("RotaryEmbedding", f32(2, 4, 24), f32(9, 4), f32(9, 4), ints(0, 9, 2, 4), num_heads=3)
vary("SwiGLU", [f32(3, 8), f32(3, 8)], alpha=[0.5])

# --- control flow --------------------------------------------------------------------------------------------------


def body(nodes, inputs, outputs):
    def values(named):
        return [helper.make_tensor_value_info(name, dtype, shape) for name, dtype, shape in named]

    return helper.make_graph([helper.make_node(*each) for each in nodes], "body", values(inputs), values(outputs))


COUNT = [("i", 7, []), ("c", 9, [])]
for shape in ([2], [2, 2]):
    state = f32(*shape)
    doubles = body(
        [("Add", ["s", "s"], ["t"]), ("Identity", ["c"], ["d"]), ("Identity", ["t"], ["o"])],
        [*COUNT, ("s", 1, shape)],
        [("d", 9, []), ("t", 1, shape), ("o", 1, shape)],
    )
    case("Loop", K(np.array(3)), K(np.array(True)), state, body=doubles, outputs=2)
    case("Loop", K(np.array(3)), None, state, body=doubles, outputs=2)
    case("Loop", np.array(0), K(np.array(True)), state, body=doubles, outputs=2)
stops = body(
    [("Add", ["s", "s"], ["t"]), ("Less", ["i", "two"], ["d"])], [*COUNT, ("s", 1, [2])], [("d", 9, []), ("t", 1, [2])]
)
stops.initializer.append(helper.make_tensor("two", 7, [], [2]))
case("Loop", None, K(np.array(True)), f32(2), body=stops)
sums = body(
    [("Add", ["s", "x"], ["t"]), ("Mul", ["t", "x"], ["o"])],
    [("s", 1, [2]), ("x", 1, [2])],
    [("t", 1, [2]), ("o", 1, [2])],
)
vary(
    "Scan",
    [f32(2), f32(5, 2)],
    {"body": sums, "num_scan_inputs": 1},
    2,
    scan_input_directions=[[1]],
    scan_output_directions=[[1]],
    scan_output_axes=[[1]],
    scan_input_axes=[[0]],
)
matrices = body(
    [("Add", ["s", "x"], ["t"]), ("Mul", ["t", "x"], ["o"])],
    [("s", 1, [2, 3]), ("x", 1, [2, 3])],
    [("t", 1, [2, 3]), ("o", 1, [2, 3])],
)
case("Scan", f32(2, 3), f32(5, 2, 3), body=matrices, num_scan_inputs=1, outputs=2)
case("Scan", f32(2), f32(2, 5), body=sums, num_scan_inputs=1, scan_input_axes=[1], outputs=2)
